package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"parley/internal/chat"
	"parley/internal/store"
)

const (
	tokenPrefix = "parley_" // so that scanners recognise a leaked one
	ownerID     = "owner"
	pageScope   = "page" // the only scope of a page's login

	secretBytes = 32 // 256 bits: not to be guessed

	defaultTokenLife = 30 * 24 * time.Hour
	maxTokenLife     = 365 * 24 * time.Hour
	pageLife         = 30 * 24 * time.Hour
	// maxPages is the number of browsers logged in; the oldest goes out.
	maxPages = 16
	// paceBurst lets a page load its screen at once.
	paceBurst = 2 * chat.APIRate
)

var secretEncoding = base64.RawURLEncoding

// newSecret is 256 random bits as text.
func newSecret() string {
	b := make([]byte, secretBytes)
	_, _ = rand.Read(b) // never fails
	return secretEncoding.EncodeToString(b)
}

// hashSecrets is what the store keeps of a token, or of the two halves of a
// page's login: only who has all of them finds the row.
func hashSecrets(secrets ...string) [32]byte {
	h := sha256.New()
	for _, s := range secrets {
		h.Write([]byte{byte(len(s) >> 8), byte(len(s))})
		h.Write([]byte(s))
	}
	return [32]byte(h.Sum(nil))
}

// caller is somebody who may call, with what it may and how much.
type caller struct {
	id      string // "owner" for socket and page, else the token's id
	scopes  []string
	owner   bool // all rights but those of the socket
	local   bool // came through the socket
	expires time.Time
	pace    *rate.Limiter // nil: none
	places  chan struct{} // one for each call under way
}

// newCaller is a caller with its own pace and places; no pace when perSecond
// is zero.
func newCaller(id string, scopes []string, perSecond rate.Limit) *caller {
	c := &caller{id: id, scopes: scopes, places: make(chan struct{}, chat.APICalls)}
	if perSecond > 0 {
		c.pace = rate.NewLimiter(perSecond, paceBurst)
	}
	return c
}

// busyError says that a caller asks too often or too much at once.
type busyError struct{ after time.Duration }

func (e *busyError) Error() string {
	return fmt.Sprintf("too many calls: try again in %s", e.after.Round(time.Millisecond))
}

// enter takes a place for one call. It never waits: a caller over its bounds
// is told so and costs nobody else.
func (c *caller) enter() (leave func(), err error) {
	if c.pace != nil {
		if r := c.pace.Reserve(); r.Delay() > 0 {
			after := r.Delay()
			r.Cancel()
			return nil, &busyError{after: after}
		}
	}
	select {
	case c.places <- struct{}{}:
		return func() { <-c.places }, nil
	default:
		return nil, &busyError{after: time.Second}
	}
}

// book is every token and login in memory, so that a call costs no read.
type book struct {
	change sync.Mutex // held by addToken, so that two at once cannot pass a cap

	mu   sync.Mutex
	rows map[[32]byte]*entry // hash -> token; at most chat.MaxTokens + maxPages
}

type entry struct {
	token  store.Token
	caller *caller
}

func (b *book) load(tx *store.Tx) error {
	tokens, err := tx.Tokens()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows = make(map[[32]byte]*entry, len(tokens))
	for _, t := range tokens {
		b.rows[t.Hash] = newEntry(t)
	}
	return nil
}

func newEntry(t store.Token) *entry {
	id := tokenID(t.Hash)
	e := &entry{token: t, caller: newCaller(id, t.Scopes, chat.APIRate)}
	e.caller.expires = t.Expires
	if slices.Contains(t.Scopes, pageScope) {
		e.caller.owner, e.caller.id = true, ownerID
	}
	return e
}

// tokenID names a token without helping to guess it.
func tokenID(hash [32]byte) string { return hex.EncodeToString(hash[:8]) }

// find is the entry of a hash that is still valid. Looking a hash of the
// secret up leaks nothing about the secret by its time.
func (b *book) find(hash [32]byte, now time.Time) (*entry, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.rows[hash]
	if !ok || !now.Before(e.token.Expires) {
		return nil, false
	}
	return e, true
}

// byID is the entry with an id.
func (b *book) byID(id string, now time.Time) (*entry, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.rows {
		if tokenID(e.token.Hash) == id && now.Before(e.token.Expires) {
			return e, true
		}
	}
	return nil, false
}

