package mailbox

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/identity"
	"parley/internal/seal"
	"parley/internal/store"
	"parley/internal/wire"
)

// leave takes holders out of the town.
func (n *town) leave(gone ...chat.DeviceID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range gone {
		delete(n.hosts, d)
	}
}

func (n *town) all() (list []*Host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range n.hosts {
		list = append(list, h)
	}
	return list
}

// region is the holders of a mailbox as it is now.
func (n *town) region(id chat.MailboxID) (list []*Host) {
	nodes := post{n, ""}.Near(Place(id)).Nodes
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range nodes {
		list = append(list, n.hosts[d])
	}
	return list
}

func (n *town) repairAll() {
	n.t.Helper()
	for _, h := range n.all() {
		if _, err := h.repair(n.t.Context()); err != nil {
			n.t.Fatal(err)
		}
	}
}

// TestRepairRestoresK: half of twenty holders leave at once; one round of the
// others later twenty keep all of it again. What its owner deleted at a few
// goes everywhere, and stays away though a holder that slept brings it back.
func TestRepairRestoresK(t *testing.T) {
	n := newTown(t)
	for range 32 {
		n.host(nil)
	}
	o := newOwner(t)
	var ids [][32]byte
	for i := range uint64(30) {
		e := o.fromContact(i, 48*time.Hour)
		if i%10 == 0 {
			e = o.fromStranger(t, i, 8)
		}
		ids = append(ids, sha256.Sum256(e))
		for _, h := range n.region(o.id) {
			k := n.call(h, "sender")
			if a := k.must(depositOf(e)); a.Status != wirev1.Status_STATUS_OK {
				t.Fatal(a.Status)
			}
			k.end(nil)
		}
	}
	old := n.region(o.id)
	if len(old) != chat.RegionSize {
		t.Fatalf("a region of %d", len(old))
	}
	slept := old[0]
	for _, h := range old[:10] {
		n.leave(h.device)
	}
	lacked := 0
	for _, h := range n.region(o.id) {
		if held(t, h, o.id) == 0 {
			lacked++
		}
	}
	n.repairAll()
	for _, h := range n.region(o.id) {
		if got := held(t, h, o.id); got != len(ids) {
			t.Errorf("%s holds %d of %d", h.device.Short(), got, len(ids))
		}
	}
	t.Logf("10 of 20 holders left; %d newcomers hold all %d envelopes after one round", lacked, len(ids))

	deleted := n.region(o.id)[:3]
	for _, h := range deleted {
		if a := n.call(h, "reader").must(o.deleteRequest(ids[:20]...)); a.Status != wirev1.Status_STATUS_OK {
			t.Fatal(a.Status)
		}
	}
	n.mu.Lock()
	n.hosts[slept.device] = slept
	n.mu.Unlock()
	for range 2 {
		n.repairAll()
	}
	for _, h := range n.region(o.id) {
		if got := held(t, h, o.id); got != len(ids)-20 {
			t.Errorf("%s holds %d envelopes, 20 of %d were deleted", h.device.Short(), got, len(ids))
		}
	}
	if len(n.blamed) > 0 {
		t.Errorf("honest holders are blamed: %v", n.blamed)
	}
}

