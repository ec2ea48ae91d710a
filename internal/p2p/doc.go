// Package p2p is the only package that knows libp2p: the host, its transports
// and limits, the DHT, dialing, and the peers to come back to.
//
// Callers: node builds and runs it and hands its calls to features, which
// declare what they need; parleytest builds hosts on simulated links. It calls
// wire for streams and chat for ids and limits.
// Invariants: a device that Gate refuses gets no connection and no answer; a
// record leaves or enters only after its namespace's validator said yes; every
// queue, map and handler pool here is bounded by a constant of chat/limits.go.
// Goroutines: Run owns the join, feeler and status loops; each incoming
// stream is served on the goroutine libp2p made for it, counted, and waited
// for by Run.
package p2p
