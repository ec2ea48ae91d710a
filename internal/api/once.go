package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"parley/internal/chat"
	"parley/internal/store"
)

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// request is a call that may be repeated: with an id, its effect happens once.
type request interface {
	proto.Message
	GetRequestId() string
}

// beside are fields that do not belong to a request's meaning: asking again
// with more patience is the same request.
var beside = []protoreflect.Name{"request_id", "wait_for", "wait"}

// once runs fn in a transaction and returns its answer. When the same caller
// has made the same request before, fn is not run and the answer of that time
// returns. It fails with chat.ErrConflict when the id was used for another one.
func (s *Server) once(ctx context.Context, req request, fn func(tx *store.Tx) ([]byte, error)) ([]byte, error) {
	if req.GetRequestId() != "" && !uuid.MatchString(req.GetRequestId()) {
		return nil, invalid("request_id", "it is not a UUID")
	}
	var answer []byte
	err := s.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		if req.GetRequestId() == "" {
			var err error
			answer, err = fn(tx)
			return err
		}
		key := callerOf(ctx).id + "/" + strings.ToLower(req.GetRequestId())
		hash, err := hashRequest(req)
		if err != nil {
			return err
		}
		known, earlier, err := tx.RequestAnswer(key)
		switch {
		case err == nil && known == hash:
			answer = earlier
			return nil
		case err == nil:
			return fmt.Errorf("%w: this request id was used for something else", chat.ErrConflict)
		case !errors.Is(err, chat.ErrNotFound):
			return fmt.Errorf("looking the request up: %w", err)
		}
		if answer, err = fn(tx); err != nil {
			return err
		}
		return tx.PutRequestAnswer(key, hash, answer, time.Now())
	})
	return answer, err
}

// hashRequest is equal for requests that mean the same.
func hashRequest(req request) ([32]byte, error) {
	meaning := proto.Clone(req).ProtoReflect()
	for _, name := range beside {
		if f := meaning.Descriptor().Fields().ByName(name); f != nil {
			meaning.Clear(f)
		}
	}
	meaning.SetUnknown(nil)
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(meaning.Interface())
	if err != nil {
		return [32]byte{}, fmt.Errorf("hashing the request: %w", err)
	}
	return sha256.Sum256(append([]byte(meaning.Descriptor().FullName()+"\x00"), body...)), nil
}
