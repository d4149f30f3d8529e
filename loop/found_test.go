package loop

import (
	"slices"
	"testing"
)

// Each test here fails as of writing: it shows a defect. Its comment says which, and what would mend it.

// A frame that stands half in the input of its connection (starved), whose rest comes together with FIN while the
// publisher is paused: stash appends to the input with keep, which leaves starved set, so that parseable is false for ever
// and the connection leaves with everything unparsed. Cure: keep clears starved (read already does).
func TestAPausedPublisherWithHalfAFrameLosesNothing(t *testing.T) {
	r := newRig(t, nil)
	f, other := r.open(0, "room", 0), r.open(0, "room", 0)
	f.arrive(numbered("m", 3)...)
	stream := f.in
	f.in = append([]byte(nil), stream[:6]...) // one frame and a half
	r.read(f)
	r.node.congested.Add(1)
	f.in = stream[6:]
	f.fin = true
	r.read(f)
	f.in = nil
	r.loop(0).Closed(&f.Conn)
	r.rest()
	r.node.congested.Add(-1)
	r.node.resume()
	r.rest()
	if got, want := other.frames(t), numbered("m", 3); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The same without any pause: large messages use up the bytes of the budget, the read ends inside a frame, and the peer
// has finished.
func TestLargeMessagesBeforeFINAreAcceptedWhateverTheBudget(t *testing.T) {
	r := newRig(t, nil)
	f, other := r.open(0, "room", 0), r.open(0, "room", 0)
	for range 20 {
		f.arrive(message(30 << 10))
	}
	f.fin = true
	r.read(f)
	f.in = nil
	r.loop(0).Closed(&f.Conn)
	r.rest()
	if got, want := len(other.frames(t)), 20; got != want {
		t.Errorf("%d of %d messages that were sent before FIN arrived", got, want)
	}
}

// Member.from is written once, at joining, and compared by int32 distance: 2^31 publications later (6 hours of a room with
// 100,000 a second) every batch seems to lie before it, and the member gets nothing for the next 2^31. Cure: deliver sets
// m.from = b.end(), or positions of 64 bits.
func TestAMemberStillGetsEverythingAfterTwoBillionPublications(t *testing.T) {
	r := newRig(t, nil)
	f := r.open(0, "room", 0)
	var want []string
	for _, body := range numbered("m", 5) {
		r.loop(0).rooms["room"].pos += 1 << 30 // as if so many had been delivered
		r.publish("room", body)
		r.rest()
		want = append(want, body)
	}
	if got := f.frames(t); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Two connections wait for the bus; the session of the first one ends it inside Joined (a socket that broke, a drain).
// The room is empty for a moment and vanishes, and the loop of joined goes on with r.entry == nil: a panic. Cure: joined
// keeps the not yet entered ones in r.waiting (vanish looks at it), or holds vanish back.
func TestOneWhoEndsInsideJoinedDoesNotTakeTheRoomFromTheOthers(t *testing.T) {
	r := newRig(t, nil)
	var all []*fake
	for range 2 {
		f := &fake{room: -1}
		f.Init(f)
		r.loop(0).Adopt(&f.Conn)
		all = append(all, f)
	}
	r.rest()
	all[0].onJoined = func() { all[0].Finish(frame1("bye"), WhyClosed) }
	all[0].Join("room", 0)
	all[1].Join("room", 0)
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("panic: %v", p)
		}
	}()
	r.rest()
	r.publish("room", "message")
	r.rest()
	if got, want := all[1].frames(t), []string{"message"}; !slices.Equal(got, want) {
		t.Errorf("the second member got %q, want %q", got, want)
	}
}

// A node that holds too much because of one loop's members, which share what they hold, so that shedding one of them frees
// nothing: meanwhile every other loop sheds its own slowest member at each of its turns, though that one waits for a single
// frame. "The slowest are shed first" holds for a loop, not for the node. Cure: a loop publishes the size of its slowest (an
// atomic), and sheds only if no other loop's is larger. (Also: one member a turn, and nothing rings for the next one, so
// that 1,000 members that share their frames take 1,000 ticks to be shed if the node is calm.)
func TestALoopDoesNotShedAMemberThatHardlyLagsForAnotherLoopsSlowOnes(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Loops, c.BacklogTotal = 2, 50_000 })
	hogs, fine := r.openAll(5, 0, "hot"), r.open(1, "calm", 0)
	for _, f := range append(hogs, fine) {
		f.room = 0
	}
	r.publish("calm", "a", "b")
	r.rest()
	for range 100 {
		r.publish("hot", message(1000))
	}
	r.rest()
	for range 10 {
		r.step(Tick)
	}
	if len(fine.kicks) > 0 || r.node.Held() > 50_000 {
		t.Errorf("the member that waits for 6 bytes was kicked for %v and %d bytes are held, want only those kicked that hold 100 kB",
			fine.kicks, r.node.Held())
	}
}
