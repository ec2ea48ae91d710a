// Package identity holds our keys and what we verified of others: account and
// device keys, manifests, bundles, DHT records, invites and names.
//
// Callers: node loads Keys before p2p is built and runs the Directory after;
// dm and api read both; p2p is handed the record validators and selectors.
// It calls seal for cryptography and store for sealed rows, pins and records,
// and reaches the DHT through Records only.
// Invariants: private keys rest in sealed store rows and appear in no error or
// log. A pinned manifest is never replaced by a lower one, nor by another one
// of the same number. Whatever comes from outside is verified over the bytes
// as received before a field of it is used.
// Goroutines: Directory.Run publishes and rotates in its caller's goroutine
// and waits for the two puts that it starts. A look-up shared by many has a
// goroutine, which the last of them to leave ends and waits for.
package identity