// list is every entry's token, oldest first.
func (b *book) list() []store.Token {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]store.Token, 0, len(b.rows))
	for _, e := range b.rows {
		out = append(out, e.token)
	}
	slices.SortFunc(out, func(a, b store.Token) int {
		return cmpOr(a.Created.Compare(b.Created), strings.Compare(tokenID(a.Hash), tokenID(b.Hash)))
	})
	return out
}

func cmpOr(a, b int) int {
	if a != 0 {
		return a
	}
	return b
}

// addToken stores a token, without those that expired. Of the browsers logged
// in, the oldest goes out for a new one; tokens of apps are only ever deleted
// by their owner, so it fails with chat.ErrInvalid when there are too many.
func (s *Server) addToken(ctx context.Context, t store.Token) error {
	s.tokens.change.Lock()
	defer s.tokens.change.Unlock()
	page := slices.Contains(t.Scopes, pageScope)
	drop, same := []store.Token(nil), []store.Token(nil)
	for _, old := range s.tokens.list() {
		switch {
		case !t.Created.Before(old.Expires):
			drop = append(drop, old)
		case slices.Contains(old.Scopes, pageScope) == page:
			same = append(same, old)
		}
	}
	if page && len(same) >= maxPages {
		drop = append(drop, same[:len(same)-maxPages+1]...)
	}
	if !page && len(same) >= chat.MaxTokens {
		return fmt.Errorf("%w: there are %d tokens, the most that are kept; delete one first", chat.ErrInvalid, len(same))
	}
	if err := s.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		for _, old := range drop {
			if err := tx.DeleteToken(old.Hash); err != nil {
				return err
			}
		}
		return tx.PutToken(t)
	}); err != nil {
		return fmt.Errorf("storing token: %w", err)
	}
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	for _, old := range drop {
		delete(s.tokens.rows, old.Hash)
	}
	s.tokens.rows[t.Hash] = newEntry(t)
	return nil
}

// dropToken ends a token at once, named by its id or the first digits of it.
// It fails with chat.ErrNotFound, or an ambiguousError when several begin so.
func (s *Server) dropToken(ctx context.Context, id string) error {
	if len(id) < minPrefix {
		return invalid("id", "give at least %d digits", minPrefix)
	}
	found := slices.DeleteFunc(s.tokens.list(), func(t store.Token) bool { return !strings.HasPrefix(tokenID(t.Hash), id) })
	switch len(found) {
	case 0:
		return fmt.Errorf("%w: no token with this id", chat.ErrNotFound)
	case 1:
	default:
		ids := make([]string, 0, maxCandidates)
		for _, t := range found[:min(len(found), maxCandidates)] {
			ids = append(ids, tokenID(t.Hash))
		}
		return &ambiguousError{text: fmt.Sprintf("%d tokens begin with %s", len(found), id), candidates: ids}
	}
	hash := found[0].Hash
	if err := s.cfg.DB.Write(ctx, func(tx *store.Tx) error { return tx.DeleteToken(hash) }); err != nil {
		return fmt.Errorf("deleting token: %w", err)
	}
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	delete(s.tokens.rows, hash)
	return nil
}

// authenticate finds who calls over TCP: a bearer token, or a page's cookie
// together with its second secret. It fails with errUnauthenticated.
func (s *Server) authenticate(r *http.Request) (*caller, error) {
	var hash [32]byte
	wantPage := false
	if header := r.Header.Get("Authorization"); header != "" {
		secret, ok := cutBearer(header)
		if !ok {
			return nil, errUnauthenticated
		}
		hash = hashSecrets(secret)
	} else {
		cookie, err := r.Cookie(s.cookieName())
		if err != nil {
			return nil, errUnauthenticated
		}
		hash, wantPage = hashSecrets(cookie.Value, r.Header.Get(csrfHeader)), true
	}
	e, ok := s.tokens.find(hash, time.Now())
	if !ok || e.caller.owner != wantPage {
		return nil, errUnauthenticated
	}
	return e.caller, nil
}

func cutBearer(header string) (string, bool) {
	scheme, secret, ok := strings.Cut(header, " ")
	return secret, ok && strings.EqualFold(scheme, "bearer")
}

// cookieName carries the port: browsers send a cookie to every port of a host,
// and two nodes on one machine must not log each other's pages out.
func (s *Server) cookieName() string { return "parley-" + s.port }
