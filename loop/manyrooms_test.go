package loop

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// manyRig has members with many rooms, whose frames are "ROOM SEQ:VALUE".
func manyRig(t *testing.T, change func(*Config)) *rig {
	return repeatRig(t, func(c *Config) {
		c.Encodings[3] = Encoding{Append: func(dst []byte, p *Publication) ([]byte, int) {
			return appendFrame(dst, fmt.Appendf(nil, "%s %d:%s", p.Room, p.ID.Seq, p.Value)), -1
		}, Size: func(p *Publication) int { return 40 + len(p.Value) }, NeedsID: true}
		if change != nil {
			change(c)
		}
	})
}

func manyOf(f *fake) Many { return Many{&f.Conn} }

func (r *rig) openMany(loop int, kernel int) *fake {
	r.Helper()
	f := &fake{room: kernel}
	f.Init(f)
	r.loop(loop).Adopt(&f.Conn)
	r.rest()
	manyOf(f).Begin(3)
	f.Upgraded(r.now)
	return f
}

func TestAConnectionJoinsAndLeavesManyRooms(t *testing.T) {
	r := manyRig(t, nil)
	f := r.openMany(0, -1)
	for _, room := range []string{"b", "a", "c"} {
		if !manyOf(f).Join(room, Start{}, SlowGap) {
			t.Fatalf("cannot join %s", room)
		}
	}
	r.rest()
	if f.joins != 3 || manyOf(f).Rooms() != 3 || manyOf(f).Join("a", Start{}, SlowGap) {
		t.Fatalf("joined %d of 3 rooms, is in %d", f.joins, manyOf(f).Rooms())
	}
	for _, room := range []string{"a", "b", "c"} {
		r.publish(room, "1")
	}
	r.rest()
	if !manyOf(f).Leave("b") || manyOf(f).Leave("b") || f.In("b") {
		t.Error("did not leave b exactly once")
	}
	for _, room := range []string{"a", "b", "c"} {
		r.publish(room, "2")
	}
	r.rest()
	got := f.frames(t)
	slices.Sort(got)
	for i := range got {
		room, rest, _ := strings.Cut(got[i], " ")
		_, value, _ := strings.Cut(rest, ":")
		got[i] = room + value
	}
	if want := []string{"a1", "a2", "b1", "c1", "c2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if manyOf(f).Publish("b", nil, KindText, []byte("x")) || !manyOf(f).Publish("a", &Sender{Ref: 3}, KindText, []byte("mine")) {
		t.Error("published into a room that it left, or not into one where it is")
	}
	r.rest()
	if len(f.acks) != 1 || f.acks[0].ref != 3 || f.acks[0].behind {
		t.Errorf("acknowledged %v", f.acks)
	}
	f.fin = true
	r.read(f)
	r.loop(0).Closed(&f.Conn)
	r.rest()
	if n := r.node.dir.Rooms(); n != 0 || len(r.loop(0).rooms.many) != 0 {
		t.Errorf("%d rooms and %d lists are left", n, len(r.loop(0).rooms.many))
	}
}

// A room that a connection has left sends nothing more, even if frames of it waited; the frames of other rooms stay.
func TestNothingOfARoomComesAfterItWasLeft(t *testing.T) {
	r := manyRig(t, nil)
	f := r.openMany(0, 0)
	manyOf(f).Join("a", Start{}, SlowGap)
	manyOf(f).Join("b", Start{}, SlowGap)
	r.rest()
	for _, room := range []string{"b", "a", "b", "a"} {
		r.publish(room, "x")
		r.rest()
	}
	manyOf(f).Leave("a")
	f.Say(frame1("left"))
	f.take(-1)
	r.rest()
	got := f.frames(t)
	after := got[slices.Index(got, "left"):]
	if slices.ContainsFunc(after, func(s string) bool { return strings.HasPrefix(s, "a ") }) || len(got) != 3 {
		t.Errorf("got %q, want nothing of a after it was left, and both of b", got)
	}
}

