package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"parley/internal/chat"
)

const (
	rpcPrefix = "/parley.api.v1."
	loginPath = "/login"
	proofPath = "/proof"

	csrfHeader = "X-Parley-Csrf"

	// maxHeader is ten times what a browser sends to us.
	maxHeader = 32 << 10
	// bodyTime lets a body of a mebibyte cross a slow disk image; a caller
	// that sends it byte by byte loses its place.
	bodyTime = 10 * time.Second
)

// securityHeaders stand on every answer. The page runs only what the binary
// brought, talks to nobody else, and is framed by nobody.
var securityHeaders = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; " +
		"connect-src 'self'; font-src 'self'; form-action 'none'; base-uri 'none'; " +
		"frame-ancestors 'none'; require-trusted-types-for 'script'",
	"X-Content-Type-Options":       "nosniff",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy": "accelerometer=(), autoplay=(), browsing-topics=(), camera=(), display-capture=(), " +
		"encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), hid=(), magnetometer=(), microphone=(), " +
		"midi=(), payment=(), picture-in-picture=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), " +
		"usb=(), xr-spatial-tracking=()",
}

// contentTypes are the only ones an API call may have: none of them can be
// sent by a form or without a preflight, which nobody answers.
var contentTypes = map[string]bool{
	"application/json":          true,
	"application/proto":         true,
	"application/connect+json":  true,
	"application/connect+proto": true,
	"application/grpc":          true,
	"application/grpc+proto":    true,
	"application/grpc+json":     true,
	"application/grpc-web":      true,

	"application/grpc-web+proto": true,
	"application/grpc-web+json":  true,
}

// Handler is the API and the page under the access rules of TCP.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range securityHeaders {
			w.Header().Set(name, value)
		}
		switch path := r.URL.Path; {
		case !s.hosts[r.Host]:
			refuse(w, r, http.StatusMisdirectedRequest)
		case strings.HasPrefix(path, rpcPrefix):
			s.call(w, r)
		case path == loginPath:
			s.form(w, r, s.login)
		case path == proofPath:
			s.form(w, r, s.prove)
		case s.cfg.Page == nil:
			refuse(w, r, http.StatusNotFound)
		default:
			s.cfg.Page.ServeHTTP(w, r)
		}
	})
}

// LocalHandler is the API with the full rights of the Unix socket, which only
// this user can open and no browser can reach.
func (s *Server) LocalHandler() http.Handler {
	local := s.localServices()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if !strings.HasPrefix(r.URL.Path, rpcPrefix) {
			local.ServeHTTP(w, r)
			return
		}
		s.admit(w, r, s.socket)
	})
}

// refuse answers with nothing but a status and gives the connection up, so
// that nobody waits for the rest of a body.
func refuse(w http.ResponseWriter, r *http.Request, status int) {
	w.Header().Set("Cache-Control", "no-store")
	hangUp(w, r)
	w.WriteHeader(status)
}

// hangUp ends an HTTP/1.1 connection after this answer. HTTP/2 just resets the
// one stream.
func hangUp(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
}

// call judges an API call over TCP.
func (s *Server) call(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	bearer := r.Header.Get("Authorization") != ""
	if status := judge(r, !bearer); status != 0 {
		refuse(w, r, status)
		return
	}
	c, err := s.authenticate(r)
	if err != nil {
		s.deny(w, r, err)
		return
	}
	s.admit(w, r, c)
}

// form judges a small JSON exchange beside the API. The page's login needs its
// origin; a program's proof has none.
func (s *Server) form(w http.ResponseWriter, r *http.Request, answer http.HandlerFunc) {
	w.Header().Set("Cache-Control", "no-store")
	if status := judge(r, r.URL.Path == loginPath); status != 0 {
		refuse(w, r, status)
		return
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		refuse(w, r, http.StatusUnsupportedMediaType)
		return
	}
	if err := readBody(w, r, maxForm); err != nil {
		refuse(w, r, http.StatusBadRequest)
		return
	}
	answer(w, r)
}

// maxForm is the largest login or proof.
const maxForm = 1 << 10

// judge is the status that a request from a wrong place gets, or zero. A
// browser names its origin on every POST; without one, only programs that
// show a token may call.
func judge(r *http.Request, originNeeded bool) int {
	origin, named := r.Header["Origin"]
	site := r.Header.Get("Sec-Fetch-Site")
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Method != http.MethodPost:
		return http.StatusMethodNotAllowed
	case named && (len(origin) != 1 || origin[0] != "http://"+r.Host):
		return http.StatusForbidden
	case !named && originNeeded:
		return http.StatusForbidden
	case site != "" && site != "same-origin" && site != "none":
		return http.StatusForbidden
	case err != nil || !contentTypes[kind]:
		return http.StatusUnsupportedMediaType
	}
	return 0
}

// admit gives a known caller its call: scope, then pace and place, then body.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, c *caller) {
	rule, ok := rules[r.URL.Path]
	if !ok {
		refuse(w, r, http.StatusNotFound)
		return
	}
	if err := rule.permit(c); err != nil {
		s.deny(w, r, err)
		return
	}
	leave, err := c.enter()
	if err != nil {
		s.deny(w, r, err)
		return
	}
	defer leave()
	if err := readBody(w, r, chat.APIBody); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			err = chat.ErrTooLarge
		}
		s.deny(w, r, err)
		return
	}
	s.rpc.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
}

// deny answers in the caller's own protocol.
func (s *Server) deny(w http.ResponseWriter, r *http.Request, err error) {
	hangUp(w, r)
	fault := s.fault(r.Context(), err)
	if writeErr := s.errorWriter.Write(w, r, fault); writeErr != nil {
		s.log.Debug("could not answer a refused call", "err", writeErr)
	}
}

// readBody takes the whole request, which every call has in one message: size
// and time are then bounded in one place for every protocol.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) error {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTime)) // in-memory writers have none
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		return err
	}
	_ = control.SetReadDeadline(time.Time{})
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

type callerKey struct{}

// callerOf is who calls. Every context that reaches a service has one.
func callerOf(ctx context.Context) *caller { return ctx.Value(callerKey{}).(*caller) }

// options stand on every service.
func (s *Server) options() []connect.HandlerOption {
	return []connect.HandlerOption{
		connect.WithReadMaxBytes(chat.APIBody),
		connect.WithInterceptors(faults{s}),
		connect.WithRecover(s.recovered),
		connect.WithCompressMinBytes(minCompressed),
	}
}

// minCompressed leaves every answer as it is: on one machine, packing costs
// more than it saves (a watcher that catches up spent 60 % of its time in
// gzip). Callers may still send packed requests.
const minCompressed = math.MaxInt32
