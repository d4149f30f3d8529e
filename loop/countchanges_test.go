package loop

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// mirror is a reader that asks only for changes. It holds the counts that such a reader knows.
type mirror struct {
	dir   *Directory
	rooms map[string]int
	read  int // number of lanes that had to be read completely
}

// newMirror makes a mirror and turns the marks on.
func newMirror(d *Directory) *mirror {
	m := &mirror{dir: d, rooms: map[string]int{}}
	d.Watch()
	for i := range d.Lanes() {
		m.take(d.All(i, nil))
	}
	return m
}

// ask brings the mirror up to date and returns the changes.
func (m *mirror) ask() (told []RoomCount) {
	for i := range m.dir.Lanes() {
		changed, ok := m.dir.Changed(i, nil)
		if !ok {
			m.read++
			changed = m.dir.All(i, nil)
			maps.DeleteFunc(m.rooms, func(room string, _ int) bool { return m.dir.laneOf(room) == i })
		}
		m.take(changed)
		told = append(told, changed...)
	}
	return told
}

// take applies the zeros first, because Changed may return a room both with 0 and with its members.
func (m *mirror) take(counts []RoomCount) {
	for _, c := range counts {
		if c.Members == 0 {
			delete(m.rooms, c.Room)
		}
	}
	for _, c := range counts {
		if c.Members > 0 {
			m.rooms[c.Room] = c.Members
		}
	}
}

// truth returns the real counts, by visiting all rooms.
func truth(d *Directory) map[string]int {
	rooms := map[string]int{}
	d.Each(func(e *Entry) {
		if n := e.Members(); n > 0 {
			rooms[e.Name] = n
		}
	})
	return rooms
}

func TestMarksTellOfEachRoomThatChanged(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Loops = 2 })
	a := r.open(0, "before", 0)
	m := newMirror(r.node.Directory())
	expect := func(what string, want ...RoomCount) {
		t.Helper()
		if got := m.ask(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: told %v, want %v", what, got, want)
		}
		if got, want := m.rooms, truth(m.dir); !maps.Equal(got, want) {
			t.Errorf("%s: the mirror has %v, want %v", what, got, want)
		}
	}
	expect("nothing happened")
	b := r.open(1, "before", 0)
	expect("a join", RoomCount{"before", 2})
	expect("nothing since")
	a.gone(ReasonLeft)
	expect("a leave", RoomCount{"before", 1})
	for range 5 {
		c := r.open(0, "before", 0)
		c.gone(ReasonLeft)
	}
	expect("ten changes", RoomCount{"before", 1})
	b.gone(ReasonLeft)
	expect("the room vanished", RoomCount{"before", 0})
	d := r.open(0, "brief", 0)
	d.gone(ReasonLeft)
	expect("a room came and went", RoomCount{"brief", 0})
	e := r.open(0, "again", 0)
	expect("another room", RoomCount{"again", 1})
	e.gone(ReasonLeft)
	r.open(1, "again", 0)
	r.open(1, "again", 0)
	expect("it vanished and came back", RoomCount{"again", 0}, RoomCount{"again", 2})
}

