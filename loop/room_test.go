package loop

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// roomModel is rooms as plain lists: the publications that each member must get.
type roomModel struct {
	*rig
	loop  *Loop
	rooms [2]string
	all   []*modelMember
	here  [2][]*modelMember
	n     int
}

type modelMember struct {
	*fake
	want []string
	left bool // the member left by itself: publications that it did not get are dropped
}

func TestEveryMemberGetsWhatIsAppendedWhileItIsAMemberInOrderAndOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &roomModel{rooms: [2]string{"a", "b"}}
		m.rig = newRig(t, func(c *Config) {
			c.FlushBudget = rapid.IntRange(1, 6).Draw(rt, "budget")
			c.FlushSlice = rapid.IntRange(1, 4).Draw(rt, "slice")
		})
		m.loop = m.rig.loop(0)
		room := rapid.IntRange(0, 1)
		for range rapid.IntRange(0, 12).Draw(rt, "members at the start") {
			m.join(rt, room.Draw(rt, "room"))
		}
		rt.Repeat(map[string]func(*rapid.T){
			"join":    func(rt *rapid.T) { m.join(rt, room.Draw(rt, "room")) },
			"publish": func(rt *rapid.T) { m.append(rt, room.Draw(rt, "room"), rapid.IntRange(1, 3).Draw(rt, "publications")) },
			"flush":   func(*rapid.T) { m.loop.fanout.flush() },
			"turn":    func(*rapid.T) { m.turn(0) },
			"finish":  func(rt *rapid.T) { m.finish(rt, room.Draw(rt, "room")) },
			"leave":   func(rt *rapid.T) { m.leave(rt, room.Draw(rt, "room")) },
			"":        func(rt *rapid.T) { m.check(rt) },
		})
		m.rest()
		for m.loop.fanout.dirty.len() > 0 {
			m.loop.fanout.flush()
		}
		for _, c := range m.all {
			if got := c.frames(t); !c.left && !slices.Equal(got, c.want) {
				rt.Fatalf("a member got %q, want %q", got, c.want)
			}
		}
		if s := m.stats(0); s.InFlight != 0 || m.loop.load.bytes.Load() != 0 {
			rt.Fatalf("%d frames in flight and a load of %d at rest, want none", s.InFlight, m.loop.load.bytes.Load())
		}
	})
}

func (m *roomModel) join(rt *rapid.T, room int) {
	c := &modelMember{fake: &fake{room: -1}}
	c.Init(c.fake)
	m.all = append(m.all, c)
	m.loop.Adopt(&c.Conn)
	m.turn(0)
	variant := rapid.SampledFrom([]Variant{0, 1, 2}).Draw(rt, "variant")
	c.onJoined = func() { m.here[room] = append(m.here[room], c) }
	c.Join(m.rooms[room], variant)
	for c.joins == 0 {
		m.turn(0)
	}
}

// append appends at once, without the bus, so that the model knows which connections are members at that moment.
func (m *roomModel) append(rt *rapid.T, in, publications int) {
	for range publications {
		m.n++
		body := fmt.Sprintf("%d", m.n)
		p := newPublication(&m.loop.cfg.Encodings[0], 0, m.rooms[in], 0, nil, KindText, []byte(body))
		p.ID.Seq = uint64(m.n)
		m.loop.load.reserve(p.cost())
		e := &Entry{rooms: make([]*room, 1)}
		if r := m.loop.rooms.byName[m.rooms[in]]; r != nil && r.entry != nil {
			e = r.entry
		}
		m.node.dir.reserve(e, p) // as place does
		p.loops.Store(1)
		m.loop.rooms.append(p)
		for _, c := range m.here[in] {
			c.want = append(c.want, body)
		}
	}
}

func (m *roomModel) pick(rt *rapid.T, room int) *modelMember {
	if len(m.here[room]) == 0 {
		rt.Skip("nobody there")
	}
	i := rapid.IntRange(0, len(m.here[room])-1).Draw(rt, "member")
	c := m.here[room][i]
	m.here[room] = slices.Delete(m.here[room], i, i+1)
	return c
}

// finish ends a member in order: the member gets the rest of its publications, and then the last words.
func (m *roomModel) finish(rt *rapid.T, room int) {
	c := m.pick(rt, room)
	c.Finish(frame1("bye"), ReasonClosed)
	c.want = append(c.want, "bye")
	if got := c.frames(m); !slices.Equal(got, c.want) {
		rt.Fatalf("a member that ended in order got %q, want %q", got, c.want)
	}
}

