package loop

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

type ack struct {
	ref    uint64
	at     ID
	behind bool
}

// repeatRig has members whose frames are "SEQ:VALUE", so that a test can resume at the position of any of them.
func repeatRig(t testing.TB, change func(*Config)) *rig {
	r := newRig(t, func(c *Config) {
		c.Encodings[2] = Encoding{Append: func(dst []byte, p *Publication) ([]byte, int) {
			return appendFrame(dst, fmt.Appendf(nil, "%d:%s", p.ID.Seq, p.Value)), -1
		}, Size: func(p *Publication) int { return 24 + len(p.Value) }, NeedsID: true}
		if change != nil {
			change(c)
		}
	})
	r.node.KeepHistory(false)
	return r
}

// keepPartial begins histories that no bus fills.
func (r *rig) keepPartial() {
	r.node.KeepHistory(true)
	for i := range r.node.dir.lanes {
		r.node.dir.Fill(i).Abandon()
	}
}

// since returns the position after the publication with this number in the lane of a room.
func (r *rig) since(room string, seq uint64) ID {
	d := r.node.dir
	return ID{Seq: seq, Tag: d.lanes[d.laneOf(room)].last.Tag}
}

// resume opens a connection that joins a room from a start.
func (r *rig) resume(loop int, room string, start Start, kernel int) (*fake, *Opening) {
	r.Helper()
	f := &fake{room: kernel}
	f.Init(f)
	r.loop(loop).Adopt(&f.Conn)
	r.rest()
	opening := &Opening{}
	f.onJoined = func() { *opening = f.Loop().Opening() }
	f.JoinFrom(room, 2, start)
	r.rest()
	return f, opening
}

