package p2p

import (
	"testing"
	"time"

	"parley/internal/chat"
)

// TestTablePace: a bucket fills at once, then takes chat.TableInserts a minute,
// whatever the others do (D6).
func TestTablePace(t *testing.T) {
	var pace tablePace
	now := time.Now()
	enter := func(bucket, tries int) (entered int) {
		for range tries {
			if pace.allows(bucket, now) {
				pace.entered(bucket, now)
				entered++
			}
		}
		return entered
	}
	if got := enter(0, 5000); got != chat.RegionSize {
		t.Errorf("%d of a flood entered, a bucket holds %d", got, chat.RegionSize)
	}
	if got := enter(1, 5000); got != chat.RegionSize {
		t.Errorf("%d entered the next bucket", got)
	}
	for minute := range 3 {
		now = now.Add(time.Minute)
		if got := enter(0, 5000); got != chat.TableInserts {
			t.Errorf("minute %d: %d entered", minute, got)
		}
	}
	now = now.Add(time.Hour)
	if got := enter(0, 5000); got != chat.RegionSize {
		t.Errorf("%d entered after an hour of rest", got)
	}
}
