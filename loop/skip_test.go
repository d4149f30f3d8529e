package loop

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// slow opens a connection that takes kernel bytes, with the given handling of slow readers.
func (r *rig) slow(room string, how Slow, kernel int) *fake {
	r.Helper()
	f := &fake{room: kernel}
	f.Init(f)
	r.loop(0).Adopt(&f.Conn)
	r.rest()
	f.OnSlow(how)
	f.Join(room, 2)
	r.rest()
	return f
}

// A member with SlowGap loses what waits for it, stalls nobody, is not kicked, and is told once what it lost.
func TestASlowMemberIsToldOfItsGap(t *testing.T) {
	r := repeatRig(t, func(c *Config) { c.SoftBacklog, c.HardBacklog, c.BacklogTime = 1<<10, 4<<10, time.Second })
	talker := r.open(0, "room", 2)
	slow := r.slow("room", SlowGap, 50)
	for i := range 40 {
		r.send(talker, fmt.Sprint("m", i, strings.Repeat("x", 200)))
		r.rest()
		r.step(2 * Tick)
		if talker.has(flagPaused) || slow.Backlog() > 5<<10 {
			t.Fatalf("paused %v, backlog %d at message %d", talker.has(flagPaused), slow.Backlog(), i)
		}
	}
	slow.take(-1)
	r.rest()
	r.send(talker, "after")
	r.rest()
	got := slow.frames(t)
	if len(slow.kicks) > 0 || len(slow.gaps) != 1 {
		t.Fatalf("kicks %v, gaps %v, want one gap", slow.kicks, slow.gaps)
	}
	gap, at := slow.gaps[0], slices.IndexFunc(got, func(f string) bool { return strings.HasPrefix(f, "gap") })
	first := fmt.Sprint(gap.at.Seq+1, ":")
	if gap.pubs+len(got)-1 != 41 || gap.reason != GapSlow || !strings.HasPrefix(got[at+1], first) {
		t.Errorf("gap %+v among %d frames, the next frame is %.20q, want it to begin with %s", gap, len(got), got[at+1], first)
	}
}

