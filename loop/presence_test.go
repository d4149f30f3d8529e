package loop

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

// watchRig has members of variant 0, and watchers, whose frames of presence begin with "event ".
func watchRig(t testing.TB, change func(*Config)) *rig {
	return newRig(t, func(c *Config) {
		for v := range 3 {
			c.Encodings[v] = withSimPresence(c.Encodings[v], false)
		}
		c.Encodings[3] = Encoding{Append: func(dst []byte, p *Publication) ([]byte, int) {
			return appendFrame(dst, append([]byte("event "), p.Value...)), -1
		}, Size: func(p *Publication) int { return 8 + len(p.Value) }, NeedsID: true, Watches: true, Plain: 2}
		c.Presence = simPresenceText
		if change != nil {
			change(c)
		}
	})
}

// watcher is a member that watches its room.
type watcher struct {
	*fake
	seen
	rig  *rig
	next int // frames that were looked at
	left []string
}

// watch opens a connection of a user that watches the room.
func (r *rig) watch(loop int, room string, by Identity, listed bool) *watcher {
	r.Helper()
	w := &watcher{fake: &fake{room: -1}, rig: r}
	w.Init(w.fake)
	r.loop(loop).Adopt(&w.Conn)
	r.rest()
	w.JoinFrom(room, 2, Start{Watch: &Watch{By: by, Listed: listed, Variant: 3}})
	r.rest()
	return w
}

// look applies what the watcher has received, and returns the number of events and lists.
func (w *watcher) look() (events int) {
	w.rig.Helper()
	frames := w.frames(w.rig)
	for _, f := range frames[w.next:] {
		kind, text, _ := strings.Cut(f, " ")
		if kind != "event" && kind != "state" {
			continue
		}
		events++
		if _, left, _ := strings.Cut(text, "||"); left != "" {
			w.left = append(w.left, left)
		}
		if wrong := w.seen.take(kind == "state", text); wrong != "" {
			w.rig.Fatalf("%s: %s", f, wrong)
		}
	}
	w.next = len(frames)
	return events
}

// knows checks what the watcher knows.
func (w *watcher) knows(count int, users map[string]int) {
	w.rig.Helper()
	w.look()
	if !w.any || w.count != count || !maps.Equal(w.users, users) || w.names != (users != nil) {
		w.rig.Errorf("it knows %+v, want %d members and %v", w.seen, count, users)
	}
}

// pass lets time pass tick by tick.
func (r *rig) pass(d time.Duration) {
	r.Helper()
	for end := r.now + d; r.now < end; {
		r.step(min(Tick, end-r.now))
	}
}

func (r *rig) leave(f *fake) {
	f.fin = true
	r.read(f)
	r.rest()
}

func TestAReloadWithinTheTimeOfGraceIsNotSeen(t *testing.T) {
	r := watchRig(t, nil)
	bob := r.watch(0, "room", Identity{User: "bob"}, true)
	by := Identity{User: "ann", Grace: 5 * time.Second}
	ann := r.watch(0, "room", by, true)
	r.step(Tick)
	r.pass(time.Second)
	bob.knows(2, map[string]int{"ann": 1, "bob": 1})
	for range 3 {
		r.leave(ann.fake)
		r.pass(2 * time.Second)
		bob.knows(1, map[string]int{"ann": 1, "bob": 1})
		ann = r.watch(0, "room", by, true)
		r.pass(2 * time.Second)
		bob.knows(2, map[string]int{"ann": 1, "bob": 1})
	}
	ann.knows(2, map[string]int{"ann": 1, "bob": 1})
	r.leave(ann.fake)
	r.pass(4900 * time.Millisecond)
	bob.knows(1, map[string]int{"ann": 1, "bob": 1})
	r.pass(time.Second)
	bob.knows(1, map[string]int{"bob": 1})
	if len(bob.left) != 1 {
		t.Errorf("ann left %q times, want once", bob.left)
	}
}

