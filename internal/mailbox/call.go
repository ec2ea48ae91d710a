package mailbox

import (
	"context"
	"fmt"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/wire"
)

// call is a conversation with one holder. One goroutine uses it, two may when
// one only writes and the other only reads.
type call struct {
	s    wire.Stream
	w    *wire.Writer
	r    *wire.Reader
	stop func() bool
}

// dial calls a holder. The call ends when ctx does.
func dial(ctx context.Context, l Line, d chat.DeviceID) (*call, error) {
	s, err := l.Open(ctx, d, Protocol)
	if err != nil {
		return nil, err
	}
	if s.Remote() != d {
		_ = s.Reset()
		return nil, fmt.Errorf("%w: somebody else answered for %s", chat.ErrInvalid, d.Short())
	}
	k := &call{s: s, w: wire.NewWriter(s), r: wire.NewReader(s)}
	k.r.SetWait(chat.DepositTimeout)
	k.stop = context.AfterFunc(ctx, func() { _ = s.Reset() })
	return k, nil
}

// end hangs up: in order after the last answer, else by a reset.
func (k *call) end(err error) {
	k.stop()
	if err != nil {
		_ = k.s.Reset()
		return
	}
	_ = k.s.Close()
}

func (k *call) read() (*wirev1.MailAnswer, error) {
	a := new(wirev1.MailAnswer)
	if err := k.r.ReadFrame(a); err != nil {
		return nil, err
	}
	return a, nil
}

// ask makes one request and waits for its answer.
func (k *call) ask(req *wirev1.MailRequest) (*wirev1.MailAnswer, error) {
	if err := k.w.WriteFrame(req); err != nil {
		return nil, err
	}
	return k.read()
}

// nonce asks for what the next collect is signed over.
func (k *call) nonce() ([]byte, error) {
	a, err := k.ask(nonceRequest())
	if err != nil {
		return nil, err
	}
	return a.Nonce, check(a)
}

func nonceRequest() *wirev1.MailRequest {
	return &wirev1.MailRequest{Body: &wirev1.MailRequest_Nonce{Nonce: &wirev1.MailNonce{}}}
}

// check turns an answer other than OK into an error.
func check(a *wirev1.MailAnswer) error {
	if a.Status == wirev1.Status_STATUS_OK {
		return nil
	}
	return fmt.Errorf("the holder says %s", a.Status)
}
