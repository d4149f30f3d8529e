package loop

import (
	"testing"
)

func TestFramesAreDeliveredWithoutAllocating(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	body := []byte(message(128))
	for _, members := range []int{1, 10, 1000} {
		for _, batch := range []int{1, 8} {
			r := newRig(t, nil)
			for _, f := range r.openAll(members, 0, "room") {
				f.null = true
			}
			l := r.loop(0)
			turn := func() {
				for range batch {
					r.node.Publish("room", 0, KindText, body)
				}
				for l.Turn(r.now); l.dirtyHead < len(l.dirty); {
					l.Turn(r.now)
				}
			}
			turn()
			got := testing.AllocsPerRun(100, turn) / float64(batch)
			if got > 2 {
				t.Errorf("%d members, %d messages a turn: %.2f allocations a publication, want at most 2 (itself and its frame)", members, batch, got)
			}
		}
	}
}

func TestALoopWithoutWorkDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := newRig(t, nil)
	all := r.openAll(1000, 0, "room")
	l := r.loop(0)
	if got := testing.AllocsPerRun(100, func() {
		for _, f := range all {
			f.Touch(r.now)
		}
		r.now += Tick
		l.Turn(r.now)
	}); got > 0 {
		t.Errorf("a tick with 1,000 heartbeats allocates %.2f times, want 0", got)
	}
}

func TestAFrameIsEncodedOncePerVariant(t *testing.T) {
	for _, loops := range []int{1, 2} {
		r := newRig(t, func(c *Config) { c.Loops, c.FlushBudget, c.FlushSlice = loops, 7, 3 })
		for i := range 30 {
			r.open(i%loops, "room", Variant(i%3))
		}
		slow := r.open(0, "room", 1)
		slow.room = 10
		r.publish("room", numbered("m", 5)...)
		r.rest()
		r.publish("room", "alone")
		r.rest()
		slow.take(-1)
		r.rest()
		for v := range 3 {
			if got, want := r.builds[v].Load(), int64(6); got != want {
				t.Errorf("%d loops: variant %d encoded %d times for 6 publications, want %d", loops, v, got, want)
			}
		}
	}
}
