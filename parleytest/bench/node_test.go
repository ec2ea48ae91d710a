package bench

import "testing"

func benchNode(t *testing.T, s *suite) {}
