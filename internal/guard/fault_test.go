package guard

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"parley/internal/chat"
)

func TestRepeatedFaultsBanForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newGuard(t)
		for i := range faultLimit {
			if !g.Allowed("bad") {
				t.Fatalf("banned after %d faults", i)
			}
			g.Misbehaved("bad", "undecodable frame")
		}
		if g.Allowed("bad") || !g.Allowed("good") {
			t.Fatal("the ban does not hold, or holds too much")
		}
		time.Sleep(banLife - time.Second)
		if g.Allowed("bad") {
			t.Error("the ban ends early")
		}
		time.Sleep(time.Second)
		if !g.Allowed("bad") {
			t.Error("the ban does not end")
		}
		g.Misbehaved("bad", "undecodable frame")
		if !g.Allowed("bad") {
			t.Error("one fault after a ban bans again")
		}
	})
}

func TestRareFaultsNeverAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newGuard(t)
		for range 50 * faultLimit {
			g.Misbehaved("clumsy", "undecodable frame")
			time.Sleep(faultForgiven)
		}
		if !g.Allowed("clumsy") {
			t.Error("a fault a minute bans")
		}
	})
}

// The counter against its definition: banned when the faults, each forgiven a
// minute at a time, reach the limit.
func TestFaultsMatchReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFaults()
		now := time.Unix(1e9, 0)
		credit, until := 0.0, time.Time{}
		last := now
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
			credit = max(0, credit-now.Sub(last).Seconds()/faultForgiven.Seconds()) + 1
			last = now
			if !until.After(now) && credit >= faultLimit {
				credit, until = 0, now.Add(banLife)
			}
			want := until.After(now)
			if got := f.note("d", now); got != want || f.banned("d", now) != want {
				t.Fatalf("at %s note says %v, banned %v; the reference %v", now, got, f.banned("d", now), want)
			}
		}
	})
}

func TestFaultsStayBounded(t *testing.T) {
	f := newFaults()
	now := time.Unix(1e9, 0)
	for i := range 3 * maxFaulty {
		f.note(chat.DeviceID(fmt.Sprint(i)), now)
	}
	if len(f.byDevice) != maxFaulty || f.order.Len() != maxFaulty {
		t.Errorf("%d devices in the map, %d in order", len(f.byDevice), f.order.Len())
	}
	for range faultLimit {
		f.note("bad", now)
	}
	if !f.banned("bad", now) || f.banned("bad", now.Add(-24*time.Hour)) {
		t.Error("a ban does not hold, or outlives a clock set back")
	}
}

func TestStrangersCannotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newGuard(t)
		var log strings.Builder
		g.log = slog.New(slog.NewTextHandler(&log, nil))
		for i := range 10_000 {
			g.Misbehaved(chat.DeviceID(fmt.Sprintf("device %d", i)), "undecodable frame")
		}
		if n := strings.Count(log.String(), "\n"); n != faultLines {
			t.Errorf("%d lines for 10,000 faults at once", n)
		}
		time.Sleep(faultLineEvery)
		g.Misbehaved("12D3KooWlastcharacters", "undecodable frame")
		last := log.String()[strings.LastIndex(strings.TrimSpace(log.String()), "\n")+1:]
		for _, want := range []string{"level=WARN", "device=…aracters", `why="undecodable frame"`, "skippedLines=9980"} {
			if !strings.Contains(last, want) {
				t.Errorf("last line %q lacks %s", last, want)
			}
		}
	})
}

// The network hears of a ban once, when it begins, and may ask the guard back.
func TestBanIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newGuard(t)
		var told []chat.DeviceID
		g.banned = func(d chat.DeviceID) {
			if g.Allowed(d) {
				t.Errorf("%s is told of before its ban holds", d)
			}
			told = append(told, d)
		}
		for range faultLimit + 5 {
			g.Misbehaved("bad", "undecodable frame")
		}
		if len(told) != 1 || told[0] != "bad" {
			t.Fatalf("told of %v, want of the one ban", told)
		}
		time.Sleep(banLife)
		for range faultLimit + 5 {
			g.Misbehaved("bad", "undecodable frame")
		}
		if len(told) != 2 {
			t.Errorf("told of %d bans, want 2", len(told))
		}
	})
}
