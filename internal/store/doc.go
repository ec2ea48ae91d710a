// Package store keeps everything one node knows in one encrypted SQLite file:
// messages, outbox, sessions, people, records, and the durable log.
//
// Callers: every feature takes a *DB and works inside Write and Read; node
// opens it, runs Run, and closes it. It calls seal for the rows that stay
// sealed under the file encryption, and the SQLite driver.
//
// Invariants: a Write has returned nil only after its commit reached the
// disk. Each visible change appends a log row in its own transaction. A
// delivery state is never ahead of its proof and never goes back. A message is
// stored once, whatever path and however often it arrives, and its raw content
// bytes are kept until its author deletes it.
//
// Goroutines: none of its own. Concurrent calls of Write form groups, and the
// first of a group commits for all. Run does the upkeep in its caller's
// goroutine.
package store
