package seal

import (
	"fmt"
	"math"
	"testing"
	"testing/cryptotest"

	"parley/internal/chat"
)

// census counts byte values at each position of equally long blobs, and values
// of 10-bit groups from groupStart on, least significant bit first: the packing
// of ML-KEM ciphertexts.
type census struct {
	blobs  int
	bytes  [][256]uint16
	groups [][1024]uint16
}

// groupStart is where a box's encapsulation begins.
const groupStart = boxNonceSize

// groupsEnd is past the last group counted: the whole encapsulation and some.
const groupsEnd = groupStart + 1200

func newCensus(size int) *census {
	return &census{
		bytes:  make([][256]uint16, size),
		groups: make([][1024]uint16, (min(size, groupsEnd)-groupStart)/5*4),
	}
}

func (c *census) add(blob []byte) {
	c.blobs++
	for i, v := range blob {
		c.bytes[i][v]++
	}
	for i := range len(c.groups) / 4 {
		p := blob[groupStart+5*i:]
		v := uint64(p[0]) | uint64(p[1])<<8 | uint64(p[2])<<16 | uint64(p[3])<<24 | uint64(p[4])<<32
		for j := range 4 {
			c.groups[4*i+j][v>>(10*j)&1023]++
		}
	}
}

// faults names the positions and groups whose counts are not uniform, at
// p = 10^-4 after Bonferroni's correction for the number of tests.
func (c *census) faults() (out []string) {
	tests := float64(len(c.bytes) + len(c.groups) + 1)
	var all [1024]float64
	check := func(what string, counts []uint16) {
		sum := 0.0
		expected := float64(c.blobs) / float64(len(counts))
		for _, n := range counts {
			d := float64(n) - expected
			sum += d * d / expected
		}
		if p := chiSquareTail(sum, float64(len(counts)-1)); p*tests < 1e-4 {
			out = append(out, fmt.Sprintf("%s (p = %.2g)", what, p))
		}
	}
	for i := range c.bytes {
		check(fmt.Sprintf("byte %d", i), c.bytes[i][:])
	}
	for i := range c.groups {
		check(fmt.Sprintf("group %d", i), c.groups[i][:])
		for v, n := range c.groups[i] {
			all[v] += float64(n)
		}
	}
	sum, expected := 0.0, float64(c.blobs)*float64(len(c.groups))/1024
	for _, n := range all {
		sum += (n - expected) * (n - expected) / expected
	}
	if p := chiSquareTail(sum, 1023); p*tests < 1e-4 {
		out = append(out, fmt.Sprintf("all groups (p = %.2g)", p))
	}
	return out
}

// chiSquareTail is the probability that chi-square with df degrees of freedom
// is x or more: Wilson and Hilferty's normal approximation, good to a few per
// cent of p at the sizes used here.
func chiSquareTail(x, df float64) float64 {
	v := 2 / (9 * df)
	z := (math.Cbrt(x/df) - (1 - v)) / math.Sqrt(v)
	return math.Erfc(z/math.Sqrt2) / 2
}

const uniformBlobs = 10_000

// mixedBlobs makes blobs of one size of every kind that fits it: plain ratchet
// messages, messages that offer a KEM key or answer one, and boxes.
func mixedBlobs(t *testing.T, size int, each func([]byte)) {
	a, b := newPair(t)
	sealing := NewBoxSecret().Public()
	mustOpen(t, &b, mustSeal(t, &a, "hi"), "hi")
	offering := b
	mustOpen(t, &a, mustSeal(t, &b, "offer"), "offer")
	states := []*Session{offering, a} // with ek, with ct
	mustOpen(t, &b, mustSeal(t, &a, "answer"), "answer")
	states = append(states, b) // plain
	kinds := states[2:]
	boxes := size >= 4<<10
	if boxes {
		kinds = states
	}
	for i := range uniformBlobs {
		text := make([]byte, i%700) // zeros: the worst plaintext
		if boxes && i%4 == 3 {
			blob, err := SealBox(sealing, text, size)
			if err != nil {
				t.Fatal(err)
			}
			each(blob)
			continue
		}
		s := kinds[i%len(kinds)]
		next, blob, err := s.Seal(noon, text, size)
		if err != nil {
			t.Fatal(err)
		}
		kinds[i%len(kinds)] = next
		each(blob)
	}
}

// TestBlobsAreUniform looks for any pattern in 10,000 blobs of a bucket. The
// seed is fixed, so the test gives one answer on one toolchain.
func TestBlobsAreUniform(t *testing.T) {
	for _, size := range chat.BlobSizes[:3] {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, uint64(size))
			c := newCensus(size)
			mixedBlobs(t, size, c.add)
			if f := c.faults(); len(f) > 0 || c.blobs != uniformBlobs {
				t.Errorf("%d blobs, not uniform at %d places: %v", c.blobs, len(f), f[:min(len(f), 5)])
			}
		})
	}
}

// TestUniformityTestSees proves the test above: boxes alone pass it, and the
// same boxes without their mask fail it in the groups and in X25519's top bit,
// even when only every fourth blob is one.
func TestUniformityTestSees(t *testing.T) {
	const size = 2 << 10
	cryptotest.SetGlobalRandom(t, 1)
	sealing := NewBoxSecret().Public()
	masked, bare, mixed := newCensus(size), newCensus(size), newCensus(size)
	for i := range uniformBlobs {
		blob, err := SealBox(sealing, nil, size)
		if err != nil {
			t.Fatal(err)
		}
		masked.add(blob)
		if i%4 > 0 {
			mixed.add(blob)
		}
		enc := blob[boxNonceSize : boxNonceSize+boxEncSize]
		maskEnc(enc, enc, sealing, blob[:boxNonceSize]) // its own inverse
		bare.add(blob)
		if i%4 == 0 {
			mixed.add(blob)
		}
	}
	if f := masked.faults(); len(f) > 0 {
		t.Errorf("masked boxes are not uniform at %d places: %v", len(f), f[:min(len(f), 5)])
	}
	for name, c := range map[string]*census{"alone": bare, "in a mix": mixed} {
		f := c.faults()
		t.Logf("unmasked boxes %s: %d places, %v ...", name, len(f), f[:min(len(f), 3)])
		top := fmt.Sprintf("byte %d (", boxNonceSize+boxEncSize-1)
		seen := false
		for _, place := range f {
			seen = seen || len(place) > len(top) && place[:len(top)] == top
		}
		if !seen || len(f) < 2 {
			t.Errorf("unmasked boxes %s pass: %v", name, f)
		}
	}
}