func TestMarksTellOfWhoIsTurnedAway(t *testing.T) {
	r := newRig(t, func(c *Config) { c.RoomMembers = 1 })
	r.open(0, "room", 0)
	m := newMirror(r.node.Directory())
	f := &fake{room: -1}
	f.Init(f)
	r.loop(0).Adopt(&f.Conn)
	r.rest()
	f.Join("room", 0) // a reader may have seen this short membership
	r.rest()
	if got, want := fmt.Sprint(m.ask()), "[{room 1}]"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

func TestNothingIsMarkedWhileNobodyWatches(t *testing.T) {
	r := newRig(t, nil)
	for _, f := range r.openAll(10, 0, "room")[1:] {
		f.gone(ReasonLeft)
	}
	for i := range r.node.dir.lanes {
		if got := len(r.node.dir.lanes[i].changes.list); got > 0 {
			t.Errorf("lane %d remembers %d rooms, want none", i, got)
		}
	}
	if r.node.dir.Lookup("room").changed.Load() {
		t.Error("the room is marked, but Watch was not called")
	}
}

func TestAMarkDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, watched := range []bool{false, true} {
		r := newRig(t, nil)
		l := r.loop(0)
		all := r.openAll(1000, 0, "room")
		var counts []RoomCount
		if watched {
			newMirror(r.node.Directory())
		}
		c := &all[0].Conn
		again := func() {
			l.rooms.leave(c, ReasonLeft)
			l.rooms.join(&c.member, l.rooms.byName["room"])
		}
		ask := func() {
			for i := range r.node.dir.Lanes() {
				counts, _ = r.node.dir.Changed(i, counts[:0])
			}
		}
		again()
		if got := testing.AllocsPerRun(100, again); got > 0 {
			t.Errorf("watched %v: leaving and joining a marked room allocates %.2f times, want 0", watched, got)
		}
		if !watched {
			continue
		}
		ask()
		again()
		ask() // from now on both lists reuse their memory
		if got := testing.AllocsPerRun(100, func() { again(); ask() }); got > 0 {
			t.Errorf("a mark and an answer allocate %.2f times, want 0", got)
		}
	}
}

// TestTheListOfMarksIsBounded: if nobody asks, rooms that come and go fill the list up to its limit. After that a reader must
// read all rooms.
func TestTheListOfMarksIsBounded(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Lanes = 1 })
	l := r.loop(0)
	f, there := r.open(0, "r0", 0), r.open(0, "there", 0)
	m := newMirror(r.node.Directory())
	marks := &r.node.dir.lanes[0].changes
	longest := 0
	for i := range 3 * changesGone {
		l.rooms.leave(&f.Conn, ReasonLeft)
		f.Join(fmt.Sprint("r", i+1), 0)
		l.Turn(r.now)
		longest = max(longest, len(marks.list))
	}
	if limit := changesGone + 2*3; longest < changesGone || longest > limit {
		t.Errorf("the list grew to %d, want to the limit of %d", longest, limit)
	}
	if !marks.lost || marks.list != nil {
		t.Error("the list is not dropped")
	}
	there.gone(ReasonLeft)
	m.ask()
	if want := truth(m.dir); m.read != 1 || !maps.Equal(m.rooms, want) {
		t.Errorf("%d lanes were read, and the mirror has %v, want %v", m.read, m.rooms, want)
	}
	r.open(0, "there", 0)
	if got, want := fmt.Sprint(m.ask()), "[{there 1}]"; got != want || m.read != 1 {
		t.Errorf("told %s after that, want %s", got, want)
	}
}

func TestWhoAsksForMarksKnowsEveryRoom(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t, func(c *Config) {
			c.Loops, c.Lanes, c.RoomMembers = 2, 2, rapid.SampledFrom([]int{0, 3}).Draw(rt, "members a room")
		})
		m := newMirror(r.node.Directory())
		var here []*fake
		rt.Repeat(map[string]func(*rapid.T){
			"join": func(rt *rapid.T) {
				f := &fake{room: -1}
				f.Init(f)
				r.loop(rapid.IntRange(0, 1).Draw(rt, "loop")).Adopt(&f.Conn)
				r.rest()
				f.Join(fmt.Sprint("room", rapid.IntRange(0, 4).Draw(rt, "room")), 0)
				if rapid.Bool().Draw(rt, "at once") {
					r.rest()
				}
				here = append(here, f)
			},
			"leave": func(rt *rapid.T) {
				if len(here) == 0 {
					rt.Skip("nobody there")
				}
				i := rapid.IntRange(0, len(here)-1).Draw(rt, "who")
				here[i].gone(ReasonLeft)
				here = append(here[:i], here[i+1:]...)
			},
			"turn": func(*rapid.T) { r.rest() },
			"ask": func(rt *rapid.T) {
				m.ask()
				if want := truth(m.dir); !maps.Equal(m.rooms, want) {
					rt.Fatalf("the mirror has %v, want %v", m.rooms, want)
				}
			},
			"all": func(*rapid.T) { // All instead of Changed, for one lane
				i := rapid.IntRange(0, 1).Draw(rt, "lane")
				maps.DeleteFunc(m.rooms, func(room string, _ int) bool { return m.dir.laneOf(room) == i })
				m.take(m.dir.All(i, nil))
			},
		})
	})
}

