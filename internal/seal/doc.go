// Package seal signs, seals, opens and ratchets: pure functions over bytes and
// session state, written from public specifications.
//
// Callers: identity, dm, mailbox, store and vault. It calls the standard
// library and golang.org/x/crypto. Randomness comes from crypto/rand; time
// comes in as an argument.
//
// What is here:
//   - Sign and Verify: Ed25519 with one closed list of purposes.
//   - Initiate and Respond: PQXDH (X25519 and ML-KEM-768) to a Session.
//   - Session: the Double Ratchet with encrypted headers and sparse ML-KEM
//     steps. Its state machine reaches cryptography through one seam (suite.go),
//     so the machine that replays a recorded Signal conversation in the tests is
//     the one that is shipped.
//   - SealBox and BoxSecret: the first-contact box, uniform to everybody
//     without the recipient's record.
//   - RowKey: rows at rest. SafetyNumber and AccountSeed: account keys.
//
// Invariants: a Session never changes; Seal and Open return the next one and
// the caller stores it together with the message, or neither. Open answers
// every fault with ErrOpen, and stages skipped keys on a copy that is dropped
// unless the body authenticates. What is signed, hashed or authenticated is
// always the bytes as received. Secrets redact themselves in logs.
//
// Goroutines: none. All types are safe for concurrent readers.
package seal
