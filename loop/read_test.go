package loop

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestAFloodingSocketGetsItsBudgetATurnAndAnotherRoomGoesOn(t *testing.T) {
	r := newRig(t, nil)
	flood, sender, receiver := r.open(0, "flood", 0), r.open(0, "calm", 0), r.open(0, "calm", 0)
	flood.arrive(numbered("f", 1000)...)
	r.read(flood)
	for turn := range 10 {
		if got, want := len(flood.parsed), 64*(turn+1); got != want {
			t.Fatalf("%d messages of the flood parsed before turn %d, want %d", got, turn, want)
		}
		r.send(sender, fmt.Sprintf("c%d", turn))
		r.read(flood) // further events must not serve the connection before the next turn
		r.turn(0)
		if got, want := receiver.frames(t), numbered("c", turn+1); !slices.Equal(got, want) {
			t.Fatalf("turn %d: the calm room got %q, want %q", turn, got, want)
		}
	}
	r.rest()
	if got, want := flood.frames(t), numbered("f", 1000); !slices.Equal(got, want) {
		t.Errorf("%d messages of the flood arrived, want all 1,000 in order", len(got))
	}
}

func TestASocketIsReadAtMost256KiBATurn(t *testing.T) {
	r := newRig(t, nil)
	f := r.open(0, "room", 0)
	for range 40 {
		f.arrive(message(30 << 10))
	}
	before := r.stats(0).ReadBytes
	r.read(f)
	for {
		n := r.stats(0).ReadBytes
		if got, limit := n-before, uint64(256<<10+64<<10); got > limit {
			t.Errorf("%d bytes read in a turn, want at most %d", got, limit)
		}
		if before = n; len(f.in) == 0 {
			break
		}
		r.turn(0)
	}
	r.rest()
	if got, want := len(f.parsed), 40; got != want {
		t.Errorf("%d messages parsed, want %d", got, want)
	}
}

func TestManySocketsAreServedInTurnWhateverEachSends(t *testing.T) {
	r := newRig(t, func(c *Config) { c.ReadMessages = 4 })
	all := r.openAll(10, 0, "room")
	for _, f := range all {
		f.arrive(numbered("m", 40)...)
		r.read(f)
	}
	for turn := range 9 {
		r.turn(0)
		for i, f := range all {
			if got, want := len(f.parsed), 4*(turn+2); got != want {
				t.Fatalf("turn %d: %d messages of connection %d parsed, want %d", turn, got, i, want)
			}
		}
	}
}

func TestWhatWasSentBeforeFINIsAcceptedWhateverTheBudget(t *testing.T) {
	for _, n := range []int{1, 63, 64, 65, 128, 1000, 5000} {
		r := newRig(t, nil)
		f, other := r.open(0, "room", 0), r.open(0, "room", 0)
		f.arrive(numbered("m", n)...)
		f.fin = true
		r.read(f)
		f.in = nil // as if the transport closed the socket now
		r.loop(0).Closed(&f.Conn)
		r.rest()
		if got, want := other.frames(t), numbered("m", n); !slices.Equal(got, want) {
			t.Errorf("%d messages arrived, want all %d in order", len(got), n)
		}
		if got := r.loop(0).Connections(); got != 1 {
			t.Errorf("%d connections left, want 1", got)
		}
	}
}

