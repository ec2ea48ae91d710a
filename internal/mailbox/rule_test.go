package mailbox

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"math"
	"testing"
	"time"

	"parley/internal/chat"
)

func TestBoxIDIsFrozen(t *testing.T) {
	pub := make(ed25519.PublicKey, ed25519.PublicKeySize)
	for i := range pub {
		pub[i] = byte(i)
	}
	id := BoxID(pub, [32]byte{1, 2, 3})
	const want = "a3bd961b0d3ddbd1141e2c56ba10cb9ba69b07866bacb608a435e86301ae4af1"
	if got := hex.EncodeToString(id[:]); got != want {
		t.Errorf("the id of a box is %s, was %s: every mailbox would move", got, want)
	}
	if id == BoxID(pub, [32]byte{1, 2, 4}) {
		t.Error("two tokens make one box")
	}
}

func TestStamp(t *testing.T) {
	box, blob := chat.MailboxID{7}, []byte("sealed")
	stamp, err := Stamp(t.Context(), box, 42, blob, 12)
	if err != nil {
		t.Fatal(err)
	}
	work := StampWork(box, 42, blob, stamp)
	if work < 12 {
		t.Errorf("work of %d bits, wanted 12", work)
	}
	for name, other := range map[string]int{
		"another box":  StampWork(chat.MailboxID{8}, 42, blob, stamp),
		"another hour": StampWork(box, 43, blob, stamp),
		"another blob": StampWork(box, 42, []byte("Sealed"), stamp),
		"a longer one": StampWork(box, 42, blob, append(stamp, 0)),
		"none":         StampWork(box, 42, blob, nil),
	} {
		if other == work {
			t.Errorf("the stamp also pays for %s", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Stamp(ctx, box, 42, blob, 64); !errors.Is(err, context.Canceled) {
		t.Errorf("an endless stamp ended with %v", err)
	}
}

// TestRepairPeriod holds the rule against the table of the design: k 20, one
// hour, a median life of two, and 30 % droppers lose 0.02 % in seven days.
func TestRepairPeriod(t *testing.T) {
	week := chat.RepairHorizon
	for _, c := range []struct {
		period, life time.Duration
		honest       float64
		k            int
		delivered    float64 // percent
	}{
		{time.Hour, 2 * time.Hour, 1, 8, 99.1},
		{time.Hour, 2 * time.Hour, 0.7, 8, 49},
		{time.Hour, 2 * time.Hour, 0.7, 12, 95.5},
		{time.Hour, 2 * time.Hour, 0.7, 16, 99.70},
		{time.Hour, 2 * time.Hour, 0.7, 20, 99.98},
		{2 * time.Hour, 2 * time.Hour, 0.7, 20, 98.5},
		{4 * time.Hour, 2 * time.Hour, 0.7, 20, 40},
	} {
		got := 100 * (1 - PredictedLoss(c.period, c.life, week, c.honest, c.k))
		if math.Abs(got-c.delivered) > 2 && math.Abs(got-c.delivered) > (100-c.delivered)/5 {
			t.Errorf("k %d, every %s, life %s, %.0f %% honest: %.3f %% delivered, the design has %.2f", c.k, c.period, c.life, 100*c.honest, got, c.delivered)
		}
	}
	last := time.Duration(0)
	for _, life := range []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 24 * time.Hour} {
		p := RepairPeriod(life, 0.7, chat.RegionSize)
		t.Logf("life %s: repair every %s, predicted loss %.1e", life, p, PredictedLoss(p, life, week, 0.7, chat.RegionSize))
		if p < last || p < chat.RepairMin || p > chat.RepairMax {
			t.Errorf("life %s: repair every %s, %s for a shorter one", life, p, last)
		}
		if loss := PredictedLoss(p, life, week, 0.7, chat.RegionSize); p > chat.RepairMin && loss >= chat.RepairLoss {
			t.Errorf("life %s: a predicted loss of %.1e", life, loss)
		}
		last = p
	}
	if last != chat.RepairMax {
		t.Errorf("stable holders repair every %s, not every %s", last, chat.RepairMax)
	}
	if p := RepairPeriod(0, 1, chat.RegionSize); p != chat.RepairEvery {
		t.Errorf("without measurements every %s", p)
	}
}

func TestMeasuredHolders(t *testing.T) {
	if got := MedianLife(0, 0); got != priorLife {
		t.Errorf("with nothing seen a life of %s", got)
	}
	// 1,000 holder-hours and 100 departures: a mean of 10 h, a median of 6.93.
	if got := MedianLife(1000*time.Hour, 100).Hours(); math.Abs(got-6.9) > 0.3 {
		t.Errorf("a median life of %.2f h", got)
	}
	if got := HonestShare(0, 0); math.Abs(got-priorHonest) > 1e-9 {
		t.Errorf("with nothing audited %.2f are honest", got)
	}
	if got := HonestShare(1e6, 0); got < 0.99 {
		t.Errorf("a million passed audits leave %.2f", got)
	}
	if RepairNow(3) || !RepairNow(4) {
		t.Error("not the fourth departure brings the repair")
	}
}

func TestStampRisesByTenths(t *testing.T) {
	for _, c := range []struct {
		n    int
		size int64
		want int
	}{{0, 0, 20}, {19, 0, 20}, {20, 0, 21}, {100, 0, 25}, {200, 0, 30}, {1000, 0, 30}, {0, (boxStrangerBytes + 1) / 2, 25}} {
		if got := StampNeeded(chat.StampBits, c.n, c.size); got != c.want {
			t.Errorf("%d envelopes of %d bytes: %d bits, want %d", c.n, c.size, got, c.want)
		}
	}
}

func TestPace(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, p := range []pace{0, 1, 60} {
		if !p.start(p.hour(now)).Equal(now.Truncate(p.of(time.Hour))) {
			t.Errorf("pace %v: the hour of %s begins at %s", p, now, p.start(p.hour(now)))
		}
		ahead := now.Add(p.of(chat.MailLife))
		if end, ok := p.ends(p.hour(ahead), now); !ok || end.After(ahead) || ahead.Sub(end) > p.of(time.Hour) {
			t.Errorf("pace %v: mail for %s ends %s, %v", p, chat.MailLife, end, ok)
		}
		if end, ok := p.ends(p.hour(now.Add(p.of(chat.MailLife+2*time.Hour))), now); !ok || end.After(ahead) {
			t.Errorf("pace %v: two hours more end %s, %v", p, end, ok)
		}
		for name, hour := range map[string]uint64{
			"now": p.hour(now), "15 days": p.hour(now.Add(p.of(chat.MailLife + 4*time.Hour))), "the end of time": math.MaxUint64,
		} {
			if _, ok := p.ends(hour, now); ok {
				t.Errorf("pace %v: an expiry of %s is taken", p, name)
			}
		}
	}
}
