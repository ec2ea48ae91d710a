// Package mailbox holds strangers' sealed mail and collects ours.
//
// Callers: node builds a Host and runs it on a reachable node, and builds a
// Client, which deposits for dm, collects into it, and asks for sleepers for
// identity. The Host calls store.Guest, the validators of identity, and other
// holders through a Dialer; the Client calls holders through a Line, a
// throw-away key for each mailbox.
//
// Invariants: a holder's receipt is signed after the commit that keeps the
// envelope. An envelope goes before its hour only by a delete that the
// mailbox key signed, or as a stranger's by one who paid more. A deleted one
// does not come back. Nothing is read from a peer without a size and a
// deadline, and everything kept for strangers has a bound. Our own mail is
// deleted on its holders after its commit here, never before.
//
// Goroutines: Host.Run starts repair and upkeep and waits for both; each
// Handle has one that reads ahead, which it waits for. Client.Run collects, and
// Deposit and Stale have one for each holder, all waited for.
package mailbox
