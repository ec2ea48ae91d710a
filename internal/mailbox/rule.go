package mailbox

import (
	"math"
	"time"

	"parley/internal/chat"
)

// The rules of placement and repair, as functions of numbers alone: the
// holder, the depositor and the simulator share them.

// Holders is who of a region is asked to keep an envelope: all of it. In a
// small network that is every willing node.
func Holders(r chat.Region) []chat.DeviceID {
	if !r.Small && len(r.Nodes) > chat.RegionMax {
		return r.Nodes[:chat.RegionMax]
	}
	return r.Nodes
}

// PredictedLoss is the share of envelopes that all holders lose within a
// horizon: k holders at the start of each period, of which a share is honest
// and half vanish in each life. An envelope lives on while one honest holder
// is there at the end of the period to restore the others.
func PredictedLoss(period, life, horizon time.Duration, honest float64, k int) float64 {
	if period <= 0 || k <= 0 || life <= 0 || honest <= 0 {
		return 1
	}
	stays := min(honest, 1) * math.Exp2(-period.Hours()/life.Hours())
	gone := math.Pow(1-stays, float64(k))
	// 1 - (1-gone)^n, exact for the small gone that matter.
	return -math.Expm1(horizon.Hours() / period.Hours() * math.Log1p(-gone))
}

// RepairPeriod is the longest time between two repairs, in whole minutes
// between chat.RepairMin and chat.RepairMax, that keeps the predicted loss
// within chat.RepairHorizon below chat.RepairLoss. With nothing to go by it is
// chat.RepairEvery.
func RepairPeriod(life time.Duration, honest float64, k int) time.Duration {
	if life <= 0 {
		return chat.RepairEvery
	}
	low, high := int(chat.RepairMin/time.Minute), int(chat.RepairMax/time.Minute)
	for low < high {
		mid := (low + high + 1) / 2
		if PredictedLoss(time.Duration(mid)*time.Minute, life, chat.RepairHorizon, honest, k) < chat.RepairLoss {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return time.Duration(low) * time.Minute
}

// The prior of MedianLife and HonestShare is the network that the constants
// were chosen for: a median life of two hours and 30 % who drop what they
// signed for. It weighs as much as these few observations.
const (
	priorLife       = 2 * time.Hour
	priorDepartures = 4
	priorHonest     = 0.7
	priorAudits     = 20
)

// MedianLife is the life of holders estimated from how long we saw them in all
// and how many went meanwhile.
func MedianLife(seen time.Duration, departures float64) time.Duration {
	per := (seen.Hours() + priorDepartures*priorLife.Hours()/math.Ln2) / (departures + priorDepartures)
	return time.Duration(math.Ln2 * per * float64(time.Hour))
}

// HonestShare is the share of holders that keep what they signed for,
// estimated from audits.
func HonestShare(passed, failed float64) float64 {
	return (passed + priorHonest*priorAudits) / (passed + failed + priorAudits)
}

// RepairNow reports whether so many holders left since the last repair that
// the next one does not wait.
func RepairNow(departures int) bool { return departures >= chat.RepairDepartures }

// Jittered is d moved by up to percent either way; r is from [0, 1).
func Jittered(d time.Duration, percent int, r float64) time.Duration {
	return d + time.Duration(float64(d)*float64(percent)/100*(2*r-1))
}

// StampNeeded is the work a stranger's envelope needs in a box that holds so
// many of strangers already: base bits, and one more for each tenth of the
// strangers' share that is taken.
func StampNeeded(base, envelopes int, size int64) int {
	tenths := max(10*envelopes/chat.BoxStrangers, int(10*size/boxStrangerBytes))
	return base + min(tenths, 10)
}

// boxStrangerBytes is the strangers' share of chat.BoxBytes.
const boxStrangerBytes = int64(chat.BoxBytes) * (100 - chat.BoxContactShare) / 100
