// Package wire is what peers say: length-prefixed protobuf frames, their
// limits, and the Stream they travel on.
//
// Callers: p2p implements Stream over libp2p; features read and write frames.
// It calls the generated peer-wire stubs only.
// Invariant: a frame's length is checked before memory is taken for it, and
// every read and write has a deadline.
// Goroutines: none.
package wire
