package loop

import (
	"slices"
	"testing"
)

// slowBus keeps publications until the test releases them.
type slowBus struct {
	*Embedded
	held []*Publication
}

func (b *slowBus) Publish(p *Publication) {
	b.dir.Reserve(p)
	b.held = append(b.held, p)
}

func (b *slowBus) deliver() {
	for i, p := range b.held {
		p.ID = ID{Tag: 9, Seq: uint64(i + 1)}
		b.dir.Deliver(0, []*Publication{p})
	}
	b.held = nil
}

func newSlowRig(t *testing.T, change func(*Config)) (*rig, *slowBus) {
	r := newRig(t, func(c *Config) {
		c.LaneOf = func(string) int { return 0 }
		if change != nil {
			change(c)
		}
	})
	b := &slowBus{Embedded: r.bus}
	r.node.Use(b)
	return r, b
}

func TestAPublicationThatTheBusDoesNotDeliverKicksItsPublisherAndNobodyElse(t *testing.T) {
	for reason, settle := range map[CloseReason]func(*Node, *Publication){ReasonBackend: (*Node).Refuse, ReasonDoubt: (*Node).Doubt} {
		t.Run(reason.String(), func(t *testing.T) {
			r, bus := newSlowRig(t, nil)
			a, b := r.open(0, "x", 0), r.open(0, "x", 0)
			r.send(a, "one", "two")
			for _, p := range bus.held {
				settle(r.node, p)
			}
			r.rest()
			if want := []CloseReason{reason}; !slices.Equal(a.kicks, want) || len(b.kicks) > 0 {
				t.Errorf("kicked for %v and %v, want %v and nothing", a.kicks, b.kicks, want)
			}
			if !a.finned || a.pending != 0 {
				t.Errorf("the publisher waits for %d publications that will never come", a.pending)
			}
			if e := r.node.Directory().Lookup("x"); e.flow.bytes[srcLocal].Load() != 0 {
				t.Errorf("%d bytes of credit are gone", e.flow.bytes[srcLocal].Load())
			}
			if s := r.stats(0); s.Ended[reason] != 1 || s.Ended[ReasonBackend]+s.Ended[ReasonDoubt] != 1 {
				t.Errorf("counted %d ends for %v, want 1 and none for the other", s.Ended[reason], reason)
			}
		})
	}
}

func TestALostPublicationIsNotWaitedFor(t *testing.T) {
	r, bus := newSlowRig(t, nil)
	a := r.open(0, "x", 0)
	r.send(a, "one", "X")
	if a.finned {
		t.Fatal("ended before its publication came back")
	}
	r.node.Lose(bus.held[0])
	r.rest()
	if !a.finned || len(a.kicks) > 0 {
		t.Errorf("FIN sent %v, kicks %v; want FIN and no kick", a.finned, a.kicks)
	}
}

func TestWhileTheBusIsFullNobodyIsParsed(t *testing.T) {
	r, bus := newSlowRig(t, nil)
	a := r.open(0, "x", 0)
	r.node.HoldBack(true)
	r.send(a, "one")
	if len(bus.held) != 0 || r.node.Offer("x", 0, KindText, []byte("two")) {
		t.Error("a message was accepted although the bus is full")
	}
	r.node.HoldBack(false)
	r.rest()
	if len(bus.held) != 1 {
		t.Errorf("%d messages were accepted afterwards, want 1", len(bus.held))
	}
}

func TestARoomsCreditIsTakenWhenItsPublicationLeaves(t *testing.T) {
	r, bus := newSlowRig(t, func(c *Config) { c.RoomCredit = 50 })
	a := r.open(0, "x", 0)
	r.send(a, "one", "two", "three", "four")
	if len(bus.held) != 2 {
		t.Fatalf("%d messages are in flight, want the 2 that the credit of the room allows", len(bus.held))
	}
	for len(bus.held) > 0 {
		bus.deliver()
		r.rest()
	}
	if got, want := a.frames(t), []string{"one", "two", "three", "four"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := r.node.Directory().Lookup("x").flow.bytes[srcLocal].Load(); n != 0 {
		t.Errorf("%d bytes of credit are gone", n)
	}
}

func TestCreditOfARoomThatVanishedMeanwhileIsNotTakenFromTheNewOne(t *testing.T) {
	r, bus := newSlowRig(t, nil)
	r.publish("x", "to nobody")
	a := r.open(0, "x", 0)
	r.publish("x", "to one")
	a.fin = true
	r.read(a)
	r.rest()
	b := r.open(0, "x", 0)
	bus.deliver()
	r.rest()
	if n := r.node.Directory().Lookup("x").flow.bytes[srcLocal].Load(); n != 0 {
		t.Errorf("%d bytes of credit are gone", n)
	}
	if got := b.frames(t); len(got) != 2 {
		t.Errorf("got %q, want both", got)
	}
}