func TestAMemberIsGivenWhatItMissedAndThenWhatComes(t *testing.T) {
	r := repeatRig(t, nil)
	r.open(0, "room", 0)
	r.publish("room", "a", "b", "c", "d")
	r.rest()
	back, o := r.resume(0, "room", Start{Since: r.since("room", 2), HasSince: true}, -1)
	r.publish("room", "e")
	r.rest()
	if !o.Resumed || !o.Repeats || o.At.Seq != 2 || back.lives != 1 || back.at.Seq != 4 {
		t.Errorf("opening %+v, %d times live, at %v: want it resumed at 2, and live at 4", *o, back.lives, back.at)
	}
	if got, want := back.frames(t), []string{"3:c", "4:d", "5:e"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAPositionThatCannotBeHonouredIsRefused(t *testing.T) {
	r := repeatRig(t, func(c *Config) { c.HistoryBytes, c.Lanes = 3*segmentSize, 1 })
	r.open(0, "room", 0)
	long := strings.Repeat("x", 60_000)
	for range 20 {
		r.publish("room", long)
		r.rest()
	}
	for what, since := range map[string]ID{
		"dropped already": r.since("room", 1), "not numbered yet": r.since("room", 1000), "of another numbering": {Seq: 20, Tag: r.since("room", 1).Tag + 1},
	} {
		back, o := r.resume(0, "room", Start{Since: since, HasSince: true}, -1)
		r.publish("room", "next")
		r.rest()
		if o.Resumed || o.Repeats || back.lives != 0 {
			t.Errorf("%s: opening %+v, %d times live, want it not resumed", what, *o, back.lives)
		}
		if got := back.frames(t); len(got) != 1 || !strings.HasSuffix(got[0], ":next") {
			t.Errorf("%s: got %q, want only what came later", what, got)
		}
	}
}

func TestTheLatestComeFirstIfAMemberAsksForThem(t *testing.T) {
	r := repeatRig(t, nil)
	r.open(0, "room", 0)
	r.publish("room", "a", "b", "c")
	r.rest()
	for n, want := range map[int][]string{1: {"3:c"}, 2: {"2:b", "3:c"}, 9: {"1:a", "2:b", "3:c"}} {
		back, o := r.resume(0, "room", Start{Last: n}, -1)
		if got := back.frames(t); !slices.Equal(got, want) || o.Resumed || o.At.Seq != uint64(3-len(want)) || back.lives != 1 {
			t.Errorf("the latest %d: %q, opening %+v, live %d times, want %q", n, got, *o, back.lives, want)
		}
	}
}

// A slow reader pulls: what waits for it is in the history, so it has no backlog, stalls nobody, and is not kicked while it takes
// something.
func TestARepetitionIsPulled(t *testing.T) {
	r := repeatRig(t, func(c *Config) { c.SoftBacklog, c.HardBacklog, c.BacklogTime = 4<<10, 8<<10, 10*time.Second })
	talker := r.open(0, "room", 0)
	for i := range 400 {
		r.send(talker, fmt.Sprint("m", i, strings.Repeat("x", 500)))
		r.rest()
	}
	back, _ := r.resume(0, "room", Start{Since: r.since("room", 0), HasSince: true}, 100)
	for i := 0; back.lives == 0; i++ {
		if i%7 == 0 {
			r.send(talker, fmt.Sprint("n", i))
		}
		back.take(3_000)
		r.step(time.Second)
		if back.Backlog() > 4<<10 || talker.has(flagPaused) || i > 1000 {
			t.Fatalf("backlog %d, talker paused %v in round %d", back.Backlog(), talker.has(flagPaused), i)
		}
	}
	if got := back.frames(t); len(back.kicks) > 0 || len(got) < 400 {
		t.Errorf("kicks %v, %d frames", back.kicks, len(got))
	}
}

func TestAMemberThatTakesNothingWhileItIsRepeatedToIsKicked(t *testing.T) {
	r := repeatRig(t, func(c *Config) { c.BacklogTime = 2 * time.Second })
	r.open(0, "room", 0)
	r.publish("room", "a", "b")
	r.rest()
	back, _ := r.resume(0, "room", Start{Since: r.since("room", 0), HasSince: true}, 3)
	for range 5 {
		r.step(time.Second)
	}
	if want := []CloseReason{ReasonBacklogSoft}; !slices.Equal(back.kicks, want) {
		t.Errorf("kicks %v, want %v", back.kicks, want)
	}
}

// TestResumesAtAnyMoment lets members come and go at random, on loops and with sockets of random size, while others publish. All
// that a client got over its connections must be the room's order without hole or double, unless a position was refused.
func TestResumesAtAnyMoment(t *testing.T) {
	resumed, refused, gaps := 0, 0, 0
	for seed := range moments() {
		rng := rand.New(rand.NewPCG(seed, 1))
		r := repeatRig(t, func(c *Config) {
			c.Loops, c.Lanes = 1+rng.IntN(3), 1+rng.IntN(2)
			c.HistoryBytes = int64(c.Lanes) * segmentSize * int64(2+rng.IntN(3))
			c.FlushFirst, c.FlushBudget = 1+rng.IntN(4), 8
		})
		rooms := []string{"r0", "r1", "r2"}
		order := map[string][]string{}
		r.bus = nil
		type client struct {
			f    *fake
			room string
			last ID
			has  bool
			from int // in the order, -1: not known yet
		}
		var clients []*client
		for i := range 4 {
			clients = append(clients, &client{room: rooms[i%3], from: -1})
		}
		publish := func() {
			room := rooms[rng.IntN(3)]
			value := fmt.Sprint("v", len(order[room]), strings.Repeat("x", rng.IntN(1+rng.IntN(20_000))))
			order[room] = append(order[room], value)
			r.publish(room, value)
		}
		check := func(c *client) {
			if c.f == nil {
				return
			}
			got := c.f.got
			c.f.got = nil
			for len(got) >= 2 {
				n := 2 + int(got[0])<<8 + int(got[1])
				if n > len(got) {
					break
				}
				seq, value, _ := strings.Cut(string(got[2:n]), ":")
				got = got[n:]
				if seq == "kicked" {
					continue
				}
				var id ID
				if _, at, isGap := strings.Cut(seq, "at "); isGap { // it was too slow for the history
					seq, gaps, c.from = at, gaps+1, -1 // Sscan takes the number
				}
				_, _ = fmt.Sscan(seq, &id.Seq)
				id.Tag = r.since(c.room, 0).Tag
				c.last, c.has = id, true
				if value == "" { // a mark or a gap
					continue
				}
				at := slices.Index(order[c.room], value)
				if c.from >= 0 && at != c.from {
					t.Fatalf("seed %d: %s got number %d, want %d", seed, c.room, at, c.from)
				}
				c.from = at + 1
			}
			c.f.got = got
		}
		for range 250 {
			c := clients[rng.IntN(len(clients))]
			switch rng.IntN(6) {
			case 0, 1:
				publish()
			case 2:
				if c.f == nil {
					f := &fake{room: rng.IntN(40_000)}
					f.Init(f)
					c.f = f
					f.onJoined = func() {
						if o := f.Loop().Opening(); o.Resumed {
							resumed++
						} else {
							if c.has {
								refused++
							}
							c.from, c.last, c.has = -1, o.At, true
						}
					}
					i := rng.IntN(len(r.rang))
					r.loop(i).Adopt(&f.Conn)
					r.turn(i)
					f.JoinFrom(c.room, 2, Start{Since: c.last, HasSince: c.has})
				}
			case 3:
				if c.f != nil {
					check(c)
					c.f.fin = true
					c.f.got = nil
					r.read(c.f)
					r.loop(c.f.Loop().index).Closed(&c.f.Conn)
					c.f = nil
				}
			case 4:
				if c.f != nil {
					c.f.take(rng.IntN(60_000))
				}
			case 5:
				i := rng.IntN(len(r.rang))
				r.now += time.Duration(rng.IntN(50)) * time.Millisecond
				r.turn(i)
			}
			check(c)
		}
		for range 200 {
			for _, c := range clients {
				if c.f != nil {
					c.f.take(-1)
				}
			}
			r.rest()
		}
		for _, c := range clients {
			check(c)
			if c.f != nil && len(c.f.kicks) == 0 && c.from >= 0 && c.from != len(order[c.room]) {
				t.Fatalf("seed %d: a member of %s has %d of %d, and nothing is left to do", seed, c.room, c.from, len(order[c.room]))
			}
		}
	}
	t.Logf("%d resumed, %d refused, %d gaps", resumed, refused, gaps)
	if !raceEnabled && (resumed < 1000 || refused < 10 || gaps == 0) {
		t.Error("too few for a test")
	}
}

// A client may come from a node that was some milliseconds ahead of this one.
func TestAMemberWaitsUntilItsNodeHasReachedItsPosition(t *testing.T) {
	r := newRig(t, nil)
	r.keepPartial()
	r.open(0, "room", 2)
	r.publish("room", "a", "b") // with the first, the history begins
	r.rest()
	ahead, o := r.resume(0, "room", Start{Since: r.since("room", 4), HasSince: true}, -1)
	gone, _ := r.resume(0, "room", Start{Since: r.since("room", 4), HasSince: true}, -1)
	gone.fin = true
	r.read(gone)
	r.step(Tick)
	r.publish("room", "c")
	r.step(Tick)
	if ahead.joins+gone.joins > 0 {
		t.Fatalf("joined at 3 with a position of 4")
	}
	r.publish("room", "d", "e")
	r.rest()
	r.step(Tick)
	if got := ahead.frames(t); ahead.joins != 1 || !o.Resumed || !slices.Equal(got, []string{"e"}) {
		t.Errorf("joined %d times, opening %+v, got %q: want it resumed with e", ahead.joins, *o, got)
	}
	never, o := r.resume(0, "room", Start{Since: r.since("room", 100), HasSince: true}, -1)
	for range longestLate + 1 {
		r.step(Tick)
	}
	if never.joins != 1 || o.Resumed {
		t.Errorf("joined %d times, opening %+v: want it refused after a while", never.joins, *o)
	}
}

// The bus leaves out other rooms until the history is kept, so what came before, and perhaps a part of the next batch, is not there.
func TestAPartialHistoryBeginsWithTheNextBatch(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Lanes = 1 })
	dir := r.node.Directory()
	r.open(0, "room", 2)
	if _, here := dir.Name(0, []byte("elsewhere")); here {
		t.Error("a room without members is wanted before there is a history")
	}
	batch := func(seq uint64, rooms ...string) {
		var pubs []*Publication
		for i, room := range rooms {
			pubs = append(pubs, &Publication{Room: room, Value: []byte("x"), ID: ID{Seq: seq, Index: uint32(i), Tag: 5}})
		}
		dir.Deliver(0, pubs)
		r.rest()
	}
	batch(1, "room")
	r.keepPartial()
	batch(2, "room")
	batch(3, "elsewhere", "room")
	if name, here := dir.Name(0, []byte("elsewhere")); !here || name != "elsewhere" {
		t.Error("a room without members is not wanted, but the history needs it")
	}
	for seq, want := range map[uint64]bool{1: false, 2: false, 3: true} {
		_, o := r.resume(0, "room", Start{Since: ID{Seq: seq, Tag: 5}, HasSince: true}, -1)
		if o.Resumed != want {
			t.Errorf("a position in batch %d: resumed %v, want %v", seq, o.Resumed, want)
		}
	}
	r.node.Gap(0, nil)
	if _, o := r.resume(0, "room", Start{Since: ID{Seq: 3, Tag: 5}, HasSince: true}, -1); o.Resumed {
		t.Error("a position before a gap is resumed")
	}
}

