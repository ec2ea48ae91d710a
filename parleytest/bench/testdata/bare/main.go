// Command bare is the baseline of node.*: a libp2p host and a DHT server as a
// process of their own, with library defaults. GossipSub joins them when Parley
// has rooms.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func run() error {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.ForceReachabilityPublic())
	if err != nil {
		return err
	}
	defer h.Close()
	d, err := dht.New(h, dht.Mode(dht.ModeServer), dht.ProtocolPrefix("/bare"), dht.DisableProviders(), dht.DisableValues())
	if err != nil {
		return err
	}
	defer d.Close()
	fmt.Printf("%s/p2p/%s\n", h.Addrs()[0], h.ID())
	_, err = io.Copy(io.Discard, os.Stdin) // until the parent is gone
	return err
}
