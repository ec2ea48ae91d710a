package mailbox

import (
	"crypto/sha256"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"
	"parley/internal/store"
	"parley/internal/wire"
)

// flood deposits envelopes as a crowd does: 64 under way, a new device for
// each 320 calls. It returns how often each status came.
func flood(t *testing.T, n *town, h *Host, envelopes [][]byte) map[wirev1.Status]int {
	t.Helper()
	count := map[wirev1.Status]int{}
	for i := 0; i < len(envelopes); {
		c := n.call(h, chat.DeviceID(fmt.Sprintf("crowd %x", random32())))
		for range 5 {
			part := envelopes[i:min(i+64, len(envelopes))]
			for _, e := range part {
				if err := c.w.Queue(depositOf(e)); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.w.Flush(); err != nil {
				t.Fatal(err)
			}
			for range part {
				a, err := c.read()
				if err != nil {
					t.Fatal(err)
				}
				count[a.Status]++
			}
			i += len(part)
		}
		c.end(nil)
	}
	return count
}

// TestStuffing is M1: 100,000 envelopes of strangers into one box, then 500 of
// contacts. The host asks for stamps of 4 bits instead of 20, so that the test
// need not spend a day of hashing; the price rises by the same ten bits.
func TestStuffing(t *testing.T) {
	n := newTown(t)
	h, o := n.host(nil), newOwner(t)
	strangers := make([][]byte, 100_000)
	for i := range strangers {
		bits := 4 + i%6
		if i%250 == 0 {
			bits = 14 // what a full share costs, and some have more by chance
		}
		strangers[i] = o.fromStranger(t, uint64(i), bits)
	}
	began := time.Now()
	count := flood(t, n, h, strangers)
	took := time.Since(began)
	contacts := make([][]byte, 500)
	for i := range contacts {
		contacts[i] = o.fromContact(uint64(1_000_000+i), 48*time.Hour)
	}
	if got := flood(t, n, h, contacts); got[wirev1.Status_STATUS_OK] != len(contacts) {
		t.Errorf("contacts were answered %v", got)
	}
	kept, lost := 0, map[[32]byte]bool{}
	for _, e := range contacts {
		lost[sha256.Sum256(e)] = true
	}
	for _, e := range o.collect(n.call(h, "reader"), h) {
		if id := sha256.Sum256(e); lost[id] {
			delete(lost, id)
		} else {
			kept++
		}
	}
	t.Logf("100,000 strangers: %v in %s; %d kept; %d of 500 contacts lost", count, took.Round(time.Millisecond), kept, len(lost))
	fmt.Printf("ATTACK M1 strangers_kept %d 200 %s\n", kept, verdict(kept <= 200))
	if len(lost) != 0 || kept > chat.BoxStrangers || kept < chat.BoxStrangers/2 {
		t.Errorf("%d contacts lost, %d strangers kept", len(lost), kept)
	}
	if len(n.blamed) > 0 {
		t.Errorf("paying too little is no fault: %v", n.blamed)
	}
}

func verdict(pass bool) string {
	if pass {
		return "PASS"
	}
	return "FAIL"
}

// TestStrongestStay: in a full share the least work goes first, and nobody
// gets in with less.
func TestStrongestStay(t *testing.T) {
	n := newTown(t)
	h, o := n.host(nil), newOwner(t)
	err := h.guest.Write(t.Context(), func(tx *store.GuestTx) error {
		for i := range chat.BoxStrangers {
			m := store.GuestMail{ID: [32]byte{1, byte(i)}, Box: o.id, Ends: time.Now().Add(time.Hour), Work: 20 + i%3, Body: blobOf(uint64(i))}
			if err := tx.PutMail(&m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	try := func(work int) wirev1.Status {
		l := &letter{GuestMail: store.GuestMail{
			ID: random32(), Box: o.id, Ends: time.Now().Add(time.Hour), Work: work, Size: 1024, Body: blobOf(uint64(work)),
		}}
		h.keep(t.Context(), []*letter{l}, time.Now())
		return l.answer.Status
	}
	for i, c := range []struct {
		work int
		want wirev1.Status
	}{{13, wirev1.Status_STATUS_STAMP}, {20, wirev1.Status_STATUS_STAMP}, {21, wirev1.Status_STATUS_OK}, {30, wirev1.Status_STATUS_OK}} {
		if got := try(c.work); got != c.want {
			t.Errorf("%d: %d bits in a full share: %s, want %s", i, c.work, got, c.want)
		}
	}
	if got := held(t, h, o.id); got != chat.BoxStrangers {
		t.Errorf("%d strangers in the box", got)
	}
}

// TestContactFillsABox: over its share a contact is told so; after a collect
// there is room again.
func TestContactFillsABox(t *testing.T) {
	n := newTown(t)
	h, o := n.host(nil), newOwner(t)
	var envelopes [][]byte
	var ids [][32]byte
	for i := range uint64(chat.BoxEnvelopes + 100) {
		e := o.fromContact(i, 48*time.Hour)
		envelopes, ids = append(envelopes, e), append(ids, sha256.Sum256(e))
	}
	count := flood(t, n, h, envelopes)
	if count[wirev1.Status_STATUS_OK] != chat.BoxEnvelopes || count[wirev1.Status_STATUS_QUOTA] != 100 {
		t.Errorf("a box of %d: %v", chat.BoxEnvelopes, count)
	}
	c := n.call(h, "reader")
	if got := o.collect(c, h); len(got) != chat.BoxEnvelopes {
		t.Errorf("%d collected", len(got))
	}
	for part := range slices.Chunk(ids[:chat.BoxEnvelopes], chat.MailDeleteIDs) {
		c.must(o.deleteRequest(part...))
	}
	if a := n.call(h, "sender").must(depositOf(envelopes[chat.BoxEnvelopes])); a.Status != wirev1.Status_STATUS_OK {
		t.Errorf("after the delete: %s", a.Status)
	}
}

// TestDiskBound is M2: who fills a holder is told so; its files stay within the
// bound, and it goes on answering.
func TestDiskBound(t *testing.T) {
	const most = 24 << 20
	n := newTown(t)
	dir := t.TempDir()
	h := n.host(func(_ *HostConfig, g *store.GuestConfig) { g.Dir, g.MaxBytes = dir, most })
	first := newOwner(t)
	early := first.fromContact(1, 48*time.Hour)
	count := flood(t, n, h, [][]byte{early})
	peak := int64(0)
	for i := uint64(0); count[wirev1.Status_STATUS_QUOTA] == 0 && i < 200; i++ {
		o := newOwner(t)
		var part [][]byte
		for j := range uint64(320) {
			part = append(part, o.fromContact(i<<32|j, 48*time.Hour))
		}
		for s, k := range flood(t, n, h, part) {
			count[s] += k
		}
		peak = max(peak, filesSize(t, dir))
	}
	fmt.Printf("ATTACK M2 files_over_bound_percent %.2f 1 %s\n", max(0, 100*(float64(peak)/most-1)), verdict(peak <= most+most/100))
	t.Logf("%v; files at most %d of %d bytes", count, peak, int64(most))
	if count[wirev1.Status_STATUS_QUOTA] == 0 || peak > most+most/100 {
		t.Errorf("%v, files of %d bytes, bound %d", count, peak, int64(most))
	}
	c := n.call(h, "reader")
	if got := first.collect(c, h); len(got) != 1 {
		t.Errorf("a full holder gives out %d envelopes", len(got))
	}
	if a := c.must(first.deleteRequest(sha256.Sum256(early))); a.Status != wirev1.Status_STATUS_OK || held(t, h, first.id) != 0 {
		t.Errorf("a full holder deletes: %s", a.Status)
	}
	if err := h.upkeep(t.Context(), time.Now()); err != nil || !h.Stats().Load().NoSpace {
		t.Errorf("a full holder says so: %+v, %v", h.Stats().Load(), err)
	}
	if err := h.upkeep(t.Context(), time.Now().Add(chat.MailLife)); err != nil || h.Stats().Load().NoSpace || h.Stats().Load().Envelopes != 0 {
		t.Errorf("after all ended: %+v, %v", h.Stats().Load(), err)
	}
}

func filesSize(t *testing.T, dir string) (sum int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "guest.db*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			sum += info.Size()
		}
	}
	return sum
}

// TestQuotasOfAHolder: a network's day and the free part of the disk.
func TestQuotasOfAHolder(t *testing.T) {
	n := newTown(t)
	h := n.host(func(c *HostConfig, _ *store.GuestConfig) {
		c.Net = func(s wire.Stream) string { return string(s.Remote())[:1] }
	})
	o := newOwner(t)
	day := h.day(time.Now())
	err := h.guest.Write(t.Context(), func(tx *store.GuestTx) error {
		_, err := tx.Charge("a", day, chat.HolderPerNet-2000, chat.HolderPerNet)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		from chat.DeviceID
		want wirev1.Status
	}{{"a1", wirev1.Status_STATUS_OK}, {"a2", wirev1.Status_STATUS_QUOTA}, {"b1", wirev1.Status_STATUS_OK}} {
		if a := n.call(h, c.from).must(depositOf(o.fromContact(uint64(i), 48*time.Hour))); a.Status != c.want {
			t.Errorf("%s: %s, want %s", c.from, a.Status, c.want)
		}
	}
	low := n.host(func(c *HostConfig, _ *store.GuestConfig) { c.KeepFree = 100 })
	if a := n.call(low, "a").must(depositOf(o.fromContact(1, 48*time.Hour))); a.Status != wirev1.Status_STATUS_QUOTA {
		t.Errorf("on a disk that is too full: %s", a.Status)
	}
}

// TestForgedDeletes is M5: 10,000 deletes that the owner did not sign, over
// streams and as answers of a repair, delete nothing.
func TestForgedDeletes(t *testing.T) {
	n := newTown(t)
	h, o, thief := n.host(nil), newOwner(t), newOwner(t)
	c := n.call(h, "sender")
	var ids [][32]byte
	for i := range uint64(20) {
		e := o.fromContact(i, 48*time.Hour)
		if a := c.must(depositOf(e)); a.Status != wirev1.Status_STATUS_OK {
			t.Fatal(a.Status)
		}
		ids = append(ids, sha256.Sum256(e))
	}
	named := &wirev1.MailDelete{Version: 1, MailboxKey: o.public(), TokenHash: o.tokenHash(), Ids: [][]byte{ids[0][:]}}
	good := o.deleteBytes(ids...)
	forge := func(i int) []byte {
		switch i % 6 {
		case 0: // the owner's key named, another's signature
			return identity.SignedBytes(thief.key, seal.PurposeMailDelete, encode(named))
		case 1: // signed for another purpose
			return identity.SignedBytes(o.key, seal.PurposeMailFetch, encode(named))
		case 2: // spoiled at any bit
			b := slices.Clone(good)
			b[(i/6)%len(b)] ^= 1 << (i % 8)
			return b
		case 3: // cut short at any byte
			return good[:(i/6)%len(good)]
		case 4: // fit and well, for another mailbox
			return thief.deleteBytes(ids[i%len(ids)])
		default: // the owner's key with another token
			wrong := proto.CloneOf(named)
			wrong.TokenHash = thief.tokenHash()
			return identity.SignedBytes(o.key, seal.PurposeMailDelete, encode(wrong))
		}
	}
	for i := range 10_000 {
		signed := forge(i)
		if i%20 == 0 {
			k := n.call(h, chat.DeviceID(fmt.Sprintf("thief %d", i/20)))
			k.must(&wirev1.MailRequest{Body: &wirev1.MailRequest_Delete{Delete: signed}})
			k.end(nil)
		} else {
			_ = h.bury(t.Context(), repairNet, signed, time.Now()) // what counts is what is left
		}
	}
	left := held(t, h, o.id)
	fmt.Printf("ATTACK M5 deleted_by_forgery %d 0 %s\n", len(ids)-left, verdict(left == len(ids)))
	if left != len(ids) {
		t.Errorf("%d of %d envelopes are left", left, len(ids))
	}
	if len(n.blamed) == 0 {
		t.Error("nobody was blamed")
	}
	if err := h.bury(t.Context(), repairNet, good, time.Now()); err != nil || held(t, h, o.id) != 0 {
		t.Errorf("the owner's own: %v", err)
	}
}

// TestProbe is M6: who has neither key nor token and pays no stamp gets the
// same answers from a full box as from one that never was, in about the time.
func TestProbe(t *testing.T) {
	n := newTown(t)
	h, full, absent, thief := n.host(nil), newOwner(t), newOwner(t), newOwner(t)
	var envelopes [][]byte
	for i := range uint64(chat.BoxEnvelopes) {
		envelopes = append(envelopes, full.fromContact(i, 48*time.Hour))
	}
	flood(t, n, h, envelopes)
	hour := pace(1).hour(time.Now().Add(48 * time.Hour))
	probes := map[string]func(*owner) *wirev1.MailRequest{
		"deposit without permit": func(o *owner) *wirev1.MailRequest {
			return depositOf(encodeEnvelope(&wirev1.OuterEnvelope{Version: 1, MailboxId: o.id[:], ExpiryHour: hour, Blob: blobOf(7)}))
		},
		"deposit with a poor stamp": func(o *owner) *wirev1.MailRequest {
			e := &wirev1.OuterEnvelope{Version: 1, MailboxId: o.id[:], ExpiryHour: hour, Blob: blobOf(7)}
			e.Permit = worthless(o, e)
			return depositOf(encodeEnvelope(e))
		},
		"digest": func(o *owner) *wirev1.MailRequest {
			return repairOf(&wirev1.MailBoxDigest{MailboxId: o.id[:], Fingerprint: make([]byte, printSize)})
		},
		"list": func(o *owner) *wirev1.MailRequest {
			return repairOf(&wirev1.MailBoxDigest{MailboxId: o.id[:], Items: []*wirev1.MailItem{{Id: make([]byte, 32), ExpiryHour: hour}}})
		},
		"delete": func(o *owner) *wirev1.MailRequest {
			return thief.deleteRequest(sha256.Sum256(o.id[:]))
		},
	}
	c := n.call(h, "prober")
	for name, probe := range probes {
		a, b := c.must(probe(full)), c.must(probe(absent))
		for _, d := range append(a.Boxes, b.Boxes...) {
			d.MailboxId = nil // the one asked for
		}
		if !proto.Equal(a, b) {
			t.Errorf("%s: a full box answers %v, an absent one %v", name, a, b)
		}
	}
	nonce := func() []byte {
		b, err := c.nonce()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	a, b := c.must(thief.collectRequest(h, nonce(), nil)), c.must(absent.collectRequest(h, nonce(), nil))
	if !proto.Equal(a, b) || len(a.Envelopes) > 0 {
		t.Errorf("collect by another key: %v, %v", a, b)
	}
	// Beside the stream, so that the pace of a caller does not end it.
	const tries = 1000
	sample := func(call *wirev1.MailRequest) float64 {
		clear(h.calls)
		began := time.Now()
		h.answer("timer", "", []*wirev1.MailRequest{call}, began)
		return float64(time.Since(began).Nanoseconds())
	}
	for _, name := range []string{"deposit with a poor stamp", "deposit without permit", "digest", "list"} {
		var times [2][]float64
		for range tries {
			for i, o := range []*owner{full, absent} {
				call := probes[name](o)
				times[i] = append(times[i], sample(call))
			}
		}
		slices.Sort(times[0])
		slices.Sort(times[1])
		x, y := times[0][tries/2], times[1][tries/2]
		fmt.Printf("ATTACK M6 median_ratio_%s %.3f 2 %s\n", strings.ReplaceAll(name, " ", "_"), x/y, verdict(math.Max(x/y, y/x) < 2))
		t.Logf("%s: median %.1f µs for a full box, %.1f µs for an absent one, t %.2f", name, x/1000, y/1000, tValue(times[0][:tries*9/10], times[1][:tries*9/10]))
		if math.Max(x/y, y/x) >= 2 {
			t.Errorf("%s: a full box takes %.0f ns, an absent one %.0f", name, x, y)
		}
	}
}

func repairOf(d *wirev1.MailBoxDigest) *wirev1.MailRequest {
	return &wirev1.MailRequest{Body: &wirev1.MailRequest_Repair{Repair: &wirev1.MailRepair{Boxes: []*wirev1.MailBoxDigest{d}}}}
}

// tValue is Welch's t of two samples.
func tValue(a, b []float64) float64 {
	moments := func(x []float64) (mean, variance float64) {
		for _, v := range x {
			mean += v / float64(len(x))
		}
		for _, v := range x {
			variance += (v - mean) * (v - mean) / float64(len(x)-1)
		}
		return mean, variance / float64(len(x))
	}
	ma, va := moments(a)
	mb, vb := moments(b)
	return (ma - mb) / math.Sqrt(va+vb)
}

// TestFaultsReset: what no honest node says ends the stream and is reported;
// what a later version may say is not.
func TestFaultsReset(t *testing.T) {
	n := newTown(t)
	h, o := n.host(nil), newOwner(t)
	for name, q := range map[string]*wirev1.MailRequest{
		"a collect of noise":  {Body: &wirev1.MailRequest_Collect{Collect: []byte("noise")}},
		"a deposit of noise":  depositOf([]byte("noise")),
		"a delete of noise":   {Body: &wirev1.MailRequest_Delete{Delete: []byte("noise")}},
		"a delete without id": {Body: &wirev1.MailRequest_Delete{Delete: identity.SignedBytes(o.key, seal.PurposeMailDelete, encode(&wirev1.MailDelete{Version: 1, MailboxKey: o.public(), TokenHash: o.tokenHash(), Ids: [][]byte{{1}}}))}},
		"a short audit":       {Body: &wirev1.MailRequest_Audit{Audit: &wirev1.MailAudit{Nonce: []byte{1}, Id: make([]byte, 32)}}},
		"a digest of no box":  repairOf(&wirev1.MailBoxDigest{}),
	} {
		t.Run(name, func(t *testing.T) {
			c := n.call(h, chat.DeviceID(name))
			if a := c.must(q); a.Status != wirev1.Status_STATUS_INVALID {
				t.Errorf("answered %s", a.Status)
			}
			if _, err := c.read(); err == nil {
				t.Error("the stream goes on")
			}
			n.mu.Lock()
			defer n.mu.Unlock()
			if n.blamed[chat.DeviceID(name)] != 1 {
				t.Errorf("reported %d times", n.blamed[chat.DeviceID(name)])
			}
		})
	}
	c := n.call(h, "newer")
	for range 2 {
		if a := c.must(&wirev1.MailRequest{}); a.Status != wirev1.Status_STATUS_NOT_ACCEPTING {
			t.Errorf("an unknown call: %s", a.Status)
		}
	}
	c.end(nil)
	raw := n.call(h, "damaged")
	if _, err := raw.s.Write([]byte{3, 0xff, 0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	if _, err := raw.read(); err == nil {
		t.Error("a damaged frame is answered")
	}
	n.calls.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.blamed["damaged"] != 1 || n.blamed["newer"] != 0 {
		t.Errorf("blamed: %v", n.blamed)
	}
}