// Another loop, or another node, may have given a client a publication that is still in the inbox of its new loop.
func TestAMemberDoesNotGetAgainWhatItsNewLoopHasNotHandledYet(t *testing.T) {
	r := repeatRig(t, func(c *Config) { c.Loops = 2 })
	r.open(1, "room", 2)
	f := &fake{room: -1}
	f.Init(f)
	r.loop(1).Adopt(&f.Conn)
	r.rest()
	r.publish("room", "a")
	f.JoinFrom("room", 2, Start{Since: r.since("room", 1), HasSince: true})
	r.publish("room", "b")
	r.rest()
	if got, want := f.frames(t), []string{"2:b"}; f.joins != 1 || !slices.Equal(got, want) {
		t.Errorf("joined %d times, got %q, want %q", f.joins, got, want)
	}
}

// A room that was quiet since then has the old numbering, but its lane has not: what the room missed in between is not known.
func TestAPositionOfAnOlderNumberingIsRefusedInAQuietRoom(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Lanes = 1 })
	dir := r.node.Directory()
	r.open(0, "room", 2)
	r.open(0, "other", 2)
	r.keepPartial()
	deliver := func(room string, tag uint32, seq uint64) {
		dir.Deliver(0, []*Publication{{Room: room, Value: []byte("x"), ID: ID{Seq: seq, Tag: tag}}})
		r.rest()
	}
	for seq := range uint64(4) {
		deliver("room", 5, seq+1)
	}
	if _, o := r.resume(0, "room", Start{Since: ID{Seq: 1, Tag: 5}, HasSince: true}, -1); o.Resumed {
		t.Error("a position before the history is resumed")
	}
	if _, o := r.resume(0, "room", Start{Since: ID{Seq: 3, Tag: 5}, HasSince: true}, -1); !o.Resumed {
		t.Error("a position in the history is not resumed")
	}
	for seq := range uint64(9) {
		deliver("other", 6, seq+1)
	}
	for _, start := range []Start{{Since: ID{Seq: 3, Tag: 5}, HasSince: true}, {Last: 3}} {
		if _, o := r.resume(0, "room", start, -1); o.Resumed || o.Repeats {
			t.Errorf("%+v: opening %+v, want neither resumed nor repeated", start, *o)
		}
	}
}

