// Package node builds every package of one Parley node, runs them and stops
// them in order.
//
// Callers: cli/run.go and parleytest. It calls everything below.
// Invariants: nothing starts before Run; what starts later stops first, so
// that a stage always finds the ones below it alive; the store is closed last.
// Goroutines: one per stage, all waited for by Run.
package node
