// Command parley is peer-to-peer chat: every node is client and server.
package main

import (
	"os"

	"parley/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