// leave makes a peer vanish. It must have got a beginning of its publications.
func (m *roomModel) leave(rt *rapid.T, room int) {
	c := m.pick(rt, room)
	c.left = true
	c.gone(ReasonLeft)
	if got := c.frames(m); len(got) > len(c.want) || !slices.Equal(got, c.want[:len(got)]) {
		rt.Fatalf("a member that left got %q, want a beginning of %q", got, c.want)
	}
}

func (m *roomModel) check(rt *rapid.T) {
	m.even()
	for i, name := range m.rooms {
		members := 0
		if r := m.loop.rooms.byName[name]; r != nil {
			members = len(r.members)
			if r.cursor > len(r.members) {
				rt.Fatalf("the cursor is at %d of %d members", r.cursor, len(r.members))
			}
		}
		if members != len(m.here[i]) {
			rt.Fatalf("room %s has %d members, want %d", name, members, len(m.here[i]))
		}
		e := m.node.Directory().Lookup(name)
		if (e != nil) != (members > 0) || e != nil && e.Members() != members {
			rt.Fatalf("the directory has %+v for a room of %d", e, members)
		}
	}
}

func TestARoomVanishesWithItsLastMember(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Loops = 2 })
	a, b := r.open(0, "room", 0), r.open(1, "room", 0)
	if got, want := r.node.Directory().Rooms(), 1; got != want {
		t.Errorf("%d rooms, want %d", got, want)
	}
	a.gone(ReasonLeft)
	if got, want := r.node.Directory().Lookup("room").Members(), 1; got != want {
		t.Errorf("%d members after one of two has left, want %d", got, want)
	}
	b.gone(ReasonLeft)
	if got, want := r.node.Directory().Rooms(), 0; got != want {
		t.Errorf("%d rooms, want %d", got, want)
	}
	if got := len(r.loop(0).rooms.byName) + len(r.loop(1).rooms.byName); got != 0 {
		t.Errorf("the loops still know %d rooms, want 0", got)
	}
}

func TestWhoComesBackIntoAVanishedRoomGetsNothingOfBefore(t *testing.T) {
	r := newRig(t, nil)
	a := r.open(0, "room", 0)
	r.publish("room", "before") // still in the inbox when another room with the same name exists
	a.gone(ReasonLeft)
	b := &fake{room: -1}
	b.Init(b)
	r.loop(0).Adopt(&b.Conn)
	r.loop(0).Call(func(*Loop) { b.Join("room", 0) })
	r.rest()
	r.publish("room", "after")
	r.rest()
	if got, want := b.frames(t), []string{"after"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLimitsOfRoomsAndMembersTurnTheNextAway(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Loops, c.RoomMembers, c.MaxRooms = 2, 2, 1 })
	a, _ := r.open(0, "room", 0), r.open(1, "room", 0)
	for _, c := range []struct {
		room string
		want CloseReason
	}{{"room", ReasonRoomFull}, {"another", ReasonNodeFull}} {
		f := &fake{room: -1}
		f.Init(f)
		r.loop(0).Adopt(&f.Conn)
		r.rest()
		f.Join(c.room, 0)
		r.rest()
		if !slices.Equal(f.kicks, []CloseReason{c.want}) || f.joins != 0 {
			t.Errorf("into %q: kicks %v and %d joins, want only %v", c.room, f.kicks, f.joins, c.want)
		}
	}
	a.gone(ReasonLeft)
	r.open(0, "room", 0) // there is space again
}

func TestWhoIsGoneBeforeTheBusConfirmsLeavesNoTrace(t *testing.T) {
	r := newRig(t, nil)
	f := &fake{room: -1}
	f.Init(f)
	r.loop(0).Adopt(&f.Conn)
	r.rest()
	f.Join("room", 0)
	f.gone(ReasonLeft)
	r.loop(0).Closed(&f.Conn)
	r.rest()
	if f.joins != 0 || len(r.loop(0).rooms.byName) != 0 || r.node.Directory().Rooms() != 0 || r.loop(0).Connections() != 0 {
		t.Errorf("%d joins, %d rooms, %d in the directory, %d connections, want none", f.joins, len(r.loop(0).rooms.byName),
			r.node.Directory().Rooms(), r.loop(0).Connections())
	}
}

