package node

import (
	"errors"
	"net"
	"strconv"
	"testing"
)

// TestListenNear: a spare port takes the place of one that is taken, and none
// where none is allowed.
func TestListenNear(t *testing.T) {
	port, err := freePort(t.Context(), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	first, err := listenNear(addr, 0)
	if err != nil || first[0].Addr().String() != addr {
		t.Fatalf("a free port: %v", err)
	}
	defer first[0].Close()
	if _, err := listenNear(addr, 0); !isPortError(err) {
		t.Errorf("a taken port: %v", err)
	}
	second, err := listenNear(addr, 9)
	if err != nil {
		t.Fatal(err)
	}
	defer second[0].Close()
	if got := second[0].Addr().(*net.TCPAddr).Port; got <= port || got > port+9 {
		t.Errorf("the spare port of %d is %d", port, got)
	}
}

func isPortError(err error) bool {
	_, ok := errors.AsType[*PortError](err)
	return ok
}
