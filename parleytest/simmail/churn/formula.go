package churn

import (
	"math"
	"time"
)

// Delivery is the share of mail that is still there after horizon: of k
// holders an honest share keeps what it signed for, half vanish in each life,
// and every period all k are restored if one honest holder is left.
//
// It draws anew in each period which of the holders drop. In a network a
// dropper that lives stays one, so that bad periods come in rows and hit what
// is lost already: Chain is the same world with that memory, and never worse.
func Delivery(k int, period, life, horizon time.Duration, honest float64) float64 {
	gone := math.Pow(1-honest*Stays(period, life), float64(k))
	return math.Pow(1-gone, periods(horizon, period))
}

// Stays is the share of nodes that live through a period.
func Stays(period, life time.Duration) float64 { return math.Exp2(-periods(period, life)) }

// Copies is how many copies of a message the formula's world makes until
// horizon: k at first, and in each period one for each holder that went.
func Copies(k int, period, life, horizon time.Duration) float64 {
	return float64(k) * (1 + periods(horizon, period)*(1-Stays(period, life)))
}

func periods(span, period time.Duration) float64 { return float64(span) / float64(period) }

// Chain is Delivery where droppers stay droppers: a Markov chain over the
// number of honest holders at the start of a period.
func Chain(k int, period, life, horizon time.Duration, honest float64) float64 {
	stays := Stays(period, life)
	next := make([][]float64, k+1) // honest now -> honest in the next -> probability, what is lost left out
	for h := range next {
		next[h] = make([]float64, k+1)
		for good := 1; good <= h; good++ {
			for bad := range k - h + 1 {
				both := binomial(h, good, stays) * binomial(k-h, bad, stays)
				for fresh := range k - good - bad + 1 {
					next[h][good+fresh] += both * binomial(k-good-bad, fresh, honest)
				}
			}
		}
	}
	at := make([]float64, k+1)
	for h := range at {
		at[h] = binomial(k, h, honest)
	}
	for range int(periods(horizon, period)) {
		then := make([]float64, k+1)
		for h, p := range at {
			for to, q := range next[h] {
				then[to] += p * q
			}
		}
		at = then
	}
	total := 0.0
	for _, p := range at {
		total += p
	}
	return total
}

// binomial is the probability of x out of n.
func binomial(n, x int, p float64) float64 {
	ways := 1.0
	for i := range x {
		ways *= float64(n-i) / float64(i+1)
	}
	return ways * math.Pow(p, float64(x)) * math.Pow(1-p, float64(n-x))
}

// Killed is the chance that none of a message's copies is left when half of
// all nodes die at once.
func Killed(copies, nodes int) float64 {
	half, p := nodes/2, 1.0
	for i := range copies {
		p *= float64(half-i) / float64(nodes-i)
	}
	return max(p, 0)
}