// After a gap, a node that gets all rooms only since a moment ago may lack any batch up to the next.
func TestAPartialHistoryBeginsAgainAfterAGap(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Lanes = 1 })
	dir := r.node.Directory()
	r.open(0, "room", 2)
	deliver := func(seq uint64) {
		dir.Deliver(0, []*Publication{{Room: "room", Value: []byte("x"), ID: ID{Seq: seq, Tag: 5}}})
		r.rest()
	}
	deliver(10) // the batches up to 1,000 concern other rooms
	r.keepPartial()
	r.node.Gap(0, nil)
	deliver(1000)
	deliver(1001)
	for seq, want := range map[uint64]bool{500: false, 1001: true} {
		if _, o := r.resume(0, "room", Start{Since: ID{Seq: seq, Tag: 5}, HasSince: true}, -1); o.Resumed != want {
			t.Errorf("a position in batch %d: resumed %v, want %v", seq, o.Resumed, want)
		}
	}
}

// A sender that reads nothing must not keep the loop busy, and gets one acknowledgement for all once it reads.
func TestAcknowledgementsOfASenderThatDoesNotReadWait(t *testing.T) {
	r := repeatRig(t, nil)
	f := r.open(0, "room", 2)
	f.room = 5
	f.PublishBy(&Sender{Me: 1, Ref: 1}, KindText, []byte("first"))
	r.rest()
	f.Say([]byte(strings.Repeat("a", mostSaid/2+1)))
	for ref := range uint64(20) {
		f.PublishBy(&Sender{Me: 1, Ref: ref + 2}, KindText, []byte("next"))
		r.rest() // fails if the loop does not come to rest
	}
	before := len(f.acks)
	f.take(-1)
	r.rest()
	r.step(Tick)
	if got := f.acks[before:]; len(got) != 1 || got[0].ref != 21 || got[0].at.Seq != 21 {
		t.Errorf("acknowledged %+v, want 21 alone", got)
	}
}

// A gap that the bus reports when a member was given everything, but is not live yet, is told to the member too.
func TestAGapJustBeforeAMemberIsLiveIsTold(t *testing.T) {
	r := repeatRig(t, func(c *Config) { c.Lanes = 1 })
	r.open(0, "room", 0)
	r.publish("room", "a", "b")
	r.rest()
	back := &fake{room: -1}
	back.Init(back)
	r.loop(0).Adopt(&back.Conn)
	r.rest()
	back.JoinFrom("room", 2, Start{Since: r.since("room", 1), HasSince: true})
	r.turn(0)
	if len(back.got) == 0 || back.lives > 0 {
		t.Fatalf("got %q, %d times live", back.got, back.lives)
	}
	r.node.Gap(0, nil)
	r.rest()
	if len(back.gaps) != 1 || back.gaps[0].reason != GapBackend || back.lives != 1 {
		t.Errorf("gaps %+v, %d times live", back.gaps, back.lives)
	}
}
