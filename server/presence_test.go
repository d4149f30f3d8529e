package server

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
)

// watcher is a client of version 2 that keeps the list of members.
type watcher struct {
	*client2
	users map[string]int // nil while there are no names
	count int
	told  int // events and lists that it got
}

// member is a user in a list of members.
type member struct {
	User string `json:"user"`
	N    int    `json:"n"`
}

func (s *testServer) watches(t *testing.T, query string) *watcher {
	t.Helper()
	w := &watcher{client2: s.join2(t, query)}
	w.hear()
	return w
}

// hear reads the next event of presence.
func (w *watcher) hear() {
	w.t.Helper()
	var o struct {
		ID      string    `json:"id"`
		Event   string    `json:"event"`
		Count   *int      `json:"count"`
		Members []member  `json:"members"`
		Join    *[]member `json:"join"`
		Leave   *[]string `json:"leave"`
	}
	text := w.message()
	if err := json.Unmarshal([]byte(text), &o); err != nil || o.Count == nil {
		w.t.Fatalf("got %s, want an event of presence", text)
	}
	w.count = *o.Count
	w.told++
	switch {
	case o.Event == "members" && o.Members != nil && o.ID == "":
		w.users = map[string]int{}
		for _, m := range o.Members {
			w.users[m.User] = m.N
		}
	case o.Event != "presence" || len(o.ID) != 16 || o.ID < w.since || w.users == nil || o.Join == nil && o.Leave == nil:
		w.t.Fatalf("got %s after the id %s, want an event with names", text, w.since)
	default:
		w.since = o.ID
		if o.Join != nil {
			for _, m := range *o.Join {
				w.users[m.User] = m.N
			}
		}
		if o.Leave != nil {
			for _, user := range *o.Leave {
				delete(w.users, user)
			}
		}
	}
}

// learns reads events until the watcher knows that these users are there, and this number of members.
func (w *watcher) learns(count int, clients ...*client2) {
	w.t.Helper()
	want := map[string]int{}
	for _, c := range clients {
		want[c.open.Me] = 1
	}
	for w.count != count || !maps.Equal(w.users, want) {
		w.hear()
	}
}

// until reads events until the watcher knows this number of members.
func (w *watcher) until(count int) {
	w.t.Helper()
	for w.count != count {
		w.hear()
	}
}

func TestWatchersKnowWhoIsHere(t *testing.T) {
	s := startServer(t, nil)
	a := s.watches(t, "&presence=1")
	a.learns(1, a.client2)
	b := s.watches(t, "&presence=1")
	b.learns(2, a.client2, b.client2)
	a.learns(2, a.client2, b.client2)
	one := s.join(t, "/ws/chat/lobby/")
	a.learns(3, a.client2, b.client2)
	hidden := s.watches(t, "&presence=2")
	hidden.learns(4, a.client2, b.client2)
	b.learns(4, a.client2, b.client2)
	_ = b.Close()
	a.learns(3, a.client2)
	hidden.learns(3, a.client2)
	blind := s.join2(t, "")
	a.learns(4, a.client2)
	blind.say("hello")
	blind.hear(1)
	one.hears("hello") // and no event before it
	s.seeAbove(t, "dots_presence_events_total", "dots_presence_states_total")
}

func TestTheListComesBehindWhatAClientMissed(t *testing.T) {
	s := startServer(t, nil)
	talker, c := s.join2(t, ""), s.watches(t, "&presence=1")
	talker.say("a")
	talker.hearsText("a")
	_ = c.Close()
	talker.say("b")
	talker.hearsText("b")
	back := &watcher{client2: s.join2(t, "&presence=1&since="+c.open.ID)}
	if got, want := back.client2.hear(2), []string{"a", "b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if o := back.read(); o.Event != "live" {
		t.Errorf("got %+v, want live", o)
	}
	back.learns(2, back.client2)
}

func (c *client2) hearsText(text string) {
	c.t.Helper()
	if got := c.hear(1); got[0] != text {
		c.t.Errorf("got %q, want %q", got[0], text)
	}
}

func TestAConnectionMayWatchSomeOfItsRooms(t *testing.T) {
	s := startServer(t, nil)
	a := s.watches(t, "&presence=1")
	c := s.join(t, "/ws/?v=2")
	c.text(`[{"join":"lobby","presence":1},{"join":"other"}]`)
	a.until(2)
	var seen []string
	for len(seen) < 3 { // open of both rooms, and the list of one of them
		var o struct{ Event, Room string }
		text := c.message()
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			t.Fatal(err)
		}
		if o.Event != "presence" {
			seen = append(seen, o.Event+" "+o.Room)
		}
	}
	slices.Sort(seen)
	if want := []string{"members lobby", "open lobby", "open other"}; !slices.Equal(seen, want) {
		t.Errorf("got %q, want %q", seen, want)
	}
	c.text(`{"leave":"lobby"}`)
	a.learns(1, a.client2)
	c.text(`{"members":true,"room":"other"}`)
	for {
		var o struct {
			Event, Room string
			Count       int
		}
		text := c.message()
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			t.Fatal(err)
		}
		if o.Event == "members" && o.Room == "other" && o.Count == 1 {
			return
		}
		if o.Room != "lobby" {
			t.Fatalf("got %s, want the members of other", text)
		}
	}
}

func TestAClientMayAskForTheMembersOnceASecond(t *testing.T) {
	s := startServer(t, nil)
	a := s.watches(t, "&presence=1")
	c := &watcher{client2: s.join2(t, "")}
	a.learns(2, a.client2)
	c.text(`[{"members":true},{"members":true}]`)
	if o := c.read(); o.Error == nil || o.Error.Code != 4102 || o.Error.Name != "rate_limited" || o.Error.Retry != 1 {
		t.Errorf("got %+v, want error 4102 for the second request", o)
	}
	c.learns(2, a.client2)
	c.say("x")
	c.hearsText("x") // it does not watch
	if c.told != 1 {
		t.Errorf("it was told %d times, want once", c.told)
	}
}
