// Package guard judges conduct: who is blocked, how fast private messages may
// come, and which devices keep sending what nobody could accept.
//
// Callers: p2p asks Allowed through its Gate before it keeps a connection, and
// is told through Config.Banned when a ban begins; dm asks it per message and
// reports faults; api blocks and unblocks. It calls store for blocks, contacts
// and pins.
// Invariants: Allowed and Blocked read one immutable set that is swapped
// whole, and never touch the disk. Every map keyed by strangers has a cap.
// Conduct is ours alone: nothing here is told to others, or shown as content.
// Goroutines: none.
package guard
