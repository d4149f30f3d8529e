package loop

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// message returns a body of n bytes.
func message(n int) string { return strings.Repeat("m", n) }

// Stage 1: batches.

func TestEverythingOfATurnIsOneWriteAMember(t *testing.T) {
	r := newRig(t, nil)
	all := r.openAll(3, 0, "room")
	r.publish("room", numbered("m", 32)...)
	r.rest()
	for _, f := range all {
		if got, want := f.sends, 1; got != want {
			t.Errorf("%d sends for 32 messages, want %d", got, want)
		}
		if got, want := f.frames(t), numbered("m", 32); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestABatchIsCutAt64KiB(t *testing.T) {
	r := newRig(t, nil)
	f := r.open(0, "room", 0)
	for range 4 {
		r.publish("room", message(30<<10))
	}
	r.rest()
	if got, want := f.sends, 2; got != want {
		t.Errorf("%d sends for 4 messages of 30 KiB, want %d", got, want)
	}
	if got, want := len(f.frames(t)), 4; got != want {
		t.Errorf("%d frames, want %d", got, want)
	}
}

// Stage 2: stall.

// stallRig makes a room with a publisher that reads all messages, and a member that takes one frame and then no more bytes.
func stallRig(t *testing.T, change func(*Config)) (r *rig, publisher, slow *fake) {
	r = newRig(t, func(c *Config) {
		c.SoftBacklog, c.HardBacklog = 1000, 1<<20
		c.BacklogTime = time.Hour
		if change != nil {
			change(c)
		}
	})
	publisher, slow = r.open(0, "room", 0), r.open(0, "room", 0)
	slow.room = 100
	return r, publisher, slow
}

// stalled reports whether messages that the publisher sends now have to wait.
func stalled(r *rig, publisher *fake) bool {
	n := len(publisher.parsed)
	r.send(publisher, "question")
	r.rest()
	return len(publisher.parsed) == n
}

func TestAMemberOverTheSoftLimitStallsThePublishersOfItsRoomOnly(t *testing.T) {
	r, publisher, slow := stallRig(t, func(c *Config) { c.Loops = 2 })
	remote, other := r.open(1, "room", 0), r.open(0, "another room", 0)
	for range 3 {
		r.publish("room", message(600))
		r.rest()
	}
	if !stalled(r, publisher) || !stalled(r, remote) {
		t.Error("publishers of the room are read on, want them to wait, on every loop")
	}
	if stalled(r, other) {
		t.Error("a publisher of another room waits, want it to be read")
	}
	slow.take(-1)
	r.rest()
	if got, want := len(publisher.parsed)+len(remote.parsed), 2; got != want {
		t.Errorf("%d messages of the waiting publishers were parsed once the member was below again, want %d", got, want)
	}
	if len(slow.kicks) > 0 {
		t.Errorf("kicked for %v, want nothing", slow.kicks)
	}
}

func TestAMemberThatTakesNothingStallsNobodyForLong(t *testing.T) {
	r, publisher, _ := stallRig(t, nil)
	for range 3 {
		r.publish("room", message(600))
		r.rest()
	}
	if !stalled(r, publisher) {
		t.Fatal("the publisher is read on, want it to wait")
	}
	began := r.now
	for len(publisher.parsed) == 0 && r.now < began+5*time.Second {
		r.step(Tick)
	}
	if took := r.now - began; took < 250*time.Millisecond || took > 500*time.Millisecond {
		t.Errorf("it waited %v for a member that takes nothing, want 250 to 500 ms", took)
	}
	if stalled(r, publisher) {
		t.Error("it is stalled again by the same member, want no more")
	}
}

func TestARoomIsStalledForItsBudgetAndNoLongerInTenSeconds(t *testing.T) {
	r, publisher, slow := stallRig(t, func(c *Config) { c.StallBudget = 500 * time.Millisecond })
	waited, turns := 0, 0
	for range 90 { // 9 s; in each tick the member exceeds the soft limit again and then reads something
		for range 3 {
			r.publish("room", message(600))
			r.rest()
		}
		r.step(Tick)
		turns++
		if r.loop(0).rooms.byName["room"].entry.flow.closed(srcLocal) {
			waited++
		}
		slow.take(100_000)
		r.rest()
		slow.take(0)
	}
	if waited < 3 || waited > 6 {
		t.Errorf("stalled at %d of %d ticks, want about 5: the budget is 0.5 s in 10 s", waited, turns)
	}
	if stalled(r, publisher) {
		t.Error("the publisher waits after the budget is used up, want it to be read")
	}
	slow.take(-1)
	r.rest()
	for range 110 { // until a new window has begun
		r.step(Tick)
	}
	slow.take(0)
	for range 3 {
		r.publish("room", message(600))
		r.rest()
	}
	if !stalled(r, publisher) {
		t.Error("the publisher is read on in a new window, want it to wait")
	}
}

// lagOn lets members over the soft limit take one frame in each step, and sends them another frame, so that they stay over the
// limit.
func lagOn(r *rig, slow []*fake, step time.Duration) {
	r.publish("room", message(600))
	r.rest()
	for _, f := range slow {
		f.take(602)
	}
	r.rest()
	r.step(step)
}

func TestMembersThatStayOverTheSoftLimitButTakeSomethingStallForTheWholeBudget(t *testing.T) {
	for _, step := range []time.Duration{Tick, 2 * Tick} {
		r, publisher, one := stallRig(t, nil) // the stall budget is one second
		slow := append(r.openAll(2, 0, "room"), one)
		slow[0].room, slow[1].room = 100, 100
		for range 4 {
			r.publish("room", message(600))
			r.rest()
		}
		began := r.now
		for r.node.Directory().Lookup("room").flow.closed(srcLocal) && r.now < began+5*time.Second {
			lagOn(r, slow, step)
		}
		if took := r.now - began; took < 900*time.Millisecond || took > 1300*time.Millisecond {
			t.Errorf("a turn each %v: stalled for %v, want the budget of a second", step, took)
		}
		if stalled(r, publisher) {
			t.Error("the publisher waits after the budget is used up, want it to be read")
		}
	}
}

func TestAMemberThatFallsBelowTheSoftLimitStartsAnewWithItsTime(t *testing.T) {
	r, _, slow := stallRig(t, func(c *Config) { c.BacklogTime = time.Second })
	for range 5 {
		for range 3 {
			r.publish("room", message(600))
			r.rest()
		}
		r.step(900 * time.Millisecond)
		slow.take(slow.backlog.bytes - 500) // at most one frame is left
		r.rest()
		r.publish("room", "x") // the member is now below the limit; this publication makes the loop check it
		r.rest()
	}
	if slow.backlog == nil || len(slow.kicks) > 0 {
		t.Errorf("kicked for %v (lagging: %v), want it to lag all the time and not to be kicked", slow.kicks, slow.backlog != nil)
	}
}

func TestWhoLeavesStallsNobody(t *testing.T) {
	r, publisher, slow := stallRig(t, nil)
	for range 3 {
		r.publish("room", message(600))
		r.rest()
	}
	if !stalled(r, publisher) {
		t.Fatal("the publisher is read on, want it to wait")
	}
	r.loop(0).Closed(&slow.Conn)
	r.rest()
	if got, want := len(publisher.parsed), 1; got != want {
		t.Errorf("%d messages parsed after the slow one has left, want %d", got, want)
	}
}

// Stage 3: kick.

func TestAMemberOverTheHardLimitIsKickedAndItsLastWordsStandBehindTheFrameThatHadBegun(t *testing.T) {
	r := newRig(t, func(c *Config) { c.SoftBacklog, c.HardBacklog = 1000, 2000 })
	slow, other := r.open(0, "room", 0), r.open(0, "room", 0)
	slow.room = 300
	for range 5 {
		r.publish("room", message(600))
		r.rest()
	}
	if want := []CloseReason{ReasonBacklogHard}; !slices.Equal(slow.kicks, want) {
		t.Fatalf("kicks %v, want %v", slow.kicks, want)
	}
	if slow.finned {
		t.Error("FIN before the last words are written")
	}
	slow.take(-1)
	r.rest()
	if got, want := slow.frames(t), []string{message(600), "kicked: backlog_hard"}; !slices.Equal(got, want) {
		t.Errorf("got %.40q, want the begun frame and the last words", got)
	}
	if !slow.finned {
		t.Error("no FIN after the last words")
	}
	if got, want := len(other.frames(t)), 5; got != want {
		t.Errorf("the other member got %d frames, want %d", got, want)
	}
	if got, want := r.stats(0).Dropped[ReasonBacklogHard], uint64(4-1); got != want && got != want+1 {
		t.Errorf("%d frames dropped, want %d or %d: those that waited when the limit was exceeded", got, want, want+1)
	}
}

func TestAMemberOverTheSoftLimitForTooLongIsKicked(t *testing.T) {
	r, _, slow := stallRig(t, func(c *Config) { c.BacklogTime = time.Second })
	for range 3 {
		r.publish("room", message(600))
		r.rest()
	}
	began := r.now
	for len(slow.kicks) == 0 && r.now < began+10*time.Second {
		r.step(Tick)
	}
	if took := r.now - began; took <= time.Second || took > time.Second+2*Tick {
		t.Errorf("kicked after %v, want just over %v", took, time.Second)
	}
	if want := []CloseReason{ReasonBacklogSoft}; !slices.Equal(slow.kicks, want) {
		t.Errorf("kicks %v, want %v", slow.kicks, want)
	}
}

func TestAMemberThatFallsBelowTheSoftLimitBetweenIsNotKicked(t *testing.T) {
	r, _, slow := stallRig(t, func(c *Config) { c.BacklogTime = time.Second })
	for range 6 {
		for range 3 {
			r.publish("room", message(600))
			r.rest()
		}
		r.step(900 * time.Millisecond)
		slow.take(100_000)
		r.rest()
		slow.take(0)
	}
	if len(slow.kicks) > 0 {
		t.Errorf("kicked for %v, want nothing", slow.kicks)
	}
}

func TestTheSlowestIsShedFirstWhenTheNodeHoldsTooMuch(t *testing.T) {
	r := newRig(t, func(c *Config) { c.BacklogTotal = 10_000; c.SoftBacklog = 1 << 20; c.HardBacklog = 1 << 20 })
	slow, slower, fine := r.open(0, "room", 0), r.open(0, "slower", 0), r.open(0, "room", 0)
	slow.room, slower.room = 0, 0
	r.publish("room", message(500), message(500))
	r.rest()
	for len(slower.kicks)+len(slow.kicks) == 0 {
		r.publish("slower", message(500), message(500))
		r.rest()
	}
	if want := []CloseReason{ReasonShed}; !slices.Equal(slower.kicks, want) || len(slow.kicks)+len(fine.kicks) > 0 {
		t.Errorf("kicks: slower %v, slow %v, fine %v, want only %v of the slower", slower.kicks, slow.kicks, fine.kicks, want)
	}
	if got, limit := r.node.Held(), int64(10_000); got > limit {
		t.Errorf("%d bytes held after shedding, want at most %d", got, limit)
	}
}

// Memory.

func TestAThousandLaggingMembersHoldTheFramesOfTheirRoomOnce(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Loops = 2; c.SoftBacklog, c.HardBacklog = 1<<20, 1<<20 })
	all := append(r.openAll(500, 0, "room"), r.openAll(500, 1, "room")...)
	for _, f := range all {
		f.room = 0
	}
	for range 100 {
		r.publish("room", message(500))
		r.rest()
	}
	// The kernel has taken a part of the first frame, and the rest of a frame counts no reference. Each of the two loops has its
	// own batch for each of the other 99 frames.
	want := int64(100*(500+pubMemory) + 99*(2*batchMemory+len(all)*refMemory))
	if got := r.node.Held(); got != want {
		t.Errorf("1,000 members that take nothing hold %d bytes, want %d: 100 frames once", got, want)
	}
	for _, f := range all {
		f.take(-1)
	}
	r.rest()
	if got := r.node.Held(); got != 0 {
		t.Errorf("%d bytes held after everybody has everything, want 0", got)
	}
	for _, f := range all {
		if got, want := len(f.frames(t)), 100; got != want {
			t.Fatalf("%d frames, want %d", got, want)
		}
	}
}

