package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"

	"parley/internal/chat"
)

const pageMAC = 16 // bytes: a guess succeeds once in 2^128

// pageToken hides a position of the store and binds it to a query.
func (s *Server) pageToken(position string, query ...string) string {
	if position == "" {
		return ""
	}
	return secretEncoding.EncodeToString(append(s.signPage(position, query), position...))
}

// position opens a page token. It fails with chat.ErrInvalid when the token is
// not ours or belongs to another query.
func (s *Server) position(token string, query ...string) (string, error) {
	if token == "" {
		return "", nil
	}
	b, err := secretEncoding.DecodeString(token)
	if err != nil || len(b) <= pageMAC || !hmac.Equal(b[:pageMAC], s.signPage(string(b[pageMAC:]), query)) {
		return "", invalid("page_token", "it does not belong to this query; start without one")
	}
	return string(b[pageMAC:]), nil
}

func (s *Server) signPage(position string, query []string) []byte {
	mac := hmac.New(sha256.New, s.paging[:])
	for _, part := range append([]string{position}, query...) {
		fmt.Fprintf(mac, "%d:%s", len(part), part)
	}
	return mac.Sum(nil)[:pageMAC]
}

// pageSize applies the default and the bound.
func pageSize(asked int32) (int, error) {
	switch {
	case asked < 0:
		return 0, invalid("page_size", "it is negative")
	case asked == 0:
		return chat.PageSize, nil
	}
	return min(int(asked), chat.MaxPageSize), nil
}

// cursorText is a cursor as apps see it.
func cursorText(c chat.Cursor) string { return fmt.Sprintf("%x.%x", c.Epoch, c.Seq) }

// parseCursor reads cursorText. It fails with chat.ErrInvalid.
func parseCursor(text string) (chat.Cursor, error) {
	var c chat.Cursor
	epoch, seq, ok := strings.Cut(text, ".")
	if ok {
		_, err := fmt.Sscanf(epoch+" "+seq, "%x %x", &c.Epoch, &c.Seq)
		ok = err == nil && c.Seq >= 0 && cursorText(c) == text
	}
	if !ok {
		return chat.Cursor{}, invalid("cursor", "it is not a cursor of this API")
	}
	return c, nil
}
