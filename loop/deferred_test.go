package loop

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// elsewhere delivers publications as if they came from another node.
func (b *slowBus) elsewhere(room string, bodies ...string) {
	pubs := others(room, bodies)
	Number(pubs, 9, 1)
	b.dir.Deliver(0, pubs)
}

func others(room string, bodies []string) []*Publication {
	var pubs []*Publication
	for _, body := range bodies {
		pubs = append(pubs, &Publication{Room: room, Value: []byte(body)})
	}
	return pubs
}

func TestWhatComesFromElsewhereWaitsForTheCreditOfItsRoomOnly(t *testing.T) {
	r, bus := newSlowRig(t, func(c *Config) { c.RoomCredit = 100 })
	f, other := r.open(0, "x", 0), r.open(0, "y", 0)
	bus.elsewhere("x", numbered("m", 20)...) // each takes 26 or 27 bytes
	bus.elsewhere("y", "at once")
	if got, want := len(r.loop(0).inbox.posts), 4+1; got != want {
		t.Errorf("%d publications in the inbox, want %d", got, want)
	}
	if r.node.Parked() == 0 {
		t.Error("nothing is counted as deferred")
	}
	r.rest()
	if got, want := f.frames(t), numbered("m", 20); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := other.frames(t); len(got) != 1 {
		t.Errorf("the other room got %q", got)
	}
	if n := r.node.Parked(); n != 0 {
		t.Errorf("%d bytes are still counted as deferred", n)
	}
}

// Without deferring, the whole burst would be in the member's backlog at once, and the backlog would be over the hard limit.
func TestABurstFromElsewhereKicksNobodyWhoReads(t *testing.T) {
	r, bus := newSlowRig(t, func(c *Config) {
		c.RoomCredit, c.SoftBacklog, c.HardBacklog = 2000, 2000, 8000
		c.StallBudget = 5 * time.Second
	})
	f := r.open(0, "x", 0)
	f.room = 0
	bodies := make([]string, 200)
	for i := range bodies {
		bodies[i] = message(500)
	}
	bus.elsewhere("x", bodies...)
	for range 200 {
		f.take(2000)
		r.step(10 * time.Millisecond)
	}
	f.take(-1)
	r.rest()
	if len(f.kicks) > 0 {
		t.Fatalf("kicked for %v", f.kicks)
	}
	if got, want := len(f.frames(t)), len(bodies); got != want {
		t.Errorf("%d messages, want %d", got, want)
	}
}

func TestAMemberThatTakesNothingHoldsUpNobodyForLong(t *testing.T) {
	r, bus := newSlowRig(t, func(c *Config) { c.RoomCredit, c.SoftBacklog, c.HardBacklog = 2000, 2000, 8000 })
	dead, alive := r.open(0, "x", 0), r.open(0, "x", 0)
	dead.room = 0
	bodies := make([]string, 100)
	for i := range bodies {
		bodies[i] = message(500)
	}
	bus.elsewhere("x", bodies...)
	r.rest()
	if r.node.Parked() == 0 {
		t.Fatal("nothing is deferred: the test does not reach what it is for")
	}
	for range 20 {
		r.step(Tick)
	}
	if got, want := len(alive.frames(t)), len(bodies); got != want {
		t.Errorf("%d messages, want %d", got, want)
	}
	if want := []CloseReason{ReasonBacklogHard}; !slices.Equal(dead.kicks, want) {
		t.Errorf("the dead one is kicked for %v, want %v", dead.kicks, want)
	}
}

func TestASlowMemberHoldsUpWhatIsParkedWithinItsBudgetOnly(t *testing.T) {
	t.Run("now", func(t *testing.T) { holdsUp(t, (*Directory).Deliver, 3) })
	t.Run("late", func(t *testing.T) { holdsUp(t, (*Directory).DeliverLate, 5*3) })
}

// holdsUp checks that a slow member holds up delivered publications for a budget of ticks, and no longer.
func holdsUp(t *testing.T, deliver func(d *Directory, lane int, pubs []*Publication), budget int) {
	r, bus := newSlowRig(t, func(c *Config) {
		c.RoomCredit, c.SoftBacklog, c.HardBacklog = 2000, 2000, 1<<20
		c.BacklogTime, c.StallBudget = time.Hour, 3*Tick
	})
	slow, alive := r.open(0, "x", 0), r.open(0, "x", 0)
	slow.room = 0
	bodies := make([]string, 100)
	for i := range bodies {
		bodies[i] = message(500)
	}
	// Ticks in which the member is just below the limit cost nothing, and deferred publications go on at a drain rate. In the
	// next burst of the same minute the member does not stall the room.
	for round, want := range []struct{ least, most int }{{budget - 1, 2*budget + 15}, {0, 1}} {
		pubs := others("x", bodies)
		Number(pubs, 9, 1)
		deliver(bus.dir, 0, pubs)
		r.rest()
		ticks := 0
		for ; len(alive.frames(t)) < (round+1)*len(bodies) && ticks < 100; ticks++ {
			slow.take(600) // one message per tick: it makes progress
			r.step(Tick)
		}
		if ticks < want.least || ticks > want.most {
			t.Errorf("burst %d was held up for %d ticks, want %d to %d", round, ticks, want.least, want.most)
		}
	}
}

