package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/durationpb"

	"parley/client"
)

const token = "parley_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// TestImpostor: whatever took the node's port learns nothing about the token.
func TestImpostor(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"nothing":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"empty proof": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"proof":""}`) },
		"wrong proof": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"proof":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`)
		},
		"echo": func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) },
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var heard strings.Builder
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				mu.Lock()
				_ = r.Header.Write(&heard)
				heard.Write(body)
				mu.Unlock()
				r.Body = io.NopCloser(strings.NewReader(string(body)))
				answer(w, r)
			}))
			srv.Config.Protocols = new(http.Protocols)
			srv.Config.Protocols.SetUnencryptedHTTP2(true)
			srv.Start()
			defer srv.Close()
			_, err := client.Dial(t.Context(), client.Options{Address: srv.Listener.Addr().String(), Token: token})
			if !errors.Is(err, client.ErrImpostor) {
				t.Errorf("dial: %v", err)
			}
			if heard.Len() == 0 || strings.Contains(heard.String(), token[7:20]) || strings.Contains(heard.String(), "Authorization") {
				t.Errorf("it heard %q", heard.String())
			}
		})
	}
}

func TestDialFailsAtOnce(t *testing.T) {
	for name, opts := range map[string]client.Options{
		"nowhere":         {},
		"two places":      {Socket: "a", Address: "b"},
		"token on socket": {Socket: "a", Token: token},
		"no socket":       {Socket: filepath.Join(t.TempDir(), "api.sock")},
		"no port":         {Address: "127.0.0.1:1", Token: token},
	} {
		if c, err := client.Dial(t.Context(), opts); err == nil {
			t.Errorf("%s: dialed %v", name, c)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := client.Dial(t.Context(), client.Options{DialContext: func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > 5*time.Second {
			t.Errorf("a silent place: %v after %s", err, took)
		}
	})
}

func TestRetryWaitsAsLongAsTheNodeSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cooling := connect.NewError(connect.CodeResourceExhausted, errors.New("cooling"))
		for _, m := range []*errdetails.RetryInfo{{RetryDelay: durationpb.New(12 * time.Second)}} {
			d, err := connect.NewErrorDetail(m)
			if err != nil {
				t.Fatal(err)
			}
			cooling.AddDetail(d)
		}
		began, calls := time.Now(), 0
		err := client.Retry(t.Context(), func(context.Context) error {
			if calls++; calls < 3 {
				return cooling
			}
			return nil
		})
		if took := time.Since(began); err != nil || calls != 3 || took != 24*time.Second {
			t.Errorf("%d calls in %s: %v", calls, took, err)
		}
		final := connect.NewError(connect.CodeNotFound, errors.New("no"))
		if err := client.Retry(t.Context(), func(context.Context) error { return final }); !errors.Is(err, final) {
			t.Errorf("a final error: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := client.Retry(ctx, func(context.Context) error { return cooling }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("out of patience: %v", err)
		}
	})
}

func TestRequestID(t *testing.T) {
	a, b := client.RequestID("echo", "1"), client.RequestID("echo", "1")
	if a != b || len(a) != 36 || a[14] != '8' {
		t.Errorf("%s, %s", a, b)
	}
	for _, other := range []string{client.RequestID("echo", "2"), client.RequestID("echo1"), client.RequestID("ech", "o1")} {
		if other == a {
			t.Errorf("%s stands for two things", other)
		}
	}
}
