// Package bench measures Parley against baselines in the same run.
//
// Callers: its own tests, by `make bench AREA=…` in full and by `make check` in
// short. It calls every package it measures.
// Invariants: a figure is the median of rounds in which ours and the baseline
// alternate; a run in which a message did not arrive prints no figure; what is
// compared with a committed figure is CPU, bytes, counts and simulated time,
// never wall time.
// Goroutines: those of what is measured, waited for by each measurement.
package bench