func TestAnEventHasTheChangesOfASecond(t *testing.T) {
	r := watchRig(t, func(c *Config) { c.Loops = 2 })
	ann := r.watch(0, "room", Identity{User: "ann"}, true)
	r.step(Tick)
	ann.knows(1, map[string]int{"ann": 1})
	hidden := r.watch(1, "room", Identity{User: "hidden"}, false)
	r.step(Tick)
	ann.knows(2, map[string]int{"ann": 1})
	events := 0
	for i := range 30 {
		if i < 10 {
			r.watch(i%2, "room", Identity{User: fmt.Sprint("u", i/3)}, true)
		}
		r.step(Tick)
		events += ann.look()
	}
	want := map[string]int{"ann": 1, "u0": 3, "u1": 3, "u2": 3, "u3": 1}
	ann.knows(12, want)
	hidden.knows(12, want)
	if events > 3 {
		t.Errorf("%d events in three seconds, want at most one a second", events)
	}
}

func TestALargeRoomGetsNumbersWithinTheBudget(t *testing.T) {
	const budget, watchers, seconds = 100, 400, 40
	r := watchRig(t, func(c *Config) { c.PresenceBudget = budget })
	var all []*watcher
	for i := range watchers {
		all = append(all, r.watch(0, "room", Identity{User: fmt.Sprint("user", i)}, true))
	}
	first := all[0]
	deliveries, last := 0, 0
	for i := range seconds * 10 {
		w := all[1+i%(watchers-1)]
		r.leave(w.fake)
		all[1+i%(watchers-1)] = r.watch(0, "room", Identity{User: fmt.Sprint("later", i)}, true)
		r.step(Tick)
		if i%100 != 99 {
			continue
		}
		deliveries = 0
		for _, n := range r.counts() {
			deliveries += n
		}
		if spent := deliveries - last; spent > 10*budget+watchers {
			t.Errorf("%d deliveries in 10 s, want at most %d", spent, 10*budget+watchers)
		}
		last = deliveries
	}
	first.look()
	if first.names {
		t.Errorf("it still gets names")
	}
	for range 300 {
		r.step(Tick)
	}
	first.look()
	if !first.names || len(first.users) != watchers || first.count != watchers {
		t.Errorf("it knows %d users of %d members, names %v; want %d", len(first.users), first.count, first.names, watchers)
	}
}

// counts are the deliveries of events and of states so far, in units of the budget.
func (r *rig) counts() []int {
	events, states := r.node.PresenceCounts()
	total := 0
	for _, n := range events {
		total += int(n) * 400
	}
	return []int{total, int(states)}
}

func TestTooLongAListHasNoNames(t *testing.T) {
	r := watchRig(t, nil)
	long := strings.Repeat("x", 2000)
	first := r.watch(0, "room", Identity{User: "first"}, true)
	var others []*watcher
	for i := range 26 {
		others = append(others, r.watch(0, "room", Identity{User: fmt.Sprint(long, i)}, true))
	}
	r.pass(2 * time.Second)
	r.pass(2 * time.Second)
	first.look()
	if first.names || first.count != 27 {
		t.Errorf("names %v, %d members; want no names of 27 members", first.names, first.count)
	}
	for _, w := range others[:20] {
		r.leave(w.fake)
	}
	r.pass(2 * time.Second)
	first.look()
	if !first.names || len(first.users) != 7 {
		t.Errorf("names %v, %d users; want 7", first.names, len(first.users))
	}
}

// A member that does not watch gets nothing for an event, whether something waits for it or not.
func TestAnEventIsNothingForOtherMembers(t *testing.T) {
	r := watchRig(t, nil)
	slow, quick := r.open(0, "room", 0), r.open(0, "room", 0)
	event := func(i int) {
		r.watch(0, "room", Identity{User: fmt.Sprint("u", i)}, true)
		r.pass(2 * time.Second)
	}
	event(0)
	sends := quick.sends
	event(1)
	if quick.sends != sends {
		t.Errorf("an event was sent to a member that does not watch")
	}
	slow.room = 3
	r.publish("room", "one")
	r.rest()
	event(2)
	event(3)
	r.publish("room", "two")
	r.rest()
	event(4)
	if n := r.stats(0).LaggingConns + len(r.loop(0).slow.lagging); n != 1 {
		t.Fatalf("%d members lag, want 1", n)
	}
	slow.take(-1)
	r.rest()
	if got := strings.Join(slow.frames(t), " "); got != "one two" {
		t.Errorf("got %q, want both messages", got)
	}
	s := r.stats(0)
	if s.Blank == 0 || s.InFlight != 0 || len(r.loop(0).slow.lagging) != 0 || r.node.Held() != 0 || r.node.Reserved() != 0 {
		t.Errorf("stats %+v, held %d, reserved %d", s, r.node.Held(), r.node.Reserved())
	}
}

