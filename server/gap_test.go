package server

import (
	"fmt"
	"testing"
	"time"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

const (
	closesForGap = `dots_closes_total{code="4105",name="gap"}`
	endsForGap   = `dots_ended_total{reason="gap"}`
)

// startWithGaps starts a server with a backend. A room is in the lane whose number is the length of the room's key modulo 3.
func startWithGaps(t *testing.T, drain time.Duration) (*testServer, *fakeBackend) {
	t.Helper()
	return startWithBackend(t, func(c *Config) { c.Redis, c.OnGap, c.DrainTime = "redis://a", "close", drain })
}

// talks makes a member send a message, and checks that all members receive it.
func talks(who *wire, text string, all ...*wire) {
	who.t.Helper()
	who.say(text)
	for _, w := range all {
		w.hears(text)
	}
}

// endsForTheGap checks that the connection is closed for a gap, with no message before the close.
func (w *wire) endsForTheGap() {
	w.t.Helper()
	if reason := w.endsWith(protocol.CloseGap); reason != "gap: this member may have missed messages of the room" {
		w.t.Errorf("got the reason %q", reason)
	}
}

// rounds waits until n rounds have closed members, because each such round writes a log line.
func (s *testServer) rounds(t *testing.T, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d rounds are over", n), func() bool {
		return s.logs.FilterMessage("members were closed after a gap").Len() == n
	})
}

func TestAGapClosesTheMembersOfItsRoomsAndOnlyThem(t *testing.T) {
	for name, row := range map[string]struct {
		lane  int
		rooms []string
	}{
		"rooms":      {1, []string{"chat/lobby", "raw/lobby", "chat/nobody"}},
		"whole lane": {1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := startWithGaps(t, 50*time.Millisecond)
			a, b := s.join(t, "/ws/chat/lobby/"), s.join(t, "/ws/chat/lobby/")
			other, another := s.join(t, "/ws/chat/elsewhere1/"), s.join(t, "/ws/chat/elsewhere1/") // in another lane
			raw := s.join(t, "/ws/raw/lobby+/")
			if row.rooms == nil && s.backend.LaneOf("raw/lobby+") != row.lane || s.backend.LaneOf("chat/lobby") != row.lane || s.backend.LaneOf("chat/elsewhere1") == row.lane {
				t.Fatal("the rooms are not in the lanes that this is for")
			}
			if row.rooms != nil {
				raw = s.join(t, "/ws/raw/lobby/")
			}
			f.gap(row.lane, row.rooms)
			late := s.join(t, "/ws/chat/lobby/") // this member has missed nothing
			a.endsForTheGap()
			b.endsForTheGap()
			talks(other, "here we are", other, another)
			s.rounds(t, 1)
			f.gap(0, []string{"chat/nobody"}) // the next round finds nobody to close
			f.gap(2, nil)
			last := s.join(t, "/ws/chat/ab/")
			f.gap(s.backend.LaneOf("chat/ab"), []string{"chat/ab"})
			last.endsForTheGap()
			s.rounds(t, 2)
			talks(late, "hello", late)
			talks(another, "still", other, another)
			raw.text("raw")
			if got := raw.message(); got != "raw" {
				t.Errorf("raw: got %q", got)
			}
			if got := s.scrape(t); got[closesForGap] != "3" || got[endsForGap] != "3" {
				t.Errorf("%s closes and %s ends are counted, want 3", got[closesForGap], got[endsForGap])
			}
		})
	}
}