// With many rooms, the room with the most waiting bytes is the one that loses them.
func TestTheFullestRoomLosesItsBacklog(t *testing.T) {
	r := manyRig(t, func(c *Config) { c.SoftBacklog, c.HardBacklog = 2000, 4000 })
	f := r.openMany(0, 0)
	talker := r.open(0, "loud", 0)
	manyOf(f).Join("loud", Start{}, SlowGap)
	manyOf(f).Join("still", Start{}, SlowGap)
	r.rest()
	r.publish("still", "one")
	r.rest()
	for i := range 20 {
		r.send(talker, fmt.Sprint("m", i, strings.Repeat("x", 500)))
		r.rest()
	}
	if talker.has(flagPaused) {
		t.Error("a connection with many rooms holds up a publisher")
	}
	f.take(-1)
	r.rest()
	got := f.frames(t)
	if len(f.gaps) != 1 || f.gaps[0].room != "loud" || !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "still ") }) {
		t.Errorf("gaps %+v, %d frames; want one of loud, and the frame of still", f.gaps, len(got))
	}
}

// A kick is still possible where the client asked for it.
func TestARoomJoinedWithSlowKickKicks(t *testing.T) {
	r := manyRig(t, func(c *Config) { c.SoftBacklog, c.HardBacklog = 2000, 4000 })
	f := r.openMany(0, 0)
	manyOf(f).Join("loud", Start{}, SlowKick)
	r.rest()
	for range 10 {
		r.publish("loud", strings.Repeat("x", 1000))
		r.rest()
	}
	if !slices.Contains(f.kicks, ReasonBacklogHard) {
		t.Errorf("kicks %v, want one for its backlog", f.kicks)
	}
}

// TestManyRoomsAtAnyMoment lets connections with many rooms join, resume, leave, publish, lag, and vanish at random moments. What a
// client gets of a room must be the room's order without hole or double, unless a gap or a refused position was announced, and what
// it publishes with a ref is acknowledged.
func TestManyRoomsAtAnyMoment(t *testing.T) {
	total := struct{ frames, resumed, refused, gaps, acks int }{}
	for seed := range moments() {
		rng := rand.New(rand.NewPCG(seed, 2))
		r := manyRig(t, func(c *Config) {
			c.Loops, c.Lanes = 1+rng.IntN(3), 1+rng.IntN(2)
			c.HistoryBytes = int64(c.Lanes) * segmentSize * int64(2+rng.IntN(3))
			c.FlushFirst, c.FlushBudget = 1+rng.IntN(4), 8
			c.SoftBacklog, c.HardBacklog = 20_000, 40_000+rng.IntN(100_000)
			c.BacklogTotal = int64(100_000 + rng.IntN(1_000_000))
		})
		m := &manyModel{rig: r, seed: seed, order: map[string][]string{}}
		for range 3 {
			m.clients = append(m.clients, &manyClient{last: map[string]ID{}, next: map[string]int{}})
		}
		for range 300 {
			m.step(rng)
		}
		for range 300 {
			for _, c := range m.clients {
				if c.f != nil {
					c.f.take(-1)
				}
			}
			r.rest()
		}
		for _, c := range m.clients {
			m.check(c)
			for room, next := range c.next {
				if c.f != nil && len(c.f.kicks) == 0 && c.f.In(room) && next >= 0 && next != len(m.order[room]) {
					t.Fatalf("seed %d: a member of %s has %d of %d, and nothing is left to do", seed, room, next, len(m.order[room]))
				}
			}
			if c.f != nil && len(c.f.kicks) == 0 && c.acked != c.ref {
				t.Fatalf("seed %d: acknowledged up to %d, sent up to %d", seed, c.acked, c.ref)
			}
		}
		total.frames += m.frames
		total.resumed += m.resumed
		total.refused += m.refused
		total.gaps += m.gaps
		total.acks += m.acks
	}
	t.Logf("%+v", total)
	if !raceEnabled && (total.frames < 10_000 || total.resumed < 300 || total.refused < 10 || total.gaps < 100 || total.acks < 300) {
		t.Error("too few for a test")
	}
}