// TestNoChangeIsMissedUnderWay: loops run on their own goroutines, and a reader asks all the time. When the loops have stopped,
// one more answer must make the mirror exact.
func TestNoChangeIsMissedUnderWay(t *testing.T) {
	const loops, rounds, steps = 4, 20, 400
	cfg := DefaultConfig()
	cfg.Loops, cfg.Lanes, cfg.Ring = loops, 2, func(int) {}
	node := New(cfg)
	node.Use(NewEmbedded(node.Directory(), 7))
	m := newMirror(node.Directory())
	here := make([][]*fake, loops)
	for round := range rounds {
		var work, asking sync.WaitGroup
		for i, l := range node.loops {
			rng := rand.New(rand.NewPCG(uint64(round), uint64(i)))
			work.Go(func() {
				for range steps {
					here[i] = stroll(l, rng, here[i])
				}
			})
		}
		stop := make(chan struct{})
		asking.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				m.ask()
				if n%16 == 0 { // a reader calls All after an error
					lane := n / 16 % m.dir.Lanes()
					maps.DeleteFunc(m.rooms, func(room string, _ int) bool { return m.dir.laneOf(room) == lane })
					m.take(m.dir.All(lane, nil))
				}
			}
		})
		work.Wait()
		close(stop)
		asking.Wait()
		m.ask()
		if want := truth(m.dir); !maps.Equal(m.rooms, want) {
			t.Fatalf("round %d: the mirror has %v, want %v", round, m.rooms, want)
		}
	}
	if m.read > 0 {
		t.Errorf("%d lists were dropped: the test does not do what it says", m.read)
	}
}

// TestAChangeDuringTheAnswerIsInTheNext makes a single change and an answer happen at the same moment, and repeats this for
// half a second. If the reader cleared the mark after it read the count, or if the change set the mark before it updated the
// count, a change would sometimes be missed.
func TestAChangeDuringTheAnswerIsInTheNext(t *testing.T) {
	r := newRig(t, nil)
	r.open(0, "room", 0)
	m, c, l := newMirror(r.node.Directory()), &r.open(0, "room", 0).Conn, r.loop(0)
	lane, entry := r.node.dir.laneOf("room"), r.node.dir.Lookup("room")
	var begun, done atomic.Int64
	var work sync.WaitGroup
	work.Go(func() {
		for round := int64(1); ; round++ {
			for begun.Load() == round-1 {
				runtime.Gosched()
			}
			if begun.Load() != round {
				return
			}
			if c.member.room == nil {
				l.rooms.join(&c.member, l.rooms.byName["room"])
			} else {
				l.rooms.leave(c, ReasonLeft)
			}
			done.Store(round)
		}
	})
	answer := func() {
		counts, _ := m.dir.Changed(lane, nil)
		m.take(counts)
	}
	forgotten, rounds := 0, int64(0)
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); {
		m.dir.countChanged(entry) // so that the answer has an entry to visit
		rounds++
		begun.Store(rounds)
		for done.Load() < rounds {
			answer()
		}
		answer()
		if m.rooms["room"] != entry.Members() {
			forgotten++
		}
	}
	begun.Store(-1)
	work.Wait()
	if forgotten > 0 {
		t.Errorf("%d of %d changes were forgotten", forgotten, rounds)
	}
}

// stroll lets members join or leave one of three rooms, so that the rooms vanish and come back all the time. It runs on the
// loop's goroutine.
func stroll(l *Loop, rng *rand.Rand, here []*fake) []*fake {
	if len(here) > 0 && rng.IntN(5) > 1 {
		i := rng.IntN(len(here))
		here[i].gone(ReasonLeft)
		return append(here[:i], here[i+1:]...)
	}
	f := &fake{room: -1}
	f.Init(f)
	l.Adopt(&f.Conn)
	l.Turn(0)
	f.Join(fmt.Sprint("room", rng.IntN(3)), 0)
	if rng.IntN(4) > 0 {
		l.Turn(0)
	}
	return append(here, f)
}
