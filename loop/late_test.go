package loop

import (
	"strings"
	"testing"
)

// A client that comes back with an old position again and again makes the loop look at many publications, with the lane locked. So in
// each tick a loop looks at a limited number; members beyond that join in a later tick, and others are not held up.
func TestOldPositionsHaveABudget(t *testing.T) {
	r := repeatRig(t, func(c *Config) { c.Lanes = 1 })
	talker := r.open(0, "room", 2)
	const missed = 15_000
	for i := range missed {
		r.publish("room", "m"+strings.Repeat("x", i%50))
		if i%500 == 0 {
			r.rest()
		}
	}
	r.rest()
	var all []*fake
	for range 10 {
		f := &fake{room: 0}
		f.Init(f)
		r.loop(0).Adopt(&f.Conn)
		r.rest()
		f.JoinFrom("room", 2, Start{Since: r.since("room", 0), HasSince: true})
		all = append(all, f)
	}
	r.rest()
	joined := func() (n int) {
		for _, f := range all {
			n += f.joins
		}
		return n
	}
	if n, most := joined(), mostWalked/missed+1; n != most {
		t.Errorf("%d joined in one tick, want %d", n, most)
	}
	if other := r.open(0, "other", 2); other.joins != 1 {
		t.Error("a member without a position had to wait")
	}
	ticks := 0
	for ; joined() < len(all) && ticks < 10; ticks++ {
		r.step(Tick)
	}
	if ticks != 2 {
		t.Errorf("all had joined after %d more ticks, want 2", ticks)
	}
	all[9].fin = true // one leaves while it waits
	r.read(all[9])
	talker.take(-1)
	r.rest()
}

// A position that the lane of a single node has not reached is one that nobody was given. It is refused, also if the lane reaches it
// before the member's turn comes: what is published up to it lies in the inbox then, and would come in spite of the position.
func TestAPositionThatNobodyWasGivenIsRefused(t *testing.T) {
	r := repeatRig(t, func(c *Config) { c.Lanes = 1 })
	r.open(0, "room", 0)
	r.publish("room", "a")
	r.rest()
	var backs [2]fake
	var openings [2]Opening
	for i := range backs {
		f := &backs[i]
		f.room = -1
		f.Init(f)
		f.onJoined = func() {
			openings[i] = f.Loop().Opening()
			if i == 0 {
				r.publish("room", "b", "c")
			}
		}
		r.loop(0).Adopt(&f.Conn)
		r.rest()
	}
	for i := range backs {
		backs[i].JoinFrom("room", 2, Start{Since: r.since("room", 2), HasSince: true})
	}
	r.rest()
	if openings[1].Resumed || openings[1].At.Seq != 1 {
		t.Errorf("opening %+v, and then %q", openings[1], backs[1].frames(t))
	}
}