type manyModel struct {
	*rig
	seed                                 uint64
	order                                map[string][]string
	clients                              []*manyClient
	frames, resumed, refused, gaps, acks int
}

type manyClient struct {
	f       *fake
	last    map[string]ID
	next    map[string]int // in the order of the room; -1: not known
	leaving map[string]bool
	ref     uint64
	acked   uint64
}

func (m *manyModel) step(rng *rand.Rand) {
	c := m.clients[rng.IntN(len(m.clients))]
	room := fmt.Sprint("r", rng.IntN(5))
	value := func() string {
		v := fmt.Sprint("v", len(m.order[room]), strings.Repeat("x", rng.IntN(1+rng.IntN(20_000))))
		m.order[room] = append(m.order[room], v)
		return v
	}
	switch rng.IntN(9) {
	case 0, 1:
		m.rig.publish(room, value())
	case 2:
		if c.f == nil {
			c.f = m.openMany(rng.IntN(len(m.rang)), rng.IntN(40_000))
			c.ref, c.acked, c.leaving = 0, 0, map[string]bool{}
		}
	case 3, 4:
		if c.f != nil && len(c.f.kicks) == 0 && !c.f.In(room) && !c.leaving[room] {
			m.join(c, room, Slow(1+rng.IntN(2)))
		}
	case 5:
		switch {
		case c.f == nil || len(c.f.kicks) > 0:
		case rng.IntN(3) == 0:
			m.leave(c)
		case c.f.In(room) && rng.IntN(2) == 0:
			m.check(c)
			c.leaving[room] = true // until it knows what it was given before
			manyOf(c.f).Leave(room)
			c.f.Say(frame1("left " + room))
		case c.f.In(room) && !c.f.blocked():
			c.ref++
			manyOf(c.f).Publish(room, &Sender{Me: 1, Ref: c.ref}, KindText, []byte(value()))
		}
	case 6:
		if c.f != nil {
			c.f.take(rng.IntN(60_000))
		}
	default:
		i := rng.IntN(len(m.rang))
		m.now += time.Duration(rng.IntN(80)) * time.Millisecond
		m.turn(i)
	}
	m.check(c)
}

func (m *manyModel) join(c *manyClient, room string, slow Slow) {
	c.f.onJoined = nil
	since, has := c.last[room]
	loop := c.f.Loop()
	f := c.f
	f.onJoinedRoom = func(joined string) {
		o := loop.Opening()
		switch {
		case o.Resumed:
			m.resumed++
		case has && joined == room:
			m.refused++
			fallthrough
		default:
			f.Say(frame1(fmt.Sprintf("open %s %d", joined, o.At.Seq)))
		}
	}
	manyOf(f).Join(room, Start{Since: since, HasSince: has}, slow)
}

// leave lets the peer vanish.
func (m *manyModel) leave(c *manyClient) {
	m.check(c)
	c.f.fin = true
	c.f.got = nil
	m.read(c.f)
	m.loop(c.f.Loop().index).Closed(&c.f.Conn)
	c.f = nil
}

func (m *manyModel) check(c *manyClient) {
	if c.f == nil {
		return
	}
	for _, a := range c.f.acks {
		c.acked = max(c.acked, a.ref)
		m.acks++
	}
	c.f.acks = nil
	got := c.f.got
	for len(got) >= 2 {
		n := 2 + int(got[0])<<8 + int(got[1])
		if n > len(got) {
			break
		}
		m.frame(c, string(got[2:n]))
		got = got[n:]
	}
	c.f.got = got
}

