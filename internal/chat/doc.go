// Package chat is the vocabulary of Parley: ids, messages, delivery states,
// verdicts, cursors, errors and limits.
//
// Callers: every package. It imports the standard library only and does no I/O.
// Invariant: three judgements never mix. Admission asks whether bytes may
// travel, conduct whether a peer behaves, Verdict how a text is shown.
// Goroutines: none.
package chat
