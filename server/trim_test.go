package server

import (
	"testing"
	"testing/synctest"
)

// seconds runs a trimmer with a number of accepted connections for each second, and returns the seconds in which it returned
// memory.
func seconds(t *testing.T, open int, accepted ...uint64) []int {
	t.Helper()
	var trims []int
	synctest.Test(t, func(*testing.T) {
		now := 0
		tr := &trimmer{free: func() { trims = append(trims, now) }}
		sum := uint64(0)
		for i, n := range accepted {
			now = i
			sum += n
			for range ticksPerLook {
				tr.tick(sum, open)
			}
			synctest.Wait()
		}
	})
	return trims
}

func TestMemoryIsGivenBackWhenAStormIsOver(t *testing.T) {
	steady := make([]uint64, 60)
	for i := range steady {
		steady[i] = 500
	}
	for _, c := range []struct {
		name     string
		open     int
		accepted []uint64
		want     []int
	}{
		{"a storm", 10_000, []uint64{0, 6000, 4000, 0, 0, 0}, []int{3}},
		{"two storms", 10_000, []uint64{5000, 0, 0, 5000, 100, 0}, []int{1, 4}},
		{"too few for their garbage", 900, []uint64{900, 0, 0, 0}, nil},
		{"few compared with the open ones", 100_000, []uint64{20_000, 0, 0, 6000, 0, 0}, []int{4}},
		{"a steady stream", 1000, steady, []int{20, 41}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := seconds(t, c.open, c.accepted...)
			if len(got) != len(c.want) {
				t.Fatalf("given back in seconds %v, want %v", got, c.want)
			}
			for i := range got {
				if got[i] != c.want[i] {
					t.Errorf("given back in seconds %v, want %v", got, c.want)
				}
			}
		})
	}
}
