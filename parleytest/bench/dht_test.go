package bench

import "testing"

func benchDHT(t *testing.T, s *suite) {}
