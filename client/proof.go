package client

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// ErrImpostor says that something else answers at the node's address, or that
// the token is not one of this node's. The token was not sent.
var ErrImpostor = errors.New("what answers here does not know this token: it is over or deleted, or this is not your node")

const (
	nonceBytes = 32
	maxProof   = 1 << 10
)

// ReadToken is the token in the content of a token file.
func ReadToken(content []byte) string { return strings.TrimSpace(string(content)) }

// tokenHash is what the node keeps of a token: the SHA-256 of its length and
// its text.
func tokenHash(token string) [32]byte {
	return sha256.Sum256(append([]byte{byte(len(token) >> 8), byte(len(token))}, token...))
}

// proveNode asks the node to authenticate a nonce and the host by the hash of
// the token, which only a node that made the token has.
func proveNode(ctx context.Context, call *http.Client, host, token string) error {
	for {
		err := askProof(ctx, call, host, token)
		if !errors.Is(err, errBusy) {
			return err
		}
		if err := pause(ctx, busyPause); err != nil {
			return fmt.Errorf("asking the node for a proof: %w", err)
		}
	}
}

var errBusy = errors.New("the node answers too many logins")

// busyPause lets a node that was asked too often answer others.
const busyPause = 200 * time.Millisecond

func askProof(ctx context.Context, call *http.Client, host, token string) error {
	hash := tokenHash(token)
	nonce := make([]byte, nonceBytes)
	_, _ = rand.Read(nonce)
	ask, err := json.Marshal(struct {
		ID    string `json:"id"`
		Nonce []byte `json:"nonce"`
	}{hex.EncodeToString(hash[:8]), nonce})
	if err != nil {
		return fmt.Errorf("asking the node for a proof: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+host+"/proof", bytes.NewReader(ask))
	if err != nil {
		return fmt.Errorf("asking the node for a proof: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := call.Do(req)
	if err != nil {
		return fmt.Errorf("dialing the node: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusTooManyRequests {
		return errBusy
	}
	var answer struct{ Proof []byte }
	err = json.NewDecoder(io.LimitReader(res.Body, maxProof)).Decode(&answer)
	mac := hmac.New(sha256.New, hash[:])
	mac.Write([]byte("parley api proof 1\x00" + host + "\x00"))
	mac.Write(nonce)
	if res.StatusCode != http.StatusOK || err != nil || !hmac.Equal(answer.Proof, mac.Sum(nil)) {
		return ErrImpostor
	}
	return nil
}
