package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"parley/internal/chat"
	"parley/internal/store"
)

const (
	// maxCodes bounds codes waiting to be used: one for each page that is
	// being opened.
	maxCodes = 16
	// formPace is for all who are not known by what they send to a form: wrong
	// codes, and ids of no token. Each form has its own, and who is known
	// passes, so that nobody on this computer can shut the others out.
	formPace = 10
)

// codes are the single-use login codes.
type codes struct {
	// Set by newCodes.
	wrong   *rate.Limiter // logins
	unknown *rate.Limiter // proofs

	mu   sync.Mutex
	open map[[32]byte]time.Time // hash of code -> end; at most maxCodes
}

func newCodes() *codes {
	return &codes{wrong: rate.NewLimiter(formPace, formPace), unknown: rate.NewLimiter(formPace, formPace), open: map[[32]byte]time.Time{}}
}

// create makes a code. When too many wait, the one that ends first goes.
func (c *codes) create(now time.Time) string {
	code := newSecret()
	c.mu.Lock()
	defer c.mu.Unlock()
	var first [32]byte
	for hash, end := range c.open {
		if !now.Before(end) {
			delete(c.open, hash)
		} else if f, ok := c.open[first]; !ok || end.Before(f) {
			first = hash
		}
	}
	if len(c.open) >= maxCodes {
		delete(c.open, first)
	}
	c.open[hashSecrets(code)] = now.Add(chat.LoginCode)
	return code
}

// use ends a code and says whether it was good.
func (c *codes) use(code string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	hash := hashSecrets(code)
	end, ok := c.open[hash]
	delete(c.open, hash)
	return ok && now.Before(end)
}

// login exchanges a code for the two secrets of a page: a cookie that scripts
// cannot read, and one that only this origin's scripts hold.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	var form struct{ Code string }
	if err := json.NewDecoder(r.Body).Decode(&form); err != nil {
		refuse(w, r, http.StatusBadRequest)
		return
	}
	now := time.Now()
	if !s.logins.use(form.Code, now) {
		refusePaced(w, r, s.logins.wrong)
		return
	}
	cookie, csrf := newSecret(), newSecret()
	token := store.Token{Hash: hashSecrets(cookie, csrf), Name: "page", Scopes: []string{pageScope}, Created: now, Expires: now.Add(pageLife)}
	if err := s.addToken(r.Context(), token); err != nil {
		s.log.Error("could not store a login", "err", err)
		refuse(w, r, http.StatusInternalServerError)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(), Value: cookie, Path: "/", MaxAge: int(pageLife.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	writeJSON(w, map[string]string{"csrf": csrf})
}

// prove shows a client that this node knows its token before the token is
// sent: whoever else took the port could not answer. The host is part of the
// answer, so that it cannot be fetched from a node on another port.
func (s *Server) prove(w http.ResponseWriter, r *http.Request) {
	var form struct {
		ID    string
		Nonce []byte
	}
	if err := json.NewDecoder(r.Body).Decode(&form); err != nil || len(form.Nonce) != secretBytes {
		refuse(w, r, http.StatusBadRequest)
		return
	}
	e, ok := s.tokens.byID(form.ID, time.Now())
	if !ok {
		refusePaced(w, r, s.logins.unknown)
		return
	}
	mac := hmac.New(sha256.New, e.token.Hash[:])
	mac.Write([]byte("parley api proof 1\x00" + r.Host + "\x00"))
	mac.Write(form.Nonce)
	writeJSON(w, map[string]string{"proof": base64.StdEncoding.EncodeToString(mac.Sum(nil))})
}

// refusePaced refuses a stranger to a form.
func refusePaced(w http.ResponseWriter, r *http.Request, pace *rate.Limiter) {
	if !pace.Allow() {
		refuse(w, r, http.StatusTooManyRequests)
		return
	}
	refuse(w, r, http.StatusUnauthorized)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the caller hung up
}
