// Package cli is the command tree: parse, call, print.
//
// Callers: cmd/parley, with the arguments. It reaches a node only through
// package client; run.go alone starts one, and demo.go a network of them.
// Invariants: stdout is data and stderr is talk; every failure leaves through
// report with an exit code of the one table in exit.go; text that others wrote
// passes clean.go before it meets a terminal; a name that fits two people is
// never guessed; secrets are never flags.
// Goroutines: none of its own but signal handling; run.go's node owns its own.
package cli
