// Package process runs whole Parley nodes as processes on loopback: each with a
// home of its own, driven through its API, killed by its own id.
//
// Callers: the programs parleytest/e2e and parleytest/e2email. It knows the
// binary and the API only.
// Invariants: only what Start started is ever signalled; Kill and Stop return
// when the process is gone.
// Goroutines: one for each process that lives; Kill and Stop wait for it.
package process
