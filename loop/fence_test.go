package loop

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// lateBus brings publications back when the test says so, in the order in which they were published.
type lateBus struct {
	*Embedded
	away []*Publication
	seq  uint64
}

func (b *lateBus) Publish(p *Publication) {
	b.dir.Reserve(p)
	b.away = append(b.away, p)
}

// bring brings back the first n publications.
func (b *lateBus) bring(n int) {
	pubs := b.away[:n]
	b.away = b.away[n:]
	if n == 0 {
		return
	}
	b.seq++
	Number(pubs, TagOf(7, "", 0), b.seq)
	b.dir.Deliver(0, pubs)
}

// fenceRig has one lane, a far bus, and members whose frames are "SEQ.INDEX ME/REF:VALUE".
func fenceRig(t *testing.T) (*rig, *lateBus) {
	r := newRig(t, func(c *Config) {
		c.Lanes = 1
		c.Encodings[2] = Encoding{Append: func(dst []byte, p *Publication) ([]byte, int) {
			if p.Kind.Notice() {
				return dst, -1
			}
			by := Sender{}
			if p.By != nil {
				by = *p.By
			}
			return appendFrame(dst, fmt.Appendf(nil, "%d.%d %d/%d:%s", p.ID.Seq, p.ID.Index, by.Me, by.Ref, p.Value)), -1
		}, Size: func(p *Publication) int { return 60 + len(p.Value) }, NeedsID: true}
	})
	bus := &lateBus{Embedded: r.bus}
	r.node.Use(bus)
	r.node.KeepHistory(false)
	return r, bus
}

func TestAFencedConnectionPublishesNothingMore(t *testing.T) {
	r, bus := fenceRig(t)
	var told []string
	r.node.cfg.OnFence = func(value []byte) { told = append(told, string(value)) }
	listener, old := r.open(0, "room", 2), r.open(0, "room", 2)
	say := func(ref uint64) {
		old.PublishBy(&Sender{Me: 5, Ref: ref}, KindText, fmt.Append(nil, "m", ref))
		r.rest()
	}
	say(1)
	bus.bring(1)
	r.rest()
	say(2) // on its way
	back, o := r.resume(0, "room", Start{Since: ID{Seq: 1, Tag: TagOf(7, "", 0)}, HasSince: true, Fence: &Fence{Sender: 5, Value: []byte("key")}}, -1)
	say(3)
	if back.joins != 0 {
		t.Fatal("live before its fence had come back")
	}
	bus.bring(len(bus.away))
	r.rest()
	say(4)
	bus.bring(len(bus.away))
	r.rest()
	if !o.Resumed || o.Fenced != IsFenced || !slices.Equal(told, []string{"key"}) {
		t.Errorf("opening %+v, told %q", *o, told)
	}
	if got, want := back.frames(t), []string{"2.0 5/2:m2"}; !slices.Equal(got, want) {
		t.Errorf("it got %q, want %q", got, want)
	}
	if got, want := listener.frames(t), []string{"1.0 5/1:m1", "2.0 5/2:m2"}; !slices.Equal(got, want) {
		t.Errorf("the listener got %q, want %q", got, want)
	}
	if old.pending != 0 || r.node.Reserved() != 0 {
		t.Errorf("%d publications are in flight for ever, %d bytes reserved", old.pending, r.node.Reserved())
	}
	for range 2 * 64 {
		r.step(Tick * 10)
	}
	if n := len(r.node.dir.lanes[0].fences); n != 0 {
		t.Errorf("%d fences are remembered for ever", n)
	}
}

