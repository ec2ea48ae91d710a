package guard

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"parley/internal/chat"
)

// bucket is the rule in its plain form: DMBurst messages are free, and one
// comes back each DMPace.
type bucket struct {
	free float64
	at   time.Time
}

func (b *bucket) admit(now time.Time) (time.Duration, bool) {
	if gone := now.Sub(b.at); gone > 0 {
		b.free = min(chat.DMBurst, b.free+float64(gone)/float64(chat.DMPace))
		b.at = now
	}
	if b.free < 1 {
		return time.Duration((1 - b.free) * float64(chat.DMPace)), false
	}
	b.free--
	return 0, true
}

func TestPaceMatchesBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPaces(chat.DMBurst, chat.DMPace)
		buckets := map[sender]*bucket{}
		now := time.Unix(1e9, 0)
		senders := []sender{{"ana", "phone"}, {"ana", "desk"}, {"bo", "phone"}}
		for range rapid.IntRange(1, 1500).Draw(t, "steps") {
			// Mostly bursts, sometimes rests, on whole milliseconds so that the
			// reference's floats stay exact enough.
			if rapid.IntRange(0, 9).Draw(t, "rest") == 0 {
				now = now.Add(time.Duration(rapid.IntRange(0, 30_000).Draw(t, "ms")) * time.Millisecond)
			}
			s := rapid.SampledFrom(senders).Draw(t, "sender")
			b := buckets[s]
			if b == nil {
				b = &bucket{free: chat.DMBurst, at: now}
				buckets[s] = b
			}
			wantWait, want := b.admit(now)
			wait, ok := p.admit(s, now)
			if ok != want || (wait-wantWait).Abs() > time.Microsecond {
				t.Fatalf("%v at %s: wait %s, %v; the reference says %s, %v", s, now, wait, ok, wantWait, want)
			}
		}
	})
}

// Who waits as long as told is admitted, and not a nanosecond sooner.
func TestWaitIsExact(t *testing.T) {
	p := newPaces(chat.DMBurst, chat.DMPace)
	now := time.Unix(1e9, 0)
	s := sender{"ana", "phone"}
	admitted := 0
	for range 1000 {
		wait, ok := p.admit(s, now)
		if ok {
			admitted++
			continue
		}
		if _, early := p.admit(s, now.Add(wait-1)); early {
			t.Fatalf("admitted before the %s it was told", wait)
		}
		now = now.Add(wait)
		if _, ok := p.admit(s, now); !ok {
			t.Fatalf("refused after the %s it was told", wait)
		}
		admitted++
	}
	if took := now.Sub(time.Unix(1e9, 0)); took != time.Duration(admitted-chat.DMBurst)*chat.DMPace {
		t.Errorf("%d messages took %s", admitted, took)
	}
}

func TestClockSetBackForgives(t *testing.T) {
	p := newPaces(chat.DMBurst, chat.DMPace)
	s := sender{"ana", "phone"}
	now := time.Unix(1e9, 0)
	for range chat.DMBurst {
		p.admit(s, now)
	}
	if wait, ok := p.admit(s, now.Add(-24*time.Hour)); !ok {
		t.Errorf("after the clock went back a sender waits %s", wait)
	}
	if wait, _ := p.admit(s, now.Add(-24*time.Hour)); wait > chat.DMBurst*chat.DMPace {
		t.Errorf("and then %s", wait)
	}
}

func TestPacesStayBounded(t *testing.T) {
	p := newPaces(chat.DMBurst, chat.DMPace)
	now := time.Unix(1e9, 0)
	hot := sender{"hot", "phone"}
	for range chat.DMBurst {
		p.admit(hot, now)
	}
	// Strangers by the thousand: each says one thing, so the oldest of them are
	// forgotten before the one that is cooling.
	for i := range 3 * maxPaces {
		now = now.Add(time.Millisecond)
		if _, ok := p.admit(sender{"sybil", chat.DeviceID(fmt.Sprint(i))}, now); !ok {
			t.Fatal("a first message was refused")
		}
		if len(p.bySender) > maxPaces || len(p.bySender) != p.order.Len() {
			t.Fatalf("%d senders in the map, %d in order", len(p.bySender), p.order.Len())
		}
	}
	left := chat.DMBurst*chat.DMPace - time.Duration(3*maxPaces)*time.Millisecond
	e := p.bySender[hot]
	if e == nil {
		t.Fatal("the cooling sender was forgotten, and gained a burst")
	}
	if got := e.Value.(*pace).full.Sub(now); got != left {
		t.Errorf("the cooling sender owes %s, want %s", got, left)
	}
	// When all are cooling the cap still holds.
	for i := range maxPaces + 10 {
		s := sender{"flood", chat.DeviceID(fmt.Sprint(i))}
		for range 100 {
			p.admit(s, now)
		}
	}
	if len(p.bySender) > maxPaces {
		t.Errorf("%d senders are remembered", len(p.bySender))
	}
}
