// Package parleytest is a whole Parley network inside one test: real hosts,
// DHT, SQLite and API on simulated links with simulated time.
//
// Callers: tests only, inside a testing/synctest bubble. It calls package node
// as the program does and p2p for the links.
// Invariants: no packet leaves the process; every wait has a simulated
// deadline, since libp2p's timers keep a stuck bubble spinning for ever.
// Goroutines: each node's Run, waited for by Kill and by the test's end.
package parleytest
