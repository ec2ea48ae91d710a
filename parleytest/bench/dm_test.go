package bench

import "testing"

func benchDM(t *testing.T, s *suite) {}