func (m *manyModel) frame(c *manyClient, body string) {
	var seq uint64
	room, rest, _ := strings.Cut(body, " ")
	tag := func() uint32 { return m.since(room, 0).Tag }
	switch room {
	case "open": // not resumed
		_, _ = fmt.Sscan(rest, &room, &seq)
		c.last[room], c.next[room] = ID{Seq: seq, Tag: tag()}, -1
		return
	case "gap":
		var pubs, why int
		_, _ = fmt.Sscanf(rest, "of %d, %d, at %d in %s", &pubs, &why, &seq, &room)
		m.gaps++
		if next := c.next[room]; next >= 0 && pubs >= 0 {
			c.next[room] = next + pubs // exactly so many are missing
		} else {
			c.next[room] = -1
		}
		c.last[room] = ID{Seq: seq, Tag: tag()}
		return
	case "left":
		delete(c.leaving, rest)
		return
	case "kicked:":
		return
	}
	head, value, _ := strings.Cut(rest, ":")
	_, _ = fmt.Sscan(head, &seq)
	c.last[room] = ID{Seq: seq, Tag: tag()}
	if value == "" { // a mark
		return
	}
	m.frames++
	at := slices.Index(m.order[room], value)
	if next, known := c.next[room]; known && next >= 0 && at != next {
		m.Fatalf("seed %d: %s got number %d, want %d (%d bytes: %.300q)", m.seed, room, at, next, len(body), strings.ReplaceAll(body, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "+"))
	}
	c.next[room] = at + 1
}

// A room of a connection takes its Member, and a place in two lists.
func TestManyRoomsTakeLittleMemory(t *testing.T) {
	const conns, rooms, limit = 510, 100, 4300
	r := manyRig(t, nil)
	all := make([]*fake, conns)
	for i := range all {
		all[i] = r.openMany(0, -1)
	}
	seed := r.openMany(0, -1)
	for i := range rooms {
		manyOf(seed).Join(fmt.Sprint("room", i), Start{}, SlowGap)
	}
	r.rest()
	before := heapInUse()
	for _, f := range all {
		for i := range rooms {
			manyOf(f).Join(fmt.Sprint("room", i), Start{}, SlowGap)
		}
	}
	r.rest()
	each := (heapInUse() - before) / conns
	t.Logf("%d rooms take %d bytes", rooms, each)
	if each > limit {
		t.Errorf("%d rooms of a connection take %d bytes, want at most %d", rooms, each, limit)
	}
	runtime.KeepAlive(all)
}

func heapInUse() int {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int(s.HeapAlloc)
}

// A publication that comes back after its publisher has left the room is acknowledged, and is no longer in flight.
func TestAPublicationComesBackAfterItsRoomWasLeft(t *testing.T) {
	r := manyRig(t, func(c *Config) { c.Lanes = 1 })
	bus := &lateBus{Embedded: r.bus}
	r.node.Use(bus)
	f := r.openMany(0, -1)
	manyOf(f).Join("a", Start{}, SlowGap)
	r.rest()
	manyOf(f).Publish("a", &Sender{Me: 1, Ref: 3}, KindText, []byte("mine"))
	manyOf(f).Leave("a")
	bus.bring(1)
	r.rest()
	if f.pending != 0 || len(f.acks) != 1 || f.acks[0].ref != 3 || !f.acks[0].behind || r.node.Reserved() != 0 {
		t.Errorf("%d publications are in flight, acknowledgements %v, %d bytes reserved", f.pending, f.acks, r.node.Reserved())
	}
}

