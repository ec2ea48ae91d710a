package api

import (
	"testing"
	"time"

	"parley/internal/chat"
)

// A reader learns that cooling is over from an entry without time, once.
func TestCoolingEndsWithAnEntry(t *testing.T) {
	w := watch{caller: newCaller(ownerID, []string{scopeRead}, 0)}
	until := map[chat.AccountID]time.Time{"ana": time.Now().Add(time.Minute), "bo": time.Now().Add(time.Minute)}
	if list := w.cools(until); len(list) != 2 || list[0].RetryAfter.AsDuration() <= 0 {
		t.Fatalf("two wait: %v", list)
	}
	delete(until, "ana")
	list := w.cools(until)
	if len(list) != 2 || list[0].Conversation != "people/bo" || list[1].Conversation != "people/ana" || list[1].RetryAfter == nil || list[1].RetryAfter.AsDuration() != 0 {
		t.Errorf("one is over: %v", list)
	}
	if list := w.cools(until); len(list) != 1 {
		t.Errorf("it is said again: %v", list)
	}
}