func TestAFenceThatTheBusRefusesIsSaidToBeNone(t *testing.T) {
	r, bus := fenceRig(t)
	for name, refuse := range map[string]func(*Publication){"refused": r.node.Refuse, "doubted": r.node.Doubt, "lost": r.node.Lose, "never": nil} {
		back, o := r.resume(0, "room", Start{HasSince: false, Fence: &Fence{Sender: 5}}, -1)
		if refuse != nil {
			refuse(bus.away[0])
		}
		bus.away = nil
		for range longestFence + 1 {
			r.step(Tick)
		}
		if back.joins != 1 || o.Fenced != NotFenced || len(back.kicks) > 0 {
			t.Errorf("%s: joined %d times, opening %+v, kicks %v", name, back.joins, *o, back.kicks)
		}
	}
}

// sender is a client that wants each of its messages in the room exactly once. It loses its connection at any moment, and sends
// again by the rules of the protocol.
type sender struct {
	t        *testing.T
	f        *fake
	me       uint64         // 0: not live yet
	last     ID             // its position
	has      bool           // it has one
	formerMe uint64         // of the last connection that became live
	sent     map[uint64]int // ref -> message, without an answer
	next     int            // the next new message
	ref      uint64
	queue    []int        // messages to send again
	lost     map[int]bool // messages whose fate it never learned
}