// TestHolderThatDrops signs for what it gets and keeps nothing: it gives
// itself away in an audit and gets no more copies.
func TestHolderThatDrops(t *testing.T) {
	n := newTown(t)
	good, bad := n.host(nil), n.host(nil)
	o := newOwner(t)
	e := o.fromContact(1, 48*time.Hour)
	for _, h := range []*Host{good, bad} {
		n.call(h, "sender").must(depositOf(e))
		if err := h.upkeep(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := good.repair(t.Context()); err != nil || good.census.passed != 1 {
		t.Fatalf("an honest holder: %.0f audits passed, %v", good.census.passed, err)
	}
	// It keeps the print of the box and has other bytes in place of the mail.
	err := bad.guest.Write(t.Context(), func(tx *store.GuestTx) error {
		box, err := tx.Box(o.id)
		if err != nil {
			return err
		}
		m, err := tx.Mail(sha256.Sum256(e))
		if err != nil {
			return err
		}
		if err := tx.DropMail(m); err != nil {
			return err
		}
		m.Body = blobOf(99)
		if err := tx.PutMail(&m); err != nil {
			return err
		}
		return tx.SetPrint(o.id, box.Print)
	})
	if err != nil {
		t.Fatal(err)
	}
	for range liarFails {
		if _, err := good.repair(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	if !good.census.lies(bad.device, now) || good.census.lies(bad.device, now.Add(liarRest+time.Minute)) {
		t.Errorf("after %.0f failed audits: %+v", good.census.failed, good.census.liars)
	}
}

// TestRepairIsNotMisled: what a holder answers is checked, however it lies.
func TestRepairIsNotMisled(t *testing.T) {
	n := newTown(t)
	h, o := n.host(nil), newOwner(t)
	e := o.fromContact(1, 48*time.Hour)
	n.call(h, "sender").must(depositOf(e))
	thief := newOwner(t)
	id := sha256.Sum256(e)
	forged := identity.SignedBytes(thief.key, seal.PurposeMailDelete, encode(&wirev1.MailDelete{
		Version: 1, MailboxKey: o.public(), TokenHash: o.tokenHash(), Ids: [][]byte{id[:]},
	}))
	for name, lie := range map[string]*wirev1.MailAnswer{
		"a forged delete":      {Status: wirev1.Status_STATUS_OK, Deletes: [][]byte{forged}},
		"another's delete":     {Status: wirev1.Status_STATUS_OK, Deletes: [][]byte{thief.deleteBytes(id)}},
		"wants what is not":    {Status: wirev1.Status_STATUS_OK, Want: [][]byte{{1}, nil, make([]byte, 32), id[:], id[:]}},
		"a box never asked of": {Status: wirev1.Status_STATUS_OK, Boxes: []*wirev1.MailBoxDigest{nil, {MailboxId: []byte{1}}, {MailboxId: thief.id[:]}}},
		"busy for ever":        {Status: wirev1.Status_STATUS_BUSY},
		"busy for a year":      {Status: wirev1.Status_STATUS_BUSY, RetryAfterMs: 1 << 31},
		"nonsense":             {Status: 77},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := pipeCall(t, n)
			done := make(chan outcome, 1)
			n.calls.Go(func() {
				var o2 outcome
				box := store.GuestBox{ID: o.id, Print: make([]byte, printSize)}
				err := h.run(t.Context(), near, &errand{to: "liar", boxes: []store.GuestBox{box}, audit: id, auditBox: chat.MailboxID{1}}, &o2)
				near.end(err)
				done <- o2
			})
			for i := 0; i < 64; i++ {
				q := new(wirev1.MailRequest)
				if far.r.ReadFrame(q) != nil {
					break
				}
				a := lie
				if len(q.GetRepair().GetBoxes()) > 0 && len(q.GetRepair().Boxes[0].Items) == 0 && lie.Boxes == nil {
					a = &wirev1.MailAnswer{Status: wirev1.Status_STATUS_OK, Boxes: []*wirev1.MailBoxDigest{{MailboxId: o.id[:]}}}
				}
				if far.w.WriteFrame(a) != nil {
					break
				}
			}
			if out := <-done; out.passed || held(t, h, o.id) != 1 {
				t.Errorf("%+v, %d envelopes left", out, held(t, h, o.id))
			}
		})
	}
}

// pipeCall is a call of ours and its other end.
func pipeCall(t *testing.T, n *town) (near, far *call) {
	t.Helper()
	a, b := wire.Pipe("us", "liar")
	ends := [2]*call{}
	for i, s := range []wire.Stream{a, b} {
		ends[i] = &call{s: s, w: wire.NewWriter(s), r: wire.NewReader(s), stop: func() bool { return true }}
	}
	t.Cleanup(func() { _ = a.Reset() })
	return ends[0], ends[1]
}

// lastRecord is an account's record, issued a while ago.
func lastRecord(t *testing.T, account, device ed25519.PrivateKey, issued time.Time, seq uint64) (key string, record []byte) {
	t.Helper()
	pub := account.Public().(ed25519.PublicKey)
	dev := device.Public().(ed25519.PublicKey)
	manifest := identity.SignedBytes(account, seal.PurposeManifest, encode(&wirev1.Manifest{
		Version: 1, AccountKey: pub, Seq: 1, Devices: []*wirev1.ManifestDevice{{DeviceKey: dev, Added: issued.Unix()}},
		NotAfter: issued.Add(chat.ManifestLife).Unix(),
	}))
	return identity.AccountRecordKey(identity.AccountIDOf(pub)), identity.SignedBytes(device, seal.PurposeAccountRecord, encode(&wirev1.AccountRecord{
		Version: 1, Manifest: manifest, DeviceKey: dev, Seq: seq, Issued: issued.Unix(), Expires: issued.Add(chat.RecordLife).Unix(),
	}))
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestSleepersAreKept: one holder of the region was told by the DHT; a round of
// repair later all have the newest record, and give it to who asks, until
// fourteen days after its issue.
func TestSleepersAreKept(t *testing.T) {
	n := newTown(t)
	for range 24 {
		n.host(nil)
	}
	account, device := newKey(t), newKey(t)
	now := time.Now()
	key, old := lastRecord(t, account, device, now.Add(-10*24*time.Hour), 1)
	_, last := lastRecord(t, account, device, now.Add(-9*24*time.Hour), 2)
	region := []*Host{}
	nodes := post{n, ""}.Near(SleeperPlace(key)).Nodes
	for _, d := range nodes {
		region = append(region, n.hosts[d])
	}
	region[0].Keep(key, old)
	region[1].Keep(key, last)
	for key, record := range map[string][]byte{
		key + "x":          last,                 // under a foreign key
		"/parley-device/x": old,                  // of another kind
		"/parley-room/x":   make([]byte, 64),     // noise
		"/parley-room/y":   make([]byte, 64<<10), // much noise
	} {
		region[2].Keep(key, record)
	}
	for range 2 * maxFresh {
		region[3].Keep(string(rune(len(region[3].fresh)))+"k", nil)
	}
	for _, h := range region {
		if err := h.upkeep(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(h *Host) *wirev1.MailAnswer {
		k := n.call(h, "reader")
		defer k.end(nil)
		return k.must(&wirev1.MailRequest{Body: &wirev1.MailRequest_Sleeper{Sleeper: &wirev1.MailSleeper{Key: key}}})
	}
	if a := ask(region[5]); a.Status != wirev1.Status_STATUS_NOT_FOUND {
		t.Errorf("before the repair: %s", a.Status)
	}
	n.repairAll()
	for _, h := range region {
		if a := ask(h); string(a.Record) != string(last) {
			t.Errorf("%s has %d bytes, %s", h.device.Short(), len(a.Record), a.Status)
		}
	}
	give := func(h *Host, key string, record []byte) wirev1.Status {
		k := n.call(h, "giver")
		defer k.end(nil)
		return k.must(&wirev1.MailRequest{Body: &wirev1.MailRequest_Sleeper{Sleeper: &wirev1.MailSleeper{Key: key, Record: record}}}).Status
	}
	if s := give(region[0], key, old); s != wirev1.Status_STATUS_OK || string(ask(region[0]).Record) != string(last) {
		t.Errorf("an older record: %s", s)
	}
	otherKey, foreign := lastRecord(t, newKey(t), newKey(t), now, 1)
	if s := give(region[0], key, foreign); s != wirev1.Status_STATUS_NOT_ACCEPTING {
		t.Errorf("another's record: %s", s)
	}
	outside := ""
	for _, h := range n.all() {
		if !(post{n, h.device}).Near(SleeperPlace(otherKey)).Self {
			outside = string(h.device)
			if s := give(h, otherKey, foreign); s != wirev1.Status_STATUS_NOT_ACCEPTING {
				t.Errorf("outside its region: %s", s)
			}
		}
	}
	if outside == "" {
		t.Error("nobody is outside the region")
	}
	_, ended := lastRecord(t, account, device, now.Add(-15*24*time.Hour), 9)
	if s := give(region[0], key, ended); s != wirev1.Status_STATUS_NOT_ACCEPTING {
		t.Errorf("a record of fifteen days ago: %s", s)
	}
	if got := region[0].Stats().Load().Sleepers; got != 1 {
		t.Errorf("%d sleepers are counted", got)
	}
	if err := region[0].upkeep(t.Context(), now.Add(5*24*time.Hour+time.Minute)); err != nil || ask(region[0]).Status != wirev1.Status_STATUS_NOT_FOUND {
		t.Errorf("fourteen days after its issue it is there: %v", err)
	}
}

// TestRepairAtOnce: the fourth departure does not wait for the hour, and a
// minute lies between two repairs.
func TestRepairAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &town{t: t, hosts: map[chat.DeviceID]*Host{}}
		h := &Host{nearby: post{n, "us"}, pace: 1}
		for _, c := range []struct {
			leaving int
			after   time.Duration
			want    time.Duration
		}{{3, 5 * time.Minute, time.Hour}, {4, 5 * time.Minute, 5 * time.Minute}, {9, time.Second, time.Minute}} {
			before := n.left.Load()
			began := time.Now()
			n.calls.Go(func() {
				time.Sleep(c.after)
				n.left.Set(before + c.leaving)
			})
			if !h.waitRepair(t.Context(), time.Hour, before) {
				t.Fatal("the wait was given up")
			}
			if took := time.Since(began); took != c.want {
				t.Errorf("%d leave after %s: repair after %s, want %s", c.leaving, c.after, took, c.want)
			}
			n.calls.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if h.waitRepair(ctx, time.Hour, n.left.Load()) {
			t.Error("a repair after the end")
		}
	})
}

// TestCensus: short lives make the period short, and pace does not fool it.
func TestCensus(t *testing.T) {
	for _, p := range []pace{1, 60} {
		c := newCensus(p)
		now := time.Unix(1_800_000_000, 0)
		if got := c.period(now); got < p.of(45*time.Minute) || got > p.of(time.Hour) {
			t.Errorf("pace %v: with nothing seen every %s", p, got)
		}
		for range 20 { // rounds of half an hour in which every second one leaves
			for i := range 10 {
				c.met(chat.DeviceID(string(rune('a'+i))), true, now)
			}
			now = now.Add(p.of(30 * time.Minute))
			for i := range 5 {
				c.met(chat.DeviceID(string(rune('a'+i))), false, now)
			}
		}
		short := c.period(now)
		if short != p.of(chat.RepairMin) {
			t.Errorf("pace %v: a life of half an hour: every %s", p, short)
		}
		for range 400 {
			for i := range 20 {
				c.met(chat.DeviceID(string(rune('a'+i))), true, now)
				c.audited(chat.DeviceID(string(rune('a'+i))), true, now)
			}
			now = now.Add(p.of(time.Hour))
			c.period(now)
		}
		if got := c.period(now); got != p.of(chat.RepairMax) {
			t.Errorf("pace %v: holders that stay: every %s", p, got)
		}
		for i := range 2 * chat.MaxStrangers {
			c.met(chat.DeviceID(string(rune(i))), true, now)
			c.audited(chat.DeviceID(string(rune(i))), false, now)
		}
		if len(c.alive) > chat.MaxStrangers || len(c.liars) > chat.MaxStrangers {
			t.Errorf("%d holders and %d liars are remembered", len(c.alive), len(c.liars))
		}
	}
}

// TestRunEnds: Run returns with its context, and what a tick does is done.
func TestRunEnds(t *testing.T) {
	n := newTown(t)
	h := n.host(nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	_, counted := h.Stats().Watch()
	n.calls.Go(func() { done <- h.Run(ctx) })
	<-counted
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := NewHost(HostConfig{}); err == nil {
		t.Error("a host of nothing")
	}
}