func TestARoomShrinksAfterItsPeak(t *testing.T) {
	r := newRig(t, nil)
	all := r.openAll(400, 0, "room")
	for _, f := range all[1:] {
		f.gone(ReasonLeft)
	}
	if got := cap(r.loop(0).rooms.byName["room"].members); got > 64 {
		t.Errorf("room for %d members is kept for one, want at most 64", got)
	}
	r.publish("room", "still here")
	r.rest()
	if got, want := all[0].frames(t), []string{"still here"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAConnectionThatCannotBeOpenedLeavesNoTrace(t *testing.T) {
	r := newRig(t, nil)
	f := &failing{}
	f.Init(f)
	r.loop(0).Adopt(&f.Conn)
	r.rest()
	if s := r.stats(0); r.loop(0).Connections() != 0 || r.loop(0).slots.live != 0 || r.loop(0).timeouts.wheel.armed != 0 || s.Ended[ReasonLeft] != 1 {
		t.Errorf("%d connections, %d live, %d timers, ended %v, want none and one that left", r.loop(0).Connections(),
			r.loop(0).slots.live, r.loop(0).timeouts.wheel.armed, s.Ended)
	}
}

// failing is a connection that the poller refuses.
type failing struct{ fake }

func (f *failing) Open() error { return ErrAgain }

// The run must be the set of the members that lack a part of the batch, also if members come, leave or are served in the middle
// of a round.
func TestTheRunOfOwedMembersKeepsItsMembers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := &room{}
		owed := map[*Member]bool{}
		actions := map[string]func(*rapid.T){
			"join": func(*rapid.T) { r.push(&Member{}) },
			"publish": func(*rapid.T) {
				r.owed = len(r.members)
				for _, m := range r.members {
					owed[m] = true
				}
			},
			"serve": func(rt *rapid.T) {
				for range rapid.IntRange(0, r.owed).Draw(rt, "members") {
					m := r.next()
					if !owed[m] {
						rt.Fatalf("served a member that was owed nothing")
					}
					delete(owed, m)
				}
			},
			"leave": func(rt *rapid.T) {
				if len(r.members) == 0 {
					rt.Skip("nobody there")
				}
				i := rapid.IntRange(0, len(r.members)-1).Draw(rt, "member")
				delete(owed, r.members[i])
				r.remove(i)
			},
			"": func(rt *rapid.T) {
				if r.owed != len(owed) && len(owed) != 0 {
					// If the run continues from the end of the slice to its beginning, a member that joins is in the middle of
					// the run, although it lacks no part of the batch.
					for _, m := range r.members {
						if r.owes(int(m.index)) && !owed[m] {
							owed[m] = true
						}
					}
				}
				for i, m := range r.members {
					if int(m.index) != i || r.owes(i) != owed[m] {
						rt.Fatalf("member %d of %d has index %d, in the run %v, owed something %v (cursor %d, %d owed)",
							i, len(r.members), m.index, r.owes(i), owed[m], r.cursor, r.owed)
					}
				}
			},
		}
		rt.Repeat(actions)
	})
}

// A message that is published in the middle of a flush joins the batch: the members that are served next get both messages in
// one write.
func TestABatchRollsUntilAMemberLags(t *testing.T) {
	for name, row := range map[string]struct {
		lag    bool
		writes uint64
	}{
		"rolls":  {false, 2 + 4 + 2},
		"closed": {true, 2 + 4 + 5}, // the first batch is in the backlog of the second member, so the second message has its own batch
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.FlushFirst, c.FlushBudget, c.FlushSlice = 2, 2, 2 })
			all := r.openAll(6, 0, "room")
			before := r.stats(0).Writes
			if row.lag {
				all[1].room = 0
			}
			r.publish("room", "a", "b")
			r.turn(0)
			r.publish("room", "c")
			r.rest()
			if got := r.stats(0).Writes - before; got != row.writes {
				t.Errorf("%d writes, want %d", got, row.writes)
			}
			for i, f := range all {
				if got, want := f.frames(t), []string{"a", "b", "c"}; !slices.Equal(got, want) && !(row.lag && i == 1) {
					t.Errorf("member %d got %q, want %q", i, got, want)
				}
			}
			if n := r.stats(0).Rolled; (n > 0) == row.lag {
				t.Errorf("%d rolled", n)
			}
		})
	}
}
