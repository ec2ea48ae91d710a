// Package mailbox holds strangers' sealed mail and collects ours.
//
// Callers: node builds a Host and runs it on a reachable node, and builds the
// side that deposits for dm and collects into it. The Host calls store.Guest,
// the validators of identity, and other holders through a Dialer.
//
// Invariants: a holder's receipt is signed after the commit that keeps the
// envelope. An envelope goes before its hour only by a delete that the
// mailbox key signed, or as a stranger's by one who paid more. A deleted one
// does not come back. Nothing is read from a peer without a size and a
// deadline, and everything kept for strangers has a bound.
//
// Goroutines: Host.Run starts repair and upkeep and waits for both; each
// Handle has one that reads ahead, which it waits for.
package mailbox
