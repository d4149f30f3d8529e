package loop

import (
	"strings"
	"testing"
)

func TestTheLedgerNoticesWhenACounterIsOffOrAMemberStandsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(l *Loop, lagging *fake)
		want string
	}{
		"a delivery too many":         {func(l *Loop, _ *fake) { l.stats.Delivered++ }, "delivered"},
		"a delivery too few":          {func(l *Loop, _ *fake) { l.stats.Delivered-- }, "delivered"},
		"a frame lost in silence":     {func(l *Loop, _ *fake) { l.stats.Expected++ }, "expected"},
		"a drop without a drop":       {func(l *Loop, _ *fake) { l.stats.Dropped[ReasonShed]++ }, "dropped"},
		"a batch lost":                {func(l *Loop, _ *fake) { l.rooms.byName["room"].queue = nil; l.rooms.byName["room"].owed = 0 }, "in flight"},
		"the cursor moved":            {func(l *Loop, _ *fake) { l.rooms.byName["room"].next() }, "its turn does not come"},
		"a member moved on":           {func(l *Loop, _ *fake) { l.rooms.byName["room"].members[3].from++ }, "in flight"},
		"a waiting frame lost":        {func(_ *Loop, f *fake) { f.backlog.refs = nil }, "in flight"},
		"a begun frame forgotten":     {func(_ *Loop, f *fake) { f.backlog.begun = nil }, "in flight"},
		"a member at another's place": {func(l *Loop, _ *fake) { l.rooms.byName["room"].members[0].index = 1 }, "has index"},
		"a member of another room":    {func(l *Loop, _ *fake) { l.rooms.byName["room"].members[1].room = &room{} }, "has index"},
		"a member that is nobody":     {func(l *Loop, _ *fake) { l.rooms.byName["room"].members[1].conn = nil }, "has index"},
		"a place in the wrong list":   {func(_ *Loop, f *fake) { f.backlog.index = 3 }, "lagging"},
		"a backlog forgotten":         {func(_ *Loop, f *fake) { f.backlog = nil }, "lagging"},
		"one that waits unknowingly":  {func(l *Loop, f *fake) { l.rooms.byName["room"].waiting = []*Member{&f.member} }, "waits to join"},
		"an empty room that stays":    {func(l *Loop, _ *fake) { l.rooms.byName["ghost"] = &room{name: "ghost", entry: &Entry{}} }, "vanish"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.FlushBudget, c.FlushSlice = 2, 2 })
			all := r.openAll(4, 0, "room")
			all[0].room = 3
			r.publish("room", numbered("m", 3)...)
			r.turn(0) // two of the four members have got the frame, one of these two only a part of it
			if _, err := r.loop(0).CheckLedger(); err != nil {
				t.Fatalf("the ledger is uneven before any harm: %v", err)
			}
			c.harm(r.loop(0), all[0])
			_, err := r.loop(0).CheckLedger()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the ledger says %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestStatsAreThoseOfTheLastTurn(t *testing.T) {
	r := newRig(t, nil)
	all := r.openAll(3, 0, "room")
	all[0].room = 0
	r.publish("room", "a", "b")
	r.rest()
	r.step(Tick) // backlogs are counted once a tick
	s := r.loop(0).Stats()
	if s.Conns != 3 || s.Rooms != 1 || s.Timers != 3 || s.LaggingConns != 1 || s.Joins != 3 || s.Appended != 2 || s.Delivered != 4 ||
		s.BacklogBytes != 6 || s.BacklogMax != 6 || s.Lags != 1 {
		t.Errorf("stats %+v, want 3 connections, 1 room, 3 timers, 1 lagging with 6 bytes, 3 joins, 2 appended, 4 delivered", s)
	}
}

func TestEveryReasonHasItsName(t *testing.T) {
	seen := map[string]CloseReason{}
	for w := range CloseReason(NumReasons) {
		if name := w.String(); name == "" {
			t.Errorf("reason %d has no name: add it to reasonNames in reason.go", w)
		} else if other, twice := seen[name]; twice {
			t.Errorf("reasons %d and %d are both %q", w, other, name)
		}
		seen[w.String()] = w
	}
}

func TestIDsSortAsTheirStringsDo(t *testing.T) {
	ids := []ID{{2, 3, 1}, {2, 4, 1}, {2, 0xffff, 1}, {3, 0, 1}, {0xffff, 0, 1}, {1 << 40, 0, 1}, {1, 0, 2}}
	for i := range ids[1:] {
		if a, b := ids[i].String(), ids[i+1].String(); a >= b || len(a) != len(b) {
			t.Errorf("%s is not before %s", a, b)
		}
	}
}