// A member with SlowLatest gets the newest publication when it takes bytes again, and learns how many it lost.
func TestASlowMemberGetsTheLatest(t *testing.T) {
	r := repeatRig(t, nil)
	r.open(0, "room", 0)
	slow := r.slow("room", SlowLatest, 0)
	r.publish("room", numbered("m", 5)...)
	r.rest()
	r.publish("room", numbered("n", 5)...)
	r.rest()
	slow.take(-1)
	r.rest()
	if got, want := slow.frames(t), []string{"1:m0", "gap of 8, 0, at 9 in room", "10:n4"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The acknowledgement of a lost publication comes before the gap.
func TestALostPublicationIsAcknowledgedBeforeTheGap(t *testing.T) {
	r := repeatRig(t, func(c *Config) { c.SoftBacklog, c.HardBacklog = 100, 300 })
	slow := r.slow("room", SlowGap, 5)
	r.publish("room", "first")
	r.rest()
	slow.PublishBy(&Sender{Me: 1, Ref: 7}, KindText, []byte(strings.Repeat("x", 400)))
	r.rest()
	acks := len(slow.acks)
	slow.take(-1)
	r.rest()
	if len(slow.gaps) != 1 || acks != 1 || !slow.acks[0].behind || slow.acks[0].ref != 7 {
		t.Errorf("gaps %v, acknowledgements %v, %d before the gap", slow.gaps, slow.acks, acks)
	}
}

// When the node holds too much, a member with SlowGap gives up what waits for it; it goes only if that is not enough.
func TestSheddingTakesTheBacklogFirst(t *testing.T) {
	r := repeatRig(t, func(c *Config) { c.BacklogTotal, c.SoftBacklog, c.HardBacklog = 20_000, 1<<20, 1<<21 })
	r.open(0, "room", 0)
	slow := r.slow("room", SlowGap, 10)
	for range 40 {
		r.publish("room", strings.Repeat("x", 1000))
		r.rest()
	}
	slow.take(-1)
	r.rest()
	if len(slow.kicks) > 0 || len(slow.gaps) != 1 || r.node.Held() != 0 {
		t.Errorf("kicks %v, gaps %v, %d bytes held", slow.kicks, slow.gaps, r.node.Held())
	}
}

// A gap that the bus reports has its place in the order, reaches only variants that have a frame for it, and costs nothing as long
// as nobody has ids.
func TestAGapOfTheBusReachesMembersInOrder(t *testing.T) {
	r := repeatRig(t, func(c *Config) {
		c.Lanes = 1
		plain := c.Encodings[0]
		c.Encodings[0].Append = func(dst []byte, p *Publication) ([]byte, int) {
			if p.Kind.Notice() {
				return dst, -1
			}
			return plain.Append(dst, p)
		}
	})
	plain, with := r.open(0, "room", 0), r.open(0, "room", 2)
	lagging := r.open(0, "room", 0)
	other := r.open(0, "plain", 0)
	lagging.room = 1
	r.publish("room", "a")
	r.node.Gap(0, nil)
	r.publish("room", "b")
	r.node.Gap(0, []string{"room"})
	r.rest()
	lagging.take(-1)
	r.rest()
	for _, f := range []*fake{plain, lagging} {
		if got, want := f.frames(t), []string{"a", "b"}; !slices.Equal(got, want) {
			t.Errorf("without ids: got %q, want %q", got, want)
		}
	}
	if got, want := with.frames(t), []string{"1:a", "1:", "2:b", "2:"}; !slices.Equal(got, want) {
		t.Errorf("with ids: got %q, want %q", got, want)
	}
	if len(other.got) > 0 {
		t.Errorf("a room without ids got %q", other.got)
	}
}

// Positions are those of a lane: while other rooms fill the history, a quiet room is told that its position moves on.
func TestAQuietRoomIsMarked(t *testing.T) {
	r := repeatRig(t, func(c *Config) { c.Lanes, c.HistoryBytes = 1, 8*segmentSize })
	r.open(0, "busy", 0)
	r.publish("quiet", "before")
	quiet := r.open(0, "quiet", 2)
	plain := r.open(0, "plain", 0)
	marks := 0
	for i := range 100 {
		r.publish("busy", strings.Repeat("x", 60_000))
		r.rest()
		r.step(Tick)
		if got := quiet.frames(t); len(got) > marks {
			marks = len(got)
			if want := fmt.Sprint(i+2, ":"); got[marks-1] > want && len(got[marks-1]) >= len(want) {
				t.Fatalf("marked at %s after %s", got[marks-1], want)
			}
		}
		var seq uint64
		if marks > 0 {
			_, _ = fmt.Sscan(quiet.frames(t)[marks-1], &seq)
		}
		if i%10 == 9 { // the position that it was told last can be resumed at any time
			if back, o := r.resume(0, "quiet", Start{Since: r.since("quiet", max(seq, 1)), HasSince: true}, -1); !o.Resumed {
				t.Fatalf("after %d publications, position %d is refused", i, seq)
			} else {
				back.fin = true
				r.read(back)
				r.loop(0).Closed(&back.Conn)
				r.rest()
			}
		}
	}
	if marks < 3 || marks > 60 || len(plain.got) > 0 {
		t.Errorf("%d marks in 100 publications of 60 kB, and %d bytes for a member without ids", marks, len(plain.got))
	}
}

// A member with SlowGap whose backlog is nothing but the rest of a frame has nothing to lose, so to shed it is to end it.
func TestSheddingEndsAMemberThatHasOnlyTheRestOfAFrame(t *testing.T) {
	r := repeatRig(t, func(c *Config) { c.BacklogTotal, c.SoftBacklog, c.HardBacklog = 20_000, 1<<20, 1<<21 })
	slow := r.slow("room", SlowGap, 10)
	r.publish("room", strings.Repeat("x", 30_000))
	r.rest()
	if !slices.Contains(slow.kicks, ReasonShed) {
		t.Errorf("kicks %v, %d bytes held, want it shed", slow.kicks, r.node.Held())
	}
}

// Nothing that is later than what a member lost may be sent unless the member is told first, however its connection ends.
func TestAMemberThatIsOwedAGapGetsItBeforeItsLastFrames(t *testing.T) {
	for name, pending := range map[string]bool{"at once": false, "after its own publication": true} {
		r := repeatRig(t, func(c *Config) { c.SoftBacklog, c.HardBacklog = 1<<10, 4<<10 })
		bus := &lateBus{Embedded: r.bus}
		slow := r.slow("room", SlowGap, 10)
		r.publish("room", strings.Repeat("a", 100))
		r.rest()
		r.publish("room", strings.Repeat("b", 5000)) // is lost
		r.rest()
		r.publish("room", "later")
		r.rest()
		if pending {
			r.node.Use(bus)
			slow.Publish(KindText, []byte("own"))
		}
		slow.Finish(frame1("last words"), ReasonClosed)
		r.rest()
		slow.take(-1)
		r.rest()
		r.step(time.Hour)
		if got := slow.frames(t); len(got) < 3 || !strings.HasPrefix(got[1], "gap of 1, 0, at 2") {
			t.Errorf("%s: got %.30q, want the gap before what comes later", name, got)
		}
	}
}

// While a connection ends, its publications are no longer acknowledged. So it may not lose one of them and be told of the gap.
func TestAConnectionThatEndsLosesNothingSilently(t *testing.T) {
	r := repeatRig(t, func(c *Config) { c.Lanes, c.SoftBacklog, c.HardBacklog = 1, 1<<10, 4<<10 })
	bus := &lateBus{Embedded: r.bus, seq: 1}
	slow := r.slow("room", SlowGap, 10)
	r.publish("room", strings.Repeat("a", 100))
	r.rest()
	r.node.Use(bus)
	slow.PublishBy(&Sender{Me: 1, Ref: 1}, KindText, []byte(strings.Repeat("own", 2000)))
	slow.PublishBy(&Sender{Me: 1, Ref: 2}, KindText, []byte("second"))
	slow.Finish(frame1("last words"), ReasonClosed)
	bus.bring(1)
	r.rest()
	slow.take(-1)
	r.rest()
	bus.bring(1)
	r.rest()
	got := slow.frames(t)
	if len(slow.gaps) > 0 && len(slow.acks) == 0 || slices.Contains(got, "3:second") {
		t.Errorf("got %.30q, gaps %v, acknowledgements %v: its own publication is lost without an answer", got, slow.gaps, slow.acks)
	}
}

// A notice does not push the latest publication out, and a gap that the bus reported is not dropped without being told.
func TestTheLatestIsAPublicationAndNotANotice(t *testing.T) {
	r := repeatRig(t, func(c *Config) { c.Lanes = 1 })
	slow := r.slow("room", SlowLatest, 0)
	for _, v := range []string{"a", "b", "c"} {
		r.publish("room", v)
		r.rest()
	}
	r.node.Gap(0, nil)
	r.rest()
	slow.take(-1)
	r.rest()
	if got, want := slow.frames(t), []string{"1:a", "gap of 1, 0, at 2 in room", "3:c", "3:"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAGapOfTheBusIsNotLostWithABacklog(t *testing.T) {
	for name, then := range map[string]string{"latest": "d", "gap": strings.Repeat("d", 5000)} {
		r := repeatRig(t, func(c *Config) { c.Lanes, c.SoftBacklog, c.HardBacklog = 1, 1<<10, 4<<10 })
		slow := r.slow("room", map[string]Slow{"latest": SlowLatest, "gap": SlowGap}[name], 0)
		r.publish("room", "a")
		r.rest()
		r.node.Gap(0, nil)
		r.rest()
		r.publish("room", then)
		r.rest()
		slow.take(-1)
		r.rest()
		if len(slow.gaps) != 1 || slow.gaps[0].reason != GapBackend {
			t.Errorf("%s: got %.30q, want a gap that says what the bus reported", name, slow.frames(t))
		}
	}
}
