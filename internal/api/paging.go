package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"slices"
	"sort"
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

// paged is a request for one page.
type paged interface {
	GetPageSize() int32
	GetPageToken() string
}

// pageOf sorts a list that memory holds anyway by key and cuts one page out of
// it: what comes after the position of the token, so that nothing is skipped
// when rows come and go. Without a size, or without p, it is the whole list.
func pageOf[T any](s *Server, p paged, list []T, key func(T) string, query ...string) ([]T, string, error) {
	slices.SortFunc(list, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	if p == nil || p.GetPageSize() == 0 && p.GetPageToken() == "" {
		return list, "", nil
	}
	size, err := pageSize(p.GetPageSize())
	if err != nil {
		return nil, "", err
	}
	after, err := s.position(p.GetPageToken(), query...)
	if err != nil {
		return nil, "", err
	}
	if after != "" {
		list = list[sort.Search(len(list), func(i int) bool { return key(list[i]) > after }):]
	}
	if len(list) <= size {
		return list, "", nil
	}
	return list[:size], s.pageToken(key(list[size-1]), query...), nil
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