// A watcher that loses events, because it reads too slowly, gets the state again.
func TestAWatcherThatLostEventsGetsTheState(t *testing.T) {
	for _, slow := range []Slow{SlowGap, SlowLatest} {
		r := watchRig(t, func(c *Config) { c.SoftBacklog, c.HardBacklog = 100, 300 })
		ann := &watcher{fake: &fake{room: -1}, rig: r}
		ann.Init(ann.fake)
		r.loop(0).Adopt(&ann.Conn)
		r.rest()
		ann.OnSlow(slow)
		ann.JoinFrom("room", 2, Start{Watch: &Watch{By: Identity{User: "ann"}, Listed: true, Variant: 3}})
		r.pass(time.Second)
		ann.knows(1, map[string]int{"ann": 1})
		ann.room = 1
		want := map[string]int{"ann": 1}
		for i := range 5 {
			name := fmt.Sprint("u", i)
			r.watch(0, "room", Identity{User: name}, true)
			want[name] = 1
			r.publish("room", strings.Repeat("x", 200))
			r.pass(2 * time.Second)
		}
		ann.fake.take(-1)
		r.rest()
		r.pass(2 * time.Second)
		ann.knows(6, want)
		if len(ann.gaps) == 0 {
			t.Errorf("slow %d: no gap, so the test has tested nothing", slow)
		}
	}
}

// A connection with many rooms gets the events of those that it watches, and no others.
func TestAConnectionWithManyRoomsWatchesSome(t *testing.T) {
	r := watchRig(t, nil)
	w := &watcher{fake: &fake{room: -1}, rig: r}
	w.Init(w.fake)
	r.loop(0).Adopt(&w.Conn)
	r.rest()
	Many{&w.Conn}.Begin(2)
	Many{&w.Conn}.Join("room", Start{Watch: &Watch{By: Identity{User: "w"}, Listed: true, Variant: 3}}, SlowGap)
	Many{&w.Conn}.Join("blind", Start{}, SlowGap)
	r.pass(2 * time.Second)
	w.knows(1, map[string]int{"w": 1})
	for _, room := range []string{"blind", "room"} {
		r.watch(0, room, Identity{User: "ann"}, true)
		r.pass(2 * time.Second)
		r.publish(room, "hello")
		r.rest()
	}
	w.knows(2, map[string]int{"ann": 1, "w": 1})
	r.watch(0, "blind", Identity{User: "bob"}, true)
	r.pass(2 * time.Second)
	if n := w.look(); n != 0 {
		t.Errorf("%d events of a room that it does not watch", n)
	}
	Many{&w.Conn}.Leave("room")
	r.watch(0, "room", Identity{User: "cid"}, true)
	r.pass(2 * time.Second)
	if n := w.look(); n != 0 || r.loop(0).rooms.told != 0 || r.loop(0).rooms.owed != 0 {
		t.Errorf("%d events of a room that it has left; %d told, %d owed", n, r.loop(0).rooms.told, r.loop(0).rooms.owed)
	}
	if got := strings.Count(string(w.got), "hello"); got != 2 {
		t.Errorf("%d messages, want 2", got)
	}
}

// A watcher that something waits for gets the state when nothing does any more.
func TestTheStateWaitsForWhatCameBefore(t *testing.T) {
	r := watchRig(t, nil)
	ann := r.watch(0, "room", Identity{User: "ann"}, true)
	ann.room = 5
	r.publish("room", "first", "second")
	r.rest()
	r.watch(0, "room", Identity{User: "bob"}, true)
	r.pass(2 * time.Second)
	ann.fake.take(-1)
	r.rest()
	r.pass(2 * time.Second)
	ann.knows(2, map[string]int{"ann": 1, "bob": 1})
	if got := ann.frames(t); got[0] != "first" || got[1] != "second" || !strings.HasPrefix(got[2], "state") {
		t.Errorf("got %q", got)
	}
}
