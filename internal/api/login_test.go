package api_test

import (
	"fmt"
	"net/http"
	"testing"

	apiv1 "parley/gen/parley/api/v1"
)

// TestFloodedForms: wrong logins and proofs, which anybody on the computer can
// send, keep neither a page with a code nor a program with a token out.
func TestFloodedForms(t *testing.T) {
	n := newNode(t, newWorld(), "ana")
	origin := "http://" + n.address
	const proof = `{"ID":"%s","Nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`
	flood := func(path, body, origin string) {
		t.Helper()
		for range 40 {
			if n.post(path, body, origin).Code == http.StatusTooManyRequests {
				return
			}
		}
		t.Errorf("%s has no pace", path)
	}
	flood("/proof", fmt.Sprintf(proof, "x"), "")
	if res := n.post("/login", `{"code":"x"}`, origin); res.Code != http.StatusUnauthorized {
		t.Errorf("a login beside flooded proofs: %d", res.Code)
	}
	flood("/login", `{"code":"x"}`, origin)
	n.login()
	n.token("messages:send")
	list, err := n.local.Admin.ListTokens(t.Context(), &apiv1.ListTokensRequest{})
	if err != nil || len(list.Tokens) == 0 {
		t.Fatalf("tokens %v, %v", list, err)
	}
	if res := n.post("/proof", fmt.Sprintf(proof, list.Tokens[0].Id), ""); res.Code != http.StatusOK {
		t.Errorf("a proof beside flooded ones: %d %s", res.Code, res.Body)
	}
}
