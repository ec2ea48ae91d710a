package parleytest

import (
	"testing"
	"testing/synctest"
	"time"

	apiv1 "parley/gen/parley/api/v1"
)

// TestLookupsAfterRestarts: every node finds another by nothing but its id,
// after the first half and then the second half of the network was restarted.
// `make bench AREA=dht` does the same with 100 nodes.
func TestLookupsAfterRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 24 // more than the 20 of a bucket
		w := NewWorld(t, n, Options{})
		w.Pass(time.Minute)
		for half := range 2 {
			var nodes []int
			for i := range n / 2 {
				nodes = append(nodes, half*n/2+i)
			}
			w.RestartAll(nodes...)
			w.Pass(time.Minute)
		}
		for i := range n {
			id := string(w.Node((i + 7) % n).Device())
			found, err := w.Node(i).Client().Network.FindPeer(t.Context(), &apiv1.FindPeerRequest{Who: id})
			if err != nil || len(found.Devices) != 1 || len(found.Devices[0].Addresses) == 0 {
				t.Errorf("node %d looks for node %d: %v, %v", i, (i+7)%n, found, err)
			}
		}
	})
}
