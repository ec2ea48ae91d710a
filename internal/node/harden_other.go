//go:build unix && !linux

package node

func undumpable() {}