func TestEachMessageIsSentExactlyOnce(t *testing.T) {
	fences, again, unknown := 0, 0, 0
	for seed := range moments() {
		rng := rand.New(rand.NewPCG(seed, 3))
		r, bus := fenceRig(t)
		listener := r.open(0, "room", 2)
		var old []*fake // connections that their clients gave up, and the server knows nothing of that
		s := &sender{t: t, sent: map[uint64]int{}, lost: map[int]bool{}}
		tags := uint64(0)
		connect := func() {
			f := &fake{room: 50 + rng.IntN(300)}
			f.Init(f)
			s.f, s.me = f, 0
			tags++
			me := tags
			opening := Opening{}
			f.onJoined = func() {
				opening = f.Loop().Opening()
				if !opening.Repeats {
					f.live, f.fenced = true, opening.Fenced
				}
				if !opening.Resumed {
					s.last, s.has = opening.At, true
					for ref, m := range s.sent {
						s.lost[m] = true
						delete(s.sent, ref)
					}
				}
			}
			f.me = me
			r.loop(0).Adopt(&f.Conn)
			r.turn(0)
			start := Start{Since: s.last, HasSince: s.has}
			if s.has && s.formerMe != 0 {
				start.Fence = &Fence{Sender: s.formerMe}
				fences++
			}
			f.JoinFrom("room", 2, start)
		}
		read := func() {
			if s.f == nil {
				return
			}
			for p := s.f.got; len(p) >= 2; {
				n := 2 + int(p[0])<<8 + int(p[1])
				if len(p) < n {
					break
				}
				var id ID
				var me, ref uint64
				if k, _ := fmt.Sscanf(string(p[2:n]), "%d.%d %d/%d:", &id.Seq, &id.Index, &me, &ref); k == 4 {
					id.Tag = TagOf(7, "", 0)
					s.last, s.has = id, true
					if me == s.formerMe || me == s.f.me {
						delete(s.sent, ref)
					}
				}
				p = p[n:]
				s.f.got = p
			}
			for _, a := range s.f.acks {
				for ref := range s.sent {
					if s.me == s.f.me && ref <= a.ref {
						delete(s.sent, ref)
					}
				}
			}
			s.f.acks = nil
			if s.f.live && s.me == 0 {
				if s.f.fenced == IsFenced || s.formerMe == 0 {
					for _, ref := range sortedKeys(s.sent) {
						s.queue = append(s.queue, s.sent[ref])
						again++
					}
				} else {
					for _, m := range s.sent {
						s.lost[m] = true
					}
				}
				s.sent, s.me, s.formerMe, s.ref = map[uint64]int{}, s.f.me, s.f.me, 0
			}
		}
		send := func() {
			if s.f == nil || s.me == 0 || len(s.f.kicks) > 0 {
				return
			}
			var m int
			if len(s.queue) > 0 {
				m, s.queue = s.queue[0], s.queue[1:]
			} else {
				m = s.next
				s.next++
			}
			s.ref++
			s.sent[s.ref] = m
			s.f.unread = append(s.f.unread, unread{Sender{s.me, s.ref}, fmt.Sprint("m", m)})
		}
		arrive := func(f *fake) { // the server reads a message
			if len(f.unread) > 0 && f.Conn.Open() && f.joins > 0 && !f.blocked() {
				u := f.unread[0]
				f.unread = f.unread[1:]
				f.PublishBy(&u.by, KindText, []byte(u.text))
			}
		}
		end := func(f *fake) {
			f.fin = true
			r.read(f)
			r.loop(0).Closed(&f.Conn)
		}
		for range 400 {
			switch rng.IntN(10) {
			case 0, 1, 2:
				send()
			case 3, 4:
				if s.f != nil {
					arrive(s.f)
				}
			case 5:
				bus.bring(rng.IntN(1 + len(bus.away)))
			case 6:
				r.turn(0)
			case 7:
				if s.f != nil {
					s.f.take(rng.IntN(400))
				}
			case 8:
				if rng.IntN(3) > 0 {
					continue
				}
				if s.f == nil {
					connect()
				} else { // the connection breaks for the client
					old, s.f = append(old, s.f), nil
				}
			case 9:
				if len(old) == 0 {
					continue
				}
				if f := old[rng.IntN(len(old))]; rng.IntN(3) > 0 {
					arrive(f)
				} else if !f.fin {
					end(f)
				}
			}
			read()
		}
		for range 300 {
			for _, f := range old {
				arrive(f)
			}
			if s.f == nil {
				connect()
			}
			s.f.take(-1)
			arrive(s.f)
			bus.bring(len(bus.away))
			r.rest()
			read()
			if s.me != 0 && len(s.queue) > 0 {
				send()
			}
			r.step(Tick)
		}
		got := map[string]int{}
		for _, f := range listener.frames(t) {
			var seq, index, me, ref int
			var text string
			_, _ = fmt.Sscanf(f, "%d.%d %d/%d:%s", &seq, &index, &me, &ref, &text)
			got[text]++
		}
		for m := range s.next {
			n := got[fmt.Sprint("m", m)]
			if n > 1 || n == 0 && !s.lost[m] {
				t.Fatalf("seed %d: message %d is in the room %d times, fate unknown %v; sent %v, queue %v", seed, m, n, s.lost[m], s.sent, s.queue)
			}
			if s.lost[m] {
				unknown++
			}
		}
	}
	t.Logf("%d fences, %d sent again, %d of unknown fate", fences, again, unknown)
	if !raceEnabled && (fences < 1000 || again < 100) {
		t.Error("too few for a test")
	}
}

func sortedKeys(m map[uint64]int) (keys []uint64) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// A fence that only this node has drops nothing: the other nodes deliver what comes later, and so must this one.
func TestAFenceWithoutAPlaceDropsNothing(t *testing.T) {
	r, bus := fenceRig(t)
	listener := r.open(0, "room", 2)
	back, o := r.resume(0, "room", Start{Since: ID{Seq: 1, Tag: TagOf(7, "", 0)}, HasSince: true, Fence: &Fence{Sender: 5}}, -1)
	Number(bus.away, 0, 1) // Redis is away
	bus.dir.Deliver(0, bus.away)
	r.rest()
	elsewhere := []*Publication{{Room: "room", Value: []byte("late"), By: &Sender{Me: 5, Ref: 1}}}
	Number(elsewhere, TagOf(7, "", 0), 1)
	bus.dir.Deliver(0, elsewhere)
	r.rest()
	if got, want := listener.frames(t), []string{"1.0 5/1:late"}; !slices.Equal(got, want) || back.joins != 1 || o.Fenced != NotFenced {
		t.Errorf("got %q, want %q; the opening is %+v", got, want, *o)
	}
}
