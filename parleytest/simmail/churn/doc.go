// Package churn simulates what becomes of mail while its holders come and go,
// in virtual time: nodes on the circle of the DHT, mailboxes of one message
// each, a week. It knows no bytes and no network; placement, the period of
// repair, its jitter and what brings it at once are the node's own rules and
// constants, called from package mailbox.
//
// Callers: simmail, which prints the grid and judges it, and the benchmarks.
//
// Two worlds. Plain (Config.Plain) is the world of the formula in
// docs/protocols/mailbox-durability.md and nothing else: all holders repair at
// one moment, whoever dies is replaced at its own place, nothing is adapted.
// The other is the product's: each holder has its own phase, fresh nodes come
// up anywhere, regions drift, holders that are not among the nearest any more
// keep what they have and go on restoring it to those who are.
//
// Assumptions of both: lives are exponential, so that a node's age says
// nothing of its future. Every node sees the whole network as it is. A dropper
// signs what it is given, says that it has it whenever digests are compared,
// and has nothing. The sender deposits once and never comes back, where a real
// one deposits again every chat.ReputEvery. The receiver asks the nodes that
// are the region when it returns, nobody else.
//
// Invariants: a dead node has no copy, a dropper has none, no copy outlives
// chat.MailLife; the same Config gives the same Result.
// Goroutines: none in Run; Runs has one a core, and waits for them.
package churn
