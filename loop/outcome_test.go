package loop

import (
	"slices"
	"testing"
	"time"
)

// told is an outcome that a publisher was told.
type told struct {
	outcome Outcome
	id      ID
}

// ask publishes through OfferFor, and notes the outcome.
func (r *rig) ask(room, body string, all *[]told) (accepted bool) {
	return r.node.OfferFor(room, 0, KindText, []byte(body), func(o Outcome, id ID) { *all = append(*all, told{o, id}) })
}

func TestAPublisherThatIsNotAMemberIsToldThePlace(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Lanes = 1 })
	var all []told
	f := r.open(0, "lobby", 0)
	for _, room := range []string{"lobby", "nobody is here", "lobby"} {
		if !r.ask(room, "m", &all) {
			t.Fatal("refused")
		}
	}
	r.rest()
	if got := string(f.got); got != string(frame1("m"))+string(frame1("m")) {
		t.Errorf("the member got %q", got)
	}
	if len(all) != 3 {
		t.Fatalf("told %v", all)
	}
	for i, a := range all {
		if a.outcome != Placed || a.id.Tag == 0 || i > 0 && a.id.compare(all[i-1].id) <= 0 {
			t.Errorf("told %v, want three places in their order", all)
		}
	}
}

func TestAPublisherThatMustWaitIsNotTold(t *testing.T) {
	r := newRig(t, func(c *Config) { c.RoomCredit = 10 })
	r.open(0, "lobby", 0)
	var all []told
	if !r.ask("lobby", "first", &all) || r.ask("lobby", "second", &all) {
		t.Error("the credit of the room has no effect")
	}
	if len(all) != 1 {
		t.Errorf("told %v, want only the first", all)
	}
	r.rest()
}

// A bus that does not deliver a publication at once gives its publisher one outcome, whichever it is.
func TestAPublisherIsToldEachOutcomeOnce(t *testing.T) {
	r := newRig(t, nil)
	bus := &keeper{Embedded: r.bus}
	r.node.Use(bus)
	var all []told
	for range 5 {
		r.ask("lobby", "m", &all)
	}
	if len(all) != 0 {
		t.Fatalf("told %v before the bus decided", all)
	}
	p := bus.kept
	p[0].ID = ID{Seq: 1, Tag: 5}
	p[4].ID = ID{Seq: 2} // by a node that is cut off from the others
	r.node.Directory().Deliver(r.node.Directory().laneIndex(p[0]), p[:1])
	r.node.Refuse(p[1])
	r.node.Doubt(p[2])
	r.node.Lose(p[3])
	r.node.Directory().DeliverLate(r.node.Directory().laneIndex(p[4]), p[4:])
	r.rest()
	want := []told{{Placed, ID{Seq: 1, Tag: 5}}, {Refused, ID{}}, {Doubted, ID{}}, {Doubted, ID{}}, {Placed, ID{Seq: 2}}}
	if !slices.Equal(all, want) {
		t.Errorf("told %v, want %v", all, want)
	}
}

// keeper is a bus that keeps what is published.
type keeper struct {
	*Embedded
	kept []*Publication
}

func (k *keeper) Publish(p *Publication) { k.kept = append(k.kept, p) }

// A publication that is deferred has its place already.
func TestAPublisherNeedNotWaitForASlowMember(t *testing.T) {
	r := newRig(t, func(c *Config) { c.RoomCredit = 100 })
	f := r.open(0, "lobby", 0)
	lane := int(f.member.room.entry.lane)
	var all []told
	var pubs []*Publication
	for i := range 5 {
		p := newPublication(&r.node.cfg.Encodings[0], 0, "lobby", 0, nil, KindText, make([]byte, 80))
		p.ID = ID{Seq: uint64(i + 1), Tag: 5}
		p.done = func(o Outcome, id ID) { all = append(all, told{o, id}) }
		pubs = append(pubs, p)
	}
	r.node.Directory().Deliver(lane, pubs)
	if len(all) != 5 || r.node.Parked() == 0 {
		t.Errorf("told %v, with %d bytes deferred, want 5 places while some wait", all, r.node.Parked())
	}
	r.rest()
}

// A peer that only reads stays as long as it takes what it is sent, whatever MaxAge says.
func TestAPeerThatOnlyReadsStaysWhileItTakesPings(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxAge, c.ReaderPing, c.ReaderAge = 2*time.Second, time.Second, 4*time.Second })
	f := r.open(0, "lobby", 0)
	f.pulse = frame1("P")
	Plain{&f.Conn}.ReadsOnly()
	f.got = nil
	for range 100 {
		r.step(Tick)
	}
	if want := slices.Repeat(frame1("P"), 10); f.pings != 10 || string(f.got) != string(want) || len(f.kicks) > 0 {
		t.Fatalf("%d pings, kicked for %v, got %q, want 10 pings in 10 s", f.pings, f.kicks, f.got)
	}

	f.room = 0 // it takes nothing any more
	for range 100 {
		r.step(Tick)
	}
	if !slices.Equal(f.kicks, []CloseReason{ReasonHeartbeat}) {
		t.Errorf("kicked for %v, want one kick for silence", f.kicks)
	}
}

// A slow reader that takes the pings behind its backlog is alive.
func TestAPeerThatReadsSlowlyIsNotSilent(t *testing.T) {
	r := newRig(t, func(c *Config) { c.ReaderPing, c.ReaderAge = time.Second, 4*time.Second })
	f := r.open(0, "lobby", 0)
	f.pulse = frame1("P")
	Plain{&f.Conn}.ReadsOnly()
	f.room = 0
	for i := range 40 {
		r.publish("lobby", "message", "message", "message")
		for range 10 {
			r.step(Tick)
		}
		f.take(20)
		r.rest()
		f.room = 0
		if len(f.kicks) > 0 {
			t.Fatalf("kicked for %v after %d s", f.kicks, i)
		}
	}
	if f.backlog == nil {
		t.Fatal("it has no backlog, so the test shows nothing")
	}
}

func TestAConnectionThatServesManyRequestsHasTimeForEach(t *testing.T) {
	r := newRig(t, func(c *Config) { c.HandshakeTimeout = time.Second })
	f := &fake{room: -1}
	f.Init(f)
	r.loop(0).Adopt(&f.Conn)
	r.rest()
	for range 5 {
		for range 8 {
			r.step(Tick)
		}
		Plain{&f.Conn}.Restart(r.now)
	}
	if len(f.kicks) > 0 {
		t.Fatalf("kicked for %v", f.kicks)
	}
	for range 12 {
		r.step(Tick)
	}
	if !slices.Equal(f.kicks, []CloseReason{ReasonHandshake}) {
		t.Errorf("kicked for %v, want the handshake's timeout", f.kicks)
	}
}
