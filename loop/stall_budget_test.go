package loop

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// drains lets f read perStep bytes in each step, through a kernel buffer of the given size.
func drains(f *fake, buffer, perStep int) {
	f.take(min(f.room+perStep, buffer))
}

// Members of a room read so slowly that they use up its budget; whenever one of them is kicked, another one comes. The
// publications that are deferred meanwhile must not cause a kick of another member, which reads three times as fast as the room
// publishes.
func TestMembersThatHoldARoomUpDoNotHaveTheOthersKicked(t *testing.T) {
	const size, steps = 500, 1500 // 15 s
	for _, perStep := range []int{4, 20, 100} {
		for _, attackers := range []int{1, 6} {
			t.Run(fmt.Sprintf("%dkB/s/attackers=%d", perStep*size/10, attackers), func(t *testing.T) {
				r, bus := newSlowRig(t, func(c *Config) { c.Loops = 2 })
				good := r.open(0, "x", 0)
				good.room = 128 << 10
				slow := make([]*fake, attackers)
				bodies := make([]string, perStep)
				for i := range bodies {
					bodies[i] = message(size)
				}
				parked, kicks, late := int64(0), 0, 0
				for n := range steps {
					for i := range slow {
						if slow[i] == nil || len(slow[i].kicks) > 0 {
							if slow[i] != nil {
								kicks++
							}
							slow[i] = r.open(i%2, "x", 0)
							slow[i].room = i * 64 << 10 // so that they go over their limits one after the other
						}
						if (n+7*i)%20 == 0 {
							slow[i].take(max(slow[i].room, 2*size))
						}
					}
					bus.elsewhere("x", bodies...)
					parked = max(parked, r.node.Parked())
					drains(good, 128<<10, 3*size*perStep)
					r.step(10 * time.Millisecond)
					if len(good.kicks) > 0 {
						t.Fatalf("kicked for %v at step %d, with %d bytes deferred", good.kicks, n, r.node.Parked())
					}
					if r.node.Parked() > 0 {
						late++
					}
				}
				for range 100 {
					drains(good, 128<<10, 3*size*perStep)
					r.step(10 * time.Millisecond)
				}
				if got, want := len(good.got)/(size+2), perStep*steps; got != want {
					t.Errorf("%d messages, want %d", got, want)
				}
				if kicks == 0 || parked == 0 {
					t.Errorf("%d of the slow were kicked, %d bytes deferred at the most: the test does not reach what it is for", kicks, parked)
				}
				t.Logf("%d of the slow were kicked; at most %d kB parked; late for %d ms", kicks, parked/1000, late*10)
			})
		}
	}
}

// No publication comes any more: the ticks alone must let the deferred publications go on.
func TestWhatGathersInAUsedUpBudgetGoesOnByItself(t *testing.T) {
	r, bus := newSlowRig(t, func(c *Config) { c.Loops, c.BacklogTime, c.HardBacklog = 2, time.Hour, 1<<30 })
	slow, good := r.open(1, "x", 0), r.open(0, "x", 0)
	slow.room = 0
	bodies := make([]string, 8000)
	for i := range bodies {
		bodies[i] = message(500)
	}
	bus.elsewhere("x", bodies...)
	ticks := 0
	for ; r.node.Parked() > 0 && ticks < 200; ticks++ {
		slow.take(1000)
		r.step(Tick)
	}
	r.rest()
	if got, want := len(good.frames(t)), len(bodies); got != want {
		t.Errorf("%d messages after %d ticks, want %d", got, ticks, want)
	}
	if ticks < 60 || ticks > 130 {
		t.Errorf("it took %d ticks, want 60 to 130: the budget, and more at a pace", ticks)
	}
	r.step(Tick)
	if n := r.node.Directory().draining(); n != 0 {
		t.Errorf("%d rooms are still paced", n)
	}
}

// When the deferred bytes have reached their limit, one deferred byte goes on for each byte that comes. All deferred bytes at
// once would be too much for the members.
func TestARoomThatMayParkNoMoreGoesOnAsMuchAsComes(t *testing.T) {
	r, bus := newSlowRig(t, func(c *Config) { c.ParkedTotal = 1 << 20 })
	slow, good := r.open(0, "x", 0), r.open(0, "x", 0)
	slow.room = 0
	for n := range 4000 {
		before := len(good.got)
		bus.elsewhere("x", message(1000))
		r.rest()
		if len(slow.kicks) > 0 && n > 900 {
			return // kicked for HardBacklog
		}
		if got := len(good.got) - before; n > 200 && got > 2*1002 {
			t.Fatalf("message %d brought %d bytes to a member at once", n, got)
		}
	}
	t.Error("the test does not reach what it is for")
}

// One short message out of a large batch must not keep the memory of the whole batch while it is deferred.
func TestWhatIsParkedKeepsItselfOnly(t *testing.T) {
	const batches = 200
	r, bus := newSlowRig(t, nil)
	f := r.open(0, "x", 0)
	f.room = 0
	e := r.node.Directory().Lookup("x")
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for _, parked := range []bool{false, true} {
		if parked {
			e.flow.slow(srcRemote, 1)
		}
		before := heap()
		for range batches {
			batch := "x" + strings.Repeat("others", 10_000)
			bus.elsewhere(batch[:1], "short")
		}
		if got := heap() - before; got > 1<<20 {
			t.Errorf("deferred %v: %d short messages keep %d bytes", parked, batches, got)
		}
		r.rest()
	}
	runtime.KeepAlive(r)
}

// A slow member slows down the publishers on its node at their source, for at most StallBudget in 10 s. Their publications must
// not wait for any other reason, even if they go through other machines.
func TestASlowMemberHoldsUpThePublishersOfItsNodeWithinTheirBudgetOnly(t *testing.T) {
	r, bus := newSlowRig(t, nil)
	slow, good := r.open(0, "x", 0), r.open(0, "x", 0)
	slow.room, good.null = 0, true
	silent, longest := 0, 0
	for n := range 1000 {
		if len(good.in) < 10_000 {
			good.arrive(numbered(message(500), 20)...)
		}
		before := len(good.parsed)
		r.read(good)
		for len(bus.held) > 0 {
			bus.deliver()
			r.rest()
		}
		if silent++; len(good.parsed) > before {
			silent = 0
		}
		longest = max(longest, silent)
		if len(slow.kicks) > 0 {
			break
		}
		if n%20 == 0 {
			slow.take(1000)
		}
		r.step(10 * time.Millisecond)
	}
	if longest < 50 || longest > 120 {
		t.Errorf("they were held up for %d ms at once, want 1000 at the most", longest*10)
	}
	if len(slow.kicks) == 0 {
		t.Error("the slow one stays")
	}
}
