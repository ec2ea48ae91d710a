// Package config reads Parley's settings: defaults, file, environment, flags.
//
// Callers: cli loads it once per process and hands it to node, which shows it
// through the API. It calls nothing of ours but chat's constants.
// Invariants: a later layer wins key by key, in the order flag, environment
// (PARLEY_SECTION_KEY), file, default; an unknown key is a fault, never
// ignored; all faults are reported together; a loaded Config never changes.
// What a user chooses while Parley runs (blocks, names, consents) belongs in
// the store, not here. Loading creates nothing on disk.
// Goroutines: none.
package config
