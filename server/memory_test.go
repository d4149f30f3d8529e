package server

import (
	"os"
	"slices"
	"testing"
	"testing/synctest"
)

// seconds runs a memory for which the process allocates the given number of MiB in each second. The process keeps only live MiB
// of them. It returns the seconds in which the memory was returned to the system.
func seconds(t *testing.T, live uint64, allocated ...uint64) []int {
	t.Helper()
	var trims []int
	synctest.Test(t, func(*testing.T) {
		now, spare, sum := 0, uint64(0), uint64(0)
		h := &memory{
			read: func() heapState { return heapState{live: live << 20, spare: spare << 20, allocated: sum << 20} },
			free: func() { trims, spare = append(trims, now), 0 },
		}
		for i, n := range allocated {
			now = i
			sum += n
			spare = min(spare+n, live+16) // beyond this a collection comes, and the process uses the memory of the garbage again
			for range ticksPerLook {
				h.tick()
			}
			synctest.Wait()
		}
	})
	return trims
}

func TestMemoryIsGivenBackWhenTheWorkIsOver(t *testing.T) {
	steady := make([]uint64, 60)
	for i := range steady {
		steady[i] = 5
	}
	for name, c := range map[string]struct {
		live      uint64
		allocated []uint64
		want      []int
	}{
		"a storm":                       {10, []uint64{0, 12, 8, 0, 0, 0}, []int{3}},
		"two storms":                    {10, []uint64{10, 0, 0, 10, 0, 0}, []int{1, 4}},
		"little for its heap":           {100, []uint64{20, 0, 0, 0}, nil},
		"little at all":                 {1, []uint64{1, 0, 0, 0}, nil},
		"it adds up":                    {100, []uint64{20, 0, 8, 0}, []int{3}},
		"under load":                    {10, steady, nil},
		"a little goes on after a load": {50, append(slices.Clone(steady[:20]), 1, 1, 1, 1, 1, 1), []int{20}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := seconds(t, c.live, c.allocated...); !slices.Equal(got, c.want) {
				t.Errorf("given back in seconds %v, want %v", got, c.want)
			}
		})
	}
}

// Free memory in small pieces cannot be returned to the system. So the server must not try to return it in every second.
func TestWhatCannotBeReturnedIsAskedForOnce(t *testing.T) {
	trims := 0
	synctest.Test(t, func(*testing.T) {
		h := &memory{read: func() heapState { return heapState{live: 1 << 20, spare: 10 << 20, allocated: 20 << 20} }, free: func() { trims++ }}
		for range 10 * ticksPerLook {
			h.tick()
			synctest.Wait()
		}
	})
	if trims != 1 {
		t.Errorf("trimmed %d times, want once", trims)
	}
}

func TestGarbageIsHalfOfALargeHeapAndMoreOfASmallOne(t *testing.T) {
	var set []int
	h := &memory{percent: mostGarbage, set: func(percent int) { set = append(set, percent) }}
	for _, mib := range []uint64{1, 3, 8, 9, 16, 32, 1000, 900, 2} {
		h.adjust(mib << 20)
	}
	if want := []int{200, 100, 50, 400}; !slices.Equal(set, want) {
		t.Errorf("set %v percent, want %v", set, want)
	}
	h.percent = 0
	h.adjust(1)
	if len(set) != 4 {
		t.Error("the operator's GOGC was changed")
	}
}

// The figures of the real heap must change in the way that the other tests assume.
func TestTheHeapIsRead(t *testing.T) {
	before := readHeap()
	keep := make([]byte, 8<<20)
	after := readHeap()
	if after.allocated-before.allocated < 8<<20 || before.live == 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	_, _ = os.Stdout.Write(keep[:0])
}