func TestAReadyPublisherThatSendsMoreAndFinishesLosesNothing(t *testing.T) {
	r := newRig(t, func(c *Config) { c.ReadMessages = 2 })
	f, other := r.open(0, "room", 0), r.open(0, "room", 0)
	r.send(f, numbered("m", 10)...)
	f.arrive(numbered("n", 10)...)
	f.fin = true
	r.read(f) // it is on the ready list already
	f.in = nil
	r.loop(0).Closed(&f.Conn)
	r.rest()
	if got, want := other.frames(t), append(numbered("m", 10), numbered("n", 10)...); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAPausedPublisherThatSendsAndFinishesLosesNothing(t *testing.T) {
	r := newRig(t, nil)
	f, other := r.open(0, "room", 0), r.open(0, "room", 0)
	r.node.flows.congested.Add(1)
	r.send(f, "m0", "m1")
	r.rest()
	if len(f.parsed) != 0 {
		t.Fatalf("%d messages parsed without credit, want 0", len(f.parsed))
	}
	f.arrive(numbered("n", 1000)...)
	f.fin = true
	r.read(f)
	f.in = nil
	r.loop(0).Closed(&f.Conn)
	for range 20 {
		r.step(Tick)
	}
	r.node.flows.congested.Add(-1)
	r.node.resume()
	r.rest()
	if got, want := other.frames(t), append(numbered("m", 2), numbered("n", 1000)...); !slices.Equal(got, want) {
		t.Errorf("%d messages arrived, want all %d in order", len(got), len(want))
	}
}

func TestAPublisherIsPausedInTheMiddleOfWhatWasRead(t *testing.T) {
	r := newRig(t, func(c *Config) { c.InboxLimit = 2000 }) // 7 publications fit into the limit
	f, other := r.open(0, "room", 0), r.open(0, "room", 0)
	r.send(f, numbered("m", 50)...)
	if got := len(f.parsed); got != 8 {
		t.Errorf("%d messages parsed, want 8: the one that passes the limit is the last", got)
	}
	r.rest()
	if got, want := other.frames(t), numbered("m", 50); !slices.Equal(got, want) {
		t.Errorf("%d messages arrived, want all 50 in order", len(got))
	}
}

func TestHoldStopsParsingInPlaceAndReleaseGoesOn(t *testing.T) {
	r := newRig(t, nil)
	f := r.open(0, "room", 0)
	r.send(f, "a", "W", "b", "c")
	f.arrive("d")
	r.read(f)
	r.rest()
	if got, want := f.parsed, []string{"a", "W"}; !slices.Equal(got, want) {
		t.Errorf("parsed %q while held, want %q", got, want)
	}
	f.Release()
	r.rest()
	if got, want := f.parsed, []string{"a", "W", "b", "c", "d"}; !slices.Equal(got, want) {
		t.Errorf("parsed %q after Release, want %q", got, want)
	}
}

func TestAHeldConnectionThatFinishesLosesNothing(t *testing.T) {
	r := newRig(t, nil)
	f, other := r.open(0, "room", 0), r.open(0, "room", 0)
	r.send(f, "W", "b")
	f.arrive("c")
	f.fin = true
	r.read(f)
	f.in = nil
	r.loop(0).Closed(&f.Conn)
	r.rest()
	f.Release()
	r.rest()
	if got, want := other.frames(t), []string{"b", "c"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if f.state != stateGone {
		t.Error("it is still there after its last message")
	}
}

func TestAFrameInPiecesOfAnySizeIsParsedOnce(t *testing.T) {
	for size := 1; size < 60; size++ {
		r := newRig(t, func(c *Config) { c.ReadBuffer = 32; c.ReadMessages = 3 })
		f := r.open(0, "room", 0)
		want := append(numbered("m", 10), message(100), "end")
		f.arrive(want...)
		for stream := f.in; len(stream) > 0; {
			n := min(size, len(stream))
			f.in = append(f.in[:0:0], stream[:n]...)
			stream = stream[n:]
			for len(f.in) > 0 {
				r.read(f)
				r.rest()
			}
		}
		if !slices.Equal(f.parsed, want) {
			t.Errorf("pieces of %d: parsed %q, want %q", size, f.parsed, want)
		}
		if f.Conn.in != nil {
			t.Errorf("pieces of %d: %d bytes are kept after everything was parsed", size, len(f.Conn.in.rest()))
		}
	}
}

// How connections end.

func TestOwnMessagesInFlightArriveBeforeTheLastWords(t *testing.T) {
	r := newRig(t, nil)
	f := r.open(0, "room", 0)
	r.send(f, "a", "b", "X", "c")
	r.rest()
	if got, want := f.frames(t), []string{"a", "b", "last words"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if !f.finned || f.shut {
		t.Errorf("FIN %v, shut down %v, want FIN and then waiting for the peer", f.finned, f.shut)
	}
	f.fin = true
	r.read(f)
	if !f.shut {
		t.Error("not shut down after the peer's FIN")
	}
}

// losingBus loses the publications that are made while it is away.
type losingBus struct {
	Bus
	away bool
}

func (b *losingBus) Publish(p *Publication) {
	if !b.away {
		b.Bus.Publish(p)
	}
}

func TestAnEndingWaitsForItsMessagesNoLongerThanCloseTimeout(t *testing.T) {
	r := newRig(t, nil)
	bus := &losingBus{Bus: r.bus}
	r.node.Use(bus)
	f := r.open(0, "room", 0)
	bus.away = true
	r.send(f, "lost", "X")
	r.rest()
	if len(f.got) > 0 {
		t.Fatalf("got %q at once, want it to wait for its own message", f.got)
	}
	for range 21 {
		r.step(Tick)
	}
	if got, want := f.frames(t), []string{"last words"}; !slices.Equal(got, want) {
		t.Errorf("got %q after 2.1 s, want %q", got, want)
	}
	for range 18 {
		r.step(Tick)
	}
	if f.shut {
		t.Error("shut down before the last words had 2 s to arrive")
	}
	for range 3 {
		r.step(Tick)
	}
	if !f.shut {
		t.Error("not shut down 2.1 s after the last words")
	}
}

func TestWhoTakesNotEvenTheLastWordsIsCut(t *testing.T) {
	r := newRig(t, nil)
	f := r.open(0, "room", 0)
	f.room = 5
	r.send(f, "message", "X")
	for range 19 {
		r.step(Tick)
	}
	if f.shut {
		t.Error("shut down before 2 s")
	}
	for range 3 {
		r.step(Tick)
	}
	if s := r.stats(0); !f.shut || s.InFlight != 0 || s.LaggingConns != 0 || r.node.Held() != 0 {
		t.Errorf("shut down %v, %d frames in flight, %d bytes held, want true, 0, 0", f.shut, s.InFlight, r.node.Held())
	}
}

func TestAClosingConnectionIsReadAndDiscardedUpToALimit(t *testing.T) {
	r := newRig(t, nil)
	f, other := r.open(0, "room", 0), r.open(0, "room", 0)
	r.send(f, "X")
	r.rest()
	for range 60 {
		f.in = make([]byte, 1000)
		r.read(f)
	}
	if f.shut || len(f.in) > 0 {
		t.Errorf("shut down %v with %d bytes unread after 60 kB, want false and 0", f.shut, len(f.in))
	}
	for range 8 {
		f.in = make([]byte, 1000)
		r.read(f)
	}
	if f.shut || len(f.in) == 0 {
		t.Errorf("shut down %v with %d bytes unread after 68 kB, want false, and that it reads no more", f.shut, len(f.in))
	}
	r.step(r.loop(0).cfg.CloseTimeout + 2*Tick)
	if !f.shut {
		t.Error("not shut down after CloseTimeout")
	}
	if len(other.got) > 0 {
		t.Errorf("the room got %q, want nothing that came after the end", other.got)
	}
}

func TestAResetMemberCostsTheOthersNothing(t *testing.T) {
	r := newRig(t, func(c *Config) { c.FlushSlice, c.FlushBudget = 2, 2 })
	all := r.openAll(9, 0, "room")
	for i := 0; i < len(all); i += 2 {
		all[i].broken = true
	}
	r.publish("room", numbered("m", 5)...)
	r.rest()
	r.publish("room", "last")
	r.rest()
	for i := 1; i < len(all); i += 2 {
		if got, want := all[i].frames(t), append(numbered("m", 5), "last"); !slices.Equal(got, want) {
			t.Errorf("member %d got %q, want %q", i, got, want)
		}
	}
	if got, want := r.stats(0).Dropped[ReasonLeft], uint64(5*5); got != want {
		t.Errorf("%d frames dropped, want %d", got, want)
	}
	for i := 0; i < len(all); i += 2 {
		r.loop(0).Closed(&all[i].Conn)
	}
	r.rest()
	if got, want := r.loop(0).Connections(), 4; got != want {
		t.Errorf("%d connections, want %d", got, want)
	}
}

func TestWhatArrivedBeforeAResetIsAcceptedThoughTheFanOutSeesTheResetFirst(t *testing.T) {
	r := newRig(t, func(c *Config) { c.ReadMessages = 2 })
	f, other := r.open(0, "room", 0), r.open(0, "room", 0)
	f.arrive(numbered("m", 9)...)
	f.reset = true
	r.publish("room", "api")
	r.turn(0) // its send fails in this turn
	f.in = nil
	r.loop(0).Closed(&f.Conn)
	r.rest()
	if got, want := other.frames(t), append([]string{"api"}, numbered("m", 9)...); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestASlotIsUsedAgainOnlyAfterTheTransportHasClosedTheSocket(t *testing.T) {
	r := newRig(t, nil)
	a := r.open(0, "room", 0)
	old := a.ID()
	a.gone(ReasonLeft)
	b := r.open(0, "room", 0)
	if b.ID().slot() == old.slot() {
		t.Error("the slot of a socket that is still open was used again")
	}
	r.loop(0).Closed(&a.Conn)
	r.rest()
	c := r.open(0, "room", 0)
	if c.ID().slot() != old.slot() || c.ID() == old {
		t.Errorf("the next connection is %x, want slot %d with another generation than %x", c.ID(), old.slot(), old)
	}
	if r.loop(0).Conn(old) != nil || r.loop(0).Conn(c.ID()) != &c.Conn {
		t.Error("an old id still finds a connection, or a new one does not")
	}
}

func TestDrainingEndsEverybodyWithEverythingThatWasAccepted(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Loops, c.FlushBudget, c.FlushSlice = 2, 3, 2 })
	all := append(r.openAll(7, 0, "room"), r.openAll(6, 1, "room")...)
	for i, f := range all {
		r.send(f, numbered(fmt.Sprintf("c%d-", i), 10)...)
	}
	r.turn(0) // loop 0 ends this turn in the middle of a fan-out
	for i := range 2 {
		r.loop(i).Call(func(l *Loop) {
			l.Each(func(c *Conn) bool { c.Finish(frame1("bye"), ReasonClosed); return true })
		})
	}
	r.rest()
	var order []string
	for i, f := range all {
		got := f.frames(t)
		if got[len(got)-1] != "bye" {
			t.Fatalf("member %d ends with %q, want bye", i, got[len(got)-1])
		}
		got = got[:len(got)-1]
		for _, own := range numbered(fmt.Sprintf("c%d-", i), 10) {
			if !slices.Contains(got, own) {
				t.Errorf("member %d ended without its own %q", i, own)
			}
		}
		if len(got) > len(order) {
			order, got = got, order
		}
		if !slices.Equal(got, order[:len(got)]) {
			t.Errorf("two members saw different orders")
		}
	}
	if len(order) != 130 {
		t.Errorf("the last member saw %d messages, want all 130", len(order))
	}
	if s := r.stats(0).InFlight + r.stats(1).InFlight; s != 0 {
		t.Errorf("%d frames in flight, want 0", s)
	}
	r.now += time.Second
}