// A publisher waits for each room that it published to, also if it published to another room since.
func TestAPublisherWithManyRoomsWaitsForAllOfThem(t *testing.T) {
	r := manyRig(t, func(c *Config) { c.RoomCredit = 1000 })
	f := r.openMany(0, -1)
	manyOf(f).Join("a", Start{}, SlowGap)
	manyOf(f).Join("b", Start{}, SlowGap)
	r.rest()
	manyOf(f).Publish("a", nil, KindText, []byte(strings.Repeat("x", 2000)))
	manyOf(f).Publish("b", nil, KindText, []byte("x"))
	if !f.blocked() {
		t.Error("it may publish more although the room a has no credit")
	}
	r.rest()
	if f.blocked() {
		t.Error("it still waits although both rooms have credit")
	}
}

// A gap belongs to a membership: it is not told to a client that has left the room and joined it again.
func TestAGapIsForgottenWhenItsRoomIsLeft(t *testing.T) {
	r := manyRig(t, func(c *Config) { c.SoftBacklog, c.HardBacklog = 2000, 4000 })
	f := r.openMany(0, 1)
	manyOf(f).Join("loud", Start{}, SlowGap)
	r.rest()
	for range 10 {
		r.publish("loud", strings.Repeat("x", 1000))
		r.rest()
	}
	manyOf(f).Leave("loud")
	manyOf(f).Join("loud", Start{}, SlowGap)
	r.rest()
	f.take(-1)
	r.rest()
	if len(f.gaps) > 0 || f.joins != 2 {
		t.Errorf("joined %d times, gaps %+v", f.joins, f.gaps)
	}
}

// An acknowledgement must not carry an id if its sender has joined the room again since: the id would be before the position at
// which it joined.
func TestAnAcknowledgementOfAFormerMembershipHasNoID(t *testing.T) {
	r := manyRig(t, nil)
	f := r.openMany(0, -1)
	manyOf(f).Join("a", Start{}, SlowGap)
	r.rest()
	manyOf(f).Publish("a", &Sender{Me: 1, Ref: 1}, KindText, []byte("mine"))
	manyOf(f).Leave("a")
	manyOf(f).Join("a", Start{}, SlowGap)
	r.rest()
	if len(f.acks) != 1 || !f.acks[0].behind {
		t.Errorf("acknowledgements %+v, want one without an id", f.acks)
	}
}

// A peer that sends and does not read is owed one acknowledgement for all of its publications, so that it takes no memory.
func TestAcknowledgementsThatWaitAreOne(t *testing.T) {
	r := repeatRig(t, func(c *Config) { c.SoftBacklog, c.HardBacklog = 1<<10, 4<<10 })
	f := r.slow("room", SlowGap, 5)
	r.publish("room", "first")
	r.rest()
	f.Say(frame1(strings.Repeat("x", mostSaid*3/4)))
	for ref := range uint64(500) {
		f.PublishBy(&Sender{Me: 1, Ref: ref + 1}, KindText, []byte("x"))
		r.rest()
	}
	if n := len(r.loop(0).fanout.acks.notes); n != 1 {
		t.Errorf("%d acknowledgements wait", n)
	}
	f.take(-1)
	r.rest()
	if n := len(f.acks); n != 1 || f.acks[0].ref != 500 {
		t.Errorf("%d acknowledgements, want one of the last", n)
	}
}

// An acknowledgement that only members on this node got a publication is not merged with one of another scope.
func TestAcknowledgementsOfDifferentScopesAreNotMerged(t *testing.T) {
	r, bus := fenceRig(t)
	f := r.open(0, "room", 2)
	for ref := range uint64(4) {
		f.PublishBy(&Sender{Me: 1, Ref: ref + 1}, KindText, []byte("x"))
	}
	pubs := bus.away
	Number(pubs[:2], 0, 1)
	Number(pubs[2:], TagOf(7, "", 0), 1)
	bus.dir.Deliver(0, pubs)
	r.rest()
	if len(f.acks) != 2 || f.acks[0].ref != 2 || f.acks[0].at.Tag != 0 || f.acks[1].ref != 4 || f.acks[1].at.Tag == 0 {
		t.Errorf("acknowledgements %+v, want 2 of this node and 4 of all", f.acks)
	}
}