func TestSlowMembersGetEverythingInOrderHoweverLittleTheyTake(t *testing.T) {
	for _, variant := range []Variant{0, 2} {
		for size := 1; size < 40; size += 3 {
			r := newRig(t, func(c *Config) { c.FlushSlice = 1 })
			f := r.open(0, "room", variant)
			f.room = size
			var want []string
			for i := range 12 {
				bodies := numbered(strings.Repeat("x", i), 1+i%3)
				want = append(want, bodies...)
				r.publish("room", bodies...)
				r.rest()
				f.take(size)
				r.rest()
			}
			for f.backlog != nil {
				f.take(size)
				r.rest()
			}
			if got := f.frames(t); !slices.Equal(got, want) {
				t.Fatalf("%d bytes at a time: got %q, want %q", size, got, want)
			}
			if s := r.stats(0); s.Delivered != uint64(len(want)) || r.node.Held() != 0 {
				t.Fatalf("%d bytes at a time: %d delivered, %d bytes held, want %d and 0", size, s.Delivered, r.node.Held(), len(want))
			}
		}
	}
}

func TestABatchIsUsedAgainOnceNobodyHoldsIt(t *testing.T) {
	r := newRig(t, nil)
	f := r.open(0, "room", 0)
	for range 5 {
		f.room = 0
		r.publish("room", "a", "b", "c")
		r.rest()
		if got, want := len(r.loop(0).fanout.batches.free), 0; got != want {
			t.Fatalf("%d free batches while a member holds the only one, want %d", got, want)
		}
		f.take(-1)
		r.rest()
		if got, want := len(r.loop(0).fanout.batches.free), 1; got != want {
			t.Fatalf("%d free batches, want %d", got, want)
		}
	}
}