func TestOwnPublicationsStayBehindWhatIsParked(t *testing.T) {
	r, bus := newSlowRig(t, func(c *Config) { c.RoomCredit = 60 })
	f := r.open(0, "x", 0)
	r.send(f, "own1", "own2", "own3", "own4") // more than the credit: own4 waits
	own := len(bus.held)
	bus.elsewhere("x", numbered("m", 10)...)
	bus.deliver()
	for r.rest(); len(bus.held) > 0; r.rest() {
		bus.deliver()
	}
	want := append(numbered("m", 10), "own1", "own2", "own3", "own4")
	if got := f.frames(t); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if own == 4 {
		t.Error("all were on their way at once: the test does not reach what it is for")
	}
	if n := r.node.Directory().Lookup("x").flow.bytes[srcLocal].Load(); n != 0 {
		t.Errorf("%d bytes of credit are gone", n)
	}
}

// Here a loop has released the credit and has not called resume yet.
func TestNobodyOvertakesWhatIsParked(t *testing.T) {
	r, bus := newSlowRig(t, nil)
	f := r.open(0, "x", 0)
	e := r.node.Directory().Lookup("x")
	e.flow.slow(srcRemote, 1)
	bus.elsewhere("x", "first")
	e.flow.slow(srcRemote, -1)
	bus.elsewhere("x", "second")
	r.rest()
	if got, want := f.frames(t), []string{"first", "second"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhatIsParkedForARoomThatVanishesIsForNobody(t *testing.T) {
	r, bus := newSlowRig(t, func(c *Config) { c.Loops, c.RoomCredit = 2, 100 })
	f := r.open(0, "x", 0)
	r.send(f, "own")
	old := r.node.Directory().Lookup("x")
	bus.elsewhere("x", numbered("m", 20)...)
	bus.deliver()
	f.gone(ReasonLeft)
	r.rang[0] = false // loop 0 does not get to handle its inbox
	next := r.open(1, "x", 0)
	bus.elsewhere("x", "new")
	r.turn(0)
	r.rest()
	if got, want := next.frames(t), []string{"new"}; !slices.Equal(got, want) {
		t.Errorf("the new room got %q, want %q", got, want)
	}
	if n, m := r.node.Parked(), old.flow.bytes[srcLocal].Load(); n != 0 || m != 0 {
		t.Errorf("%d bytes are counted as deferred and %d of credit are gone", n, m)
	}
}

func TestARoomThatWouldParkTooMuchIsGivenAllOfIt(t *testing.T) {
	r, bus := newSlowRig(t, func(c *Config) { c.RoomCredit, c.ParkedTotal = 100, 1000 })
	f := r.open(0, "x", 0)
	bus.elsewhere("x", numbered("m", 20)...)
	if n := r.node.Parked(); n > 1000 {
		t.Errorf("%d bytes are deferred, want 1000 at the most", n)
	}
	r.rest()
	if got, want := f.frames(t), numbered("m", 20); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The loops run on goroutines. Members with small buffers lag and stall their room all the time, while other nodes publish too.
func TestWhatIsParkedGoesOnWhoeverGivesTheCreditBack(t *testing.T) {
	const loops, rooms, messages = 3, 4, 1500
	w := newCity(t, loops)
	var members []*citizen
	for i := range rooms * 3 {
		members = append(members, w.connect(i%loops, string(rune('a'+i%rooms)), Variant(i%3)))
	}
	for _, c := range members {
		c.waitJoined()
	}
	var work sync.WaitGroup
	dir := w.node.Directory()
	parked := false
	work.Go(func() {
		for n := range messages {
			for room := range rooms {
				name := string(rune('a' + room))
				dir.Deliver(dir.laneOf(name), []*Publication{{Room: name, Value: []byte(message(n%90 + 1)), ID: ID{Tag: 7, Seq: uint64(n + 1)}}})
			}
			parked = parked || w.node.Parked() > 0
		}
	})
	orders := make([][]string, len(members))
	for i, c := range members {
		work.Go(func() { orders[i] = c.waitFrames(messages) })
	}
	w.wait(&work)
	for i, got := range orders {
		for n, body := range got {
			if len(body) != n%90+1 {
				t.Fatalf("member %d: message %d has %d bytes, want %d", i, n, len(body), n%90+1)
			}
		}
	}
	if !parked {
		t.Error("nothing was ever deferred: the test does not reach what it is for")
	}
	var ends sync.WaitGroup
	for _, c := range members {
		ends.Go(func() { c.finish(false) })
	}
	w.wait(&ends)
	w.stop()
	if n := w.node.Parked(); n != 0 {
		t.Errorf("%d bytes are counted as deferred at the end", n)
	}
}
