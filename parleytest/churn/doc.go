// Package churn lets a network of mailbox holders live for days of virtual
// time: nodes die and are replaced, some drop what they sign for, the others
// repair by the product's own rules and constants (internal/mailbox).
//
// Callers: parleytest/simmail and parleytest/bench.
// What it leaves out: transport, receipts, the bytes of digests, quotas, and
// the sender's deposits again. Nothing expires: a Length stays within
// chat.MailLife. A repair takes no time, every node sees the whole network, and
// a dropper signs, answers every digest as if it held all, and is never caught.
// Invariants: a copy is on a live honest node; a message without one is lost.
// Goroutines: none; Run is deterministic for its Setup.
package churn