// Control frames.

func TestControlFramesGoBetweenFramesAndOnlyTheNewestWaits(t *testing.T) {
	r := newRig(t, nil)
	f := r.open(0, "room", 0)
	f.room = 5
	r.publish("room", "message 1", "message 2")
	r.rest()
	for _, pong := range []string{"pong 1", "pong 2", "pong 3"} {
		f.Control(frame1(pong))
	}
	f.take(-1)
	r.rest()
	if got, want := f.frames(t), []string{"message 1", "pong 3", "message 2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAControlFrameThatWasCutIsFinishedBeforeAnythingElse(t *testing.T) {
	for room := range 9 {
		r := newRig(t, nil)
		f := r.open(0, "room", 0)
		f.room = room
		f.Control(frame1("pong 1"))
		r.publish("room", "message")
		r.rest()
		f.Control(frame1("pong 2"))
		for f.backlog != nil { // the kernel takes the waiting control frame in parts, too
			f.take(3)
			r.rest()
		}
		want := []string{"pong 1", "pong 2", "message"}
		if room >= 8 {
			want = []string{"pong 1", "message", "pong 2"}
		}
		if got := f.frames(t); !slices.Equal(got, want) {
			t.Errorf("room for %d bytes: got %q, want %q", room, got, want)
		}
	}
}

func TestNoControlFrameBehindTheLastWords(t *testing.T) {
	r := newRig(t, nil)
	f := r.open(0, "room", 0)
	r.send(f, "message", "X")
	f.Control(frame1("pong"))
	r.rest()
	f.Control(frame1("pong"))
	if got, want := f.frames(t), []string{"message", "last words"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// On a busy machine the loop of the slowest member may not run for a while. Backlogs must not grow until it does.
func TestALoopShedsItsOwnMembersIfTheLoopOfTheSlowestDoesNotRun(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Loops = 2
		c.BacklogTotal = 10_000
		c.SoftBacklog = 1 << 20
		c.HardBacklog = 1 << 20
	})
	slow, slowest := r.open(0, "room", 0), r.open(1, "slowest", 0)
	slow.room, slowest.room = 0, 0
	for range 8 {
		r.publish("slowest", message(500))
		r.rest()
	}
	r.step(Tick) // publishes the weights
	for turns := 1; len(slow.kicks) == 0; turns++ {
		r.publish("room", message(500))
		r.turn(0)
		if most := 10_000 + (mostLeft+1)*1_000; r.node.Held() > int64(most) {
			t.Fatalf("%d bytes held after %d turns, want at most %d", r.node.Held(), turns, most)
		}
	}
	if want := []CloseReason{ReasonShed}; !slices.Equal(slow.kicks, want) || len(slowest.kicks) > 0 {
		t.Errorf("kicks: slow %v, slowest %v, want only %v of the slow", slow.kicks, slowest.kicks, want)
	}
}
