// Package client is the typed Go client of a running Parley node.
//
// Callers: the command line, the terminal face, bots and other programs. It
// imports the generated stubs and Connect only, so that any program could do
// the same.
// Invariants: a token is shown only to a node that has proved to know it;
// following from the last cursor loses and repeats nothing.
// Goroutines: none of its own; calls run on the caller's.
package client
