// Package api says yes or no to apps: who may call, what a call means, and how
// an error is named.
//
// Callers: node builds and runs it; every face (page, terminal, command line,
// bot) reaches the node only through it. It calls dm, guard, identity and
// store, and the network through the Network interface that node adapts.
// Invariants: a call is judged (host, origin, content type, token, scope,
// pace) before a byte of its meaning is read; nothing outside convert.go and
// words.go turns our words into the API's; every error leaves through the
// table in errors.go; the log in the store is the only queue behind a watcher.
// Goroutines: Run serves the listeners and waits for them and for their calls,
// and keeps the loop that learns what contacts call themselves.
package api
