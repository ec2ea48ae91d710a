package mailbox

import (
	"testing"
	"time"

	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/store"
)

// TestDropper: a host that drops signs like any other and has nothing.
func TestDropper(t *testing.T) {
	n := newTown(t)
	h, o := n.host(func(c *HostConfig, _ *store.GuestConfig) { c.Drop = true }), newOwner(t)
	sender, reader := n.call(h, "sender"), n.call(h, "reader")
	a := sender.must(depositOf(o.fromContact(1, 48*time.Hour)))
	if a.Status != wirev1.Status_STATUS_OK {
		t.Fatalf("deposit: %s", a.Status)
	}
	if _, signer, err := openReceipt(a.Receipt); err != nil || signer != h.device {
		t.Errorf("its receipt: %s, %v", signer, err)
	}
	if got := o.collect(reader, h); len(got) != 0 {
		t.Errorf("it kept %d envelopes", len(got))
	}
}
