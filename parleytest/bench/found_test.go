package bench

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
	"parley/parleytest"
)

// finding is what a world of whole nodes found after each half of it was
// restarted.
type finding struct{ share, seconds, hops float64 }

// benchFound is the share of look-ups by id that succeed in a world of whole
// nodes, with their hops and time.
func benchFound(t *testing.T, s *suite) {
	s.measure(t, "dht.found", 1, func(int) (Line, error) {
		n := sized(8, 100)
		f, err := find(t, n)
		if err != nil {
			t.Log(err)
		}
		for _, l := range []Line{
			{Metric: "dht.found/hops", Value: f.hops, Unit: "hops", N: n},
			{Metric: "dht.found/took", Value: f.seconds, Unit: "s", N: n},
		} {
			s.print(t, l)
		}
		return Line{Metric: "dht.found", Value: f.share, Unit: "share", N: n}, nil
	})
}

// find makes every node look for another by its id alone: the record through
// the API, and hops and time of the walk to the device.
func find(t *testing.T, n int) (out finding, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := parleytest.NewWorld(t, n, parleytest.Options{})
		w.Pass(time.Minute)
		for half := range 2 {
			var nodes []int
			for i := range n / 2 {
				nodes = append(nodes, half*(n/2)+i)
			}
			w.RestartAll(nodes...)
			w.Pass(time.Minute)
		}
		var took, hops []float64
		for i := range n {
			device := w.Node((i + n/3) % n).Device()
			if ferr := foundRecord(w.Node(i).Client(), string(device)); ferr != nil {
				err = errors.Join(err, fmt.Errorf("node %d: %w", i, ferr))
				continue
			}
			walk, ferr := w.Node(i).Inside().Host().Find(t.Context(), device)
			if ferr != nil {
				err = errors.Join(err, fmt.Errorf("node %d: %w", i, ferr))
				continue
			}
			took, hops = append(took, walk.Took.Seconds()), append(hops, float64(walk.Hops))
		}
		out.share = float64(len(took)) / float64(n)
		if len(took) > 0 {
			out.seconds, out.hops = Median(took), Median(hops)
		}
	})
	return out, err
}

func foundRecord(c *client.Client, device string) error {
	got, err := c.Network.FindPeer(context.Background(), &apiv1.FindPeerRequest{Who: device})
	if err != nil {
		return err
	}
	if len(got.Devices) != 1 || len(got.Devices[0].Addresses) == 0 {
		return fmt.Errorf("found nothing: %s", got.Text)
	}
	return nil
}