// However often a gap is reported, no work piles up, and each member is closed once.
func TestAGapTwiceIsNotTwiceTheWork(t *testing.T) {
	s, f := startWithGaps(t, 300*time.Millisecond)
	var members []*wire
	for range 12 {
		members = append(members, s.join(t, "/ws/chat/lobby/"))
	}
	rooms := []string{"chat/lobby", "chat/gone"}
	tell := func() {
		f.gap(1, rooms)
		f.gap(1, nil)
	}
	tell()
	if n := testing.AllocsPerRun(1000, tell); n > 0 {
		t.Errorf("a repeated gap takes %v allocations", n)
	}
	for _, m := range members {
		m.endsForTheGap()
	}
	eventually(t, "all are counted", func() bool { return s.scrape(t)[closesForGap] == "12" })
	last := s.join(t, "/ws/chat/lobby/")
	f.gap(1, nil)
	last.endsForTheGap()
	if got := s.scrape(t)[closesForGap]; got != "13" {
		t.Errorf("%s closes for 13 members", got)
	}
}

func TestGapsAreIgnoredUnlessTheyAreToClose(t *testing.T) {
	s, f := startWithBackend(t, nil)
	a := s.join(t, "/ws/chat/lobby/")
	f.gap(1, []string{"chat/lobby"})
	f.gap(1, nil)
	talks(a, "hello", a)
	if s.gaps != nil {
		t.Error("a goroutine waits for gaps, although no member is to be closed")
	}
}

// The closes are spread over a long time. The server is closed earlier, and its Close must not wait for the end of the round.
// The harness checks that all goroutines have ended.
func TestAServerIsClosedInTheMiddleOfARound(t *testing.T) {
	const members = 8
	s, f := startWithGaps(t, time.Hour)
	for range members {
		s.join(t, "/ws/chat/lobby/")
	}
	f.gap(1, nil)
	eventually(t, "the round has begun", func() bool { return s.scrape(t)[closesForGap] != "0" })
	if s.scrape(t)[closesForGap] == fmt.Sprint(members) {
		t.Error("all members were closed at once, in a time of an hour")
	}
}

// Members that joined one after the other are closed in mixed order: after a part of the time, about the same part of them must
// be closed.
func TestTheClosesOfARoundAreSpread(t *testing.T) {
	const members, parts = 64, 8
	s, f := startWithBackend(t, func(c *Config) { c.Loops = 1 })
	for range members {
		s.join(t, "/ws/chat/lobby/")
	}
	f.node.Gap(1, []string{"chat/lobby"})
	var w lap
	l := f.node.Loops()[0]
	for i := range parts + 1 {
		closed, _ := onLoop(t, l, func(l *loop.Loop) (int, error) { return w.until(l, float64(i)/parts), nil })
		switch least, most := members/parts/4, 2*members/parts; {
		case i == 0 && closed > 1, i > 0 && (closed < least || closed > most):
			t.Errorf("part %d of %d: %d of %d members were closed, want %d to %d", i, parts, closed, members, least, most)
		}
	}
	if got, want := s.scrape(t)[closesForGap], fmt.Sprint(members); got != want {
		t.Errorf("%s of %s members were closed", got, want)
	}
}

func TestScatterTakesEachSlotOnceAndNoNeighbours(t *testing.T) {
	for bits := range 21 {
		seen := make([]bool, 1<<bits)
		for i := range seen {
			at := scatter(i, bits)
			if at < 0 || at >= len(seen) || seen[at] {
				t.Fatalf("%d bits: %d is slot %d, which is none or was taken", bits, i, at)
			}
			seen[at] = true
		}
	}
	// The members of a room that joined together, and also every n-th connection, must be spread over the whole time.
	const bits, parts = 16, 10
	when := make([]int, 1<<bits)
	for i := range when {
		when[scatter(i, bits)] = i * parts >> bits
	}
	for _, apart := range []int{1, 2, 3, 10, 16, 50, 64, 100} {
		var counts [parts]int
		for n := range 500 {
			counts[when[1234+n*apart]]++
		}
		for part, n := range counts {
			if n < 500/parts/3 || n > 3*500/parts {
				t.Errorf("of 500 slots that are %d apart %d are in part %d of %d: %v", apart, n, part, parts, counts)
				break
			}
		}
	}
}
