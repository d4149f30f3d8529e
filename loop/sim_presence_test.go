package loop

import (
	"encoding/binary"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

// Presence in the simulation. Half of the clients of variant 1 watch their rooms, and belong to one of a few users. A client gets
// frames S (the state) and E (an event): the id of the event, and a text: what|count|user:n,user:n|user,user.

func simWatch(w *world) *Watch {
	if w.rng.IntN(2) == 0 {
		return nil
	}
	i := w.rng.IntN(4)
	grace := [...]time.Duration{0, 0, 200 * time.Millisecond, 700 * time.Millisecond}[i]
	return &Watch{By: Identity{User: fmt.Sprintf("u%d", i), Grace: grace}, Listed: w.rng.IntN(4) > 0, Variant: 2}
}

func simPresenceText(e *PresenceEvent) []byte {
	var users []string
	for _, u := range e.Members {
		users = append(users, fmt.Sprintf("%s:%d", u.User, u.N))
	}
	return fmt.Appendf(nil, "%d|%d|%s|%s", e.What, e.Count, strings.Join(users, ","), strings.Join(e.Left, ","))
}

func simPresence(kind byte, id ID, text []byte) []byte {
	dst := binary.BigEndian.AppendUint16([]byte{kind}, uint16(12+len(text)))
	dst = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(dst, id.Seq), id.Index)
	return append(dst, text...)
}

// withSimPresence adds frames for events of presence to an encoding, or empty ones.
func withSimPresence(e Encoding, watches bool) Encoding {
	write := e.Append
	e.Append = func(dst []byte, p *Publication) ([]byte, int) {
		switch {
		case p.Kind != KindPresence:
			return write(dst, p)
		case watches:
			return append(dst, simPresence('E', p.ID, p.Value)...), -1
		}
		return dst, -1
	}
	return e
}

// seen is what a watcher knows.
type seen struct {
	any, names bool
	count      int
	users      map[string]int
}

// take applies an event, and returns what is wrong with it.
func (s *seen) take(state bool, text string) (wrong string) {
	f := strings.Split(text, "|")
	what, _ := strconv.Atoi(f[0])
	s.count, _ = strconv.Atoi(f[1])
	if !state && !s.any {
		return "an event before the state"
	}
	s.any = true
	switch PresenceKind(what) {
	case PresenceCount:
		s.names, s.users = false, nil
		return ""
	case PresenceState:
		s.names, s.users = true, map[string]int{}
	case PresenceChanges:
		if !s.names {
			return "names without a list"
		}
	}
	for _, u := range strings.FieldsFunc(f[2], func(r rune) bool { return r == ',' }) {
		name, number, _ := strings.Cut(u, ":")
		n, _ := strconv.Atoi(number)
		if s.users[name] == n || n == 0 {
			return name + " has not changed"
		}
		s.users[name] = n
	}
	for _, name := range strings.FieldsFunc(f[3], func(r rune) bool { return r == ',' }) {
		if s.users[name] == 0 {
			return name + " left, but was not there"
		}
		delete(s.users, name)
	}
	return ""
}

// checkPresence checks the events that a client received, and, if it stayed, whether it knows who is there.
func (w *world) checkPresence(c *client) {
	s, last := &seen{}, ""
	for p := c.received; len(p) >= 3; {
		n := 3 + int(binary.BigEndian.Uint16(p[1:]))
		if len(p) < n {
			break
		}
		body := string(p[3:n])
		switch kind := p[0]; {
		case kind == 'M' && c.v == 1:
			if last = max(last, body[:12]); last != body[:12] {
				w.fail("%s: a message behind an event has a smaller id", c.name)
			}
		case kind == 'S' || kind == 'E':
			if kind == 'E' && c.watch == nil {
				w.fail("%s does not watch and received an event of presence", c.name)
			}
			if kind == 'E' && body[:12] < last {
				w.fail("%s: an event behind a message has a smaller id", c.name)
			} else if kind == 'E' {
				last = body[:12]
			}
			w.presence++
			if wrong := s.take(kind == 'S', body[12:]); wrong != "" {
				w.fail("%s: %s: %q", c.name, wrong, body[12:])
			}
		}
		p = p[n:]
	}
	if c.watch == nil || !c.joined || !c.live || !c.Conn.Open() || c.has(flagEOF) || c.rst || c.fin || c.member.room == nil {
		return
	}
	want := map[string]int{}
	for _, other := range w.clients {
		if other.watch != nil && other.watch.Listed && other.member.room != nil && other.room == c.room && !other.member.joining() {
			want[other.watch.By.User]++
		}
	}
	w.watched++
	if members := c.member.room.entry.Members(); !s.any || s.count != members || !s.names || !maps.Equal(s.users, want) {
		w.fail("%s knows %+v of %s, want %v and %d members", c.name, *s, c.room, want, members)
	}
}

// quiet lets the time pass that the last events of presence need. The clients send heartbeats, so they stay.
func (w *world) quiet() {
	for i := range 150 {
		if i%8 == 0 {
			for _, c := range w.clients {
				if !c.fin && !c.rst && c.Loop() != nil {
					c.write('H', "")
					c.push(len(c.held))
				}
			}
		}
		w.tick(Tick)
		for range 4 {
			for _, c := range w.clients {
				c.reading = true
				c.read(1 << 20)
			}
			for i := range w.events {
				w.poll(i)
			}
			w.transportCloses()
		}
	}
}

func (c *client) Presence(_ string, state []byte) { c.Say(simPresence('S', ID{}, state)) }
