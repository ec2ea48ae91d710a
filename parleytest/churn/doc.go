// Package churn lets a network of mailbox holders live for days of virtual
// time: nodes die and are replaced, some drop what they sign for, the others
// repair by the product's own rules and constants (internal/mailbox).
//
// Callers: parleytest/simmail and parleytest/bench.
// What it leaves out: transport, receipts, quotas and the receiver's own
// re-deposits. A repair takes no time, and a dropper signs, answers every
// digest as if it held all, and is never caught.
// Goroutines: none; Run is deterministic for its Setup.
package churn
