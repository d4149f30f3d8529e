package loop

import "sync/atomic"

// When the watchers of a room are told. A change marks the presence of its room, and the first loop looks at the marked ones in
// each tick: it tells the watchers what has changed, at most once a second for each room. An event is a publication that is
// put into the inboxes under the mutex of the lane, so it has the same place between the messages of the room for all members of
// this node. Its id is that of the latest publication before it, so it takes no number of the lane, and it is in no history.
//
// Directly behind the event, members that asked get the state. A post in the inbox of their loop brings it, so the state has a
// place in the order as well: it holds each change that was told before, and each later change follows.
//
// Events are deliveries, so a large room would cost much: one event to 20,000 members takes as long as 20,000 messages to one
// member. Therefore a node has one budget of such deliveries a second. Each event, and each state, may be sent while something
// is left of the budget; if its cost is more, the next tick that may send comes later. So the events of a room with 100,000
// watchers come every 5 s.
//
// An alternative would be to give each change a number in the lane, as if it were a message. Then all nodes would have the same
// order of messages and events. But each member would get an event for each node and second, and not one a second; a node could
// not put changes of several nodes together, and leave out names when its own budget is used up.

// presences is the presence of all rooms of a node.
type presences struct {
	rooms  atomic.Int64                 // with a presence. Any goroutine.
	events [presenceKinds]atomic.Uint64 // sent to rooms. Any goroutine.
	states atomic.Uint64                // sent to single members. Any goroutine.
	self   uint64                       // the name of this node; 0: there are no others. Immutable after the first connection.

	// Only the first loop's goroutine.
	left int    // of the budget; negative after an event that cost more than was left
	tick uint32 // up to which left was filled
	lane int    // at which the next tick begins
}

// presenceLane is the presence of the rooms of a lane. The lane's mutex guards it.
type presenceLane struct {
	rooms  map[string]*presence
	marked []*presence
}

// mark notes that there is something to do for p.
func (pl *presenceLane) mark(p *presence, tick uint32) {
	if !p.marked {
		p.marked, p.since = true, tick
		pl.marked = append(pl.marked, p)
	}
}

// Presences is the part of a directory that knows who is in the watched rooms.
type Presences struct{ *Directory }

// Presences returns that part.
func (d *Directory) Presences() Presences { return Presences{d} }

// presenceOf returns the presence of a room, which begins if there is none. lane.mu is held.
func (d Presences) presenceOf(ln *lane, e *Entry) *presence {
	p := e.presence.Load()
	if p == nil {
		p = newPresence(e.Name)
		p.entry = e
		p.meet(d.node.presences.self)
		if ln.presence.rooms == nil {
			ln.presence.rooms = map[string]*presence{}
		}
		ln.presence.rooms[e.Name] = p
		e.presence.Store(p)
		d.node.presences.rooms.Add(1)
	}
	p.far.resume()
	ln.presence.mark(p, d.tick.Load())
	return p
}

// watch notes that a member watches the room. Any goroutine.
func (d Presences) watch(e *Entry, w *Watch) {
	ln := &d.lanes[e.lane]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	p := d.presenceOf(ln, e)
	p.watchers++
	if w.Listed {
		p.join(&w.By)
	}
}

// unwatch notes that a watcher leaves the room. Any goroutine.
func (d Presences) unwatch(e *Entry, w *Watch) {
	ln := &d.lanes[e.lane]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	p := d.presenceOf(ln, e)
	if p.watchers--; p.watchers == 0 {
		p.told, p.names = false, false
	}
	if w.Listed {
		p.leave(&w.By, d.tick.Load())
	}
}

// ask notes that a member is to get the state of its room. Any goroutine.
func (d Presences) ask(l *Loop, m *Member) {
	e := m.room.entry
	ln := &d.lanes[e.lane]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	p := d.presenceOf(ln, e)
	p.asks = append(p.asks, ask{l, m})
}

// presenceChanged notes that the number of members has changed. Any goroutine.
func (d Presences) presenceChanged(e *Entry) {
	if e.presence.Load() == nil {
		return
	}
	ln := &d.lanes[e.lane]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if p := e.presence.Load(); p != nil {
		ln.presence.mark(p, d.tick.Load())
	}
}

// presenceEntry connects the presence of a room with its new entry, or notes that the entry is gone. lane.mu is held.
func (d Presences) presenceEntry(ln *lane, e *Entry, gone bool) {
	p := ln.presence.rooms[e.Name]
	if p == nil {
		return
	}
	p.entry = e
	if gone {
		p.entry, p.asks = nil, nil
	}
	e.presence.Store(p)
	ln.presence.mark(p, d.tick.Load())
}

// tickPresence tells the watchers of the marked rooms, as long as the budget lasts. Only the first loop's goroutine calls it.
func (d Presences) tickPresence(tick uint32) {
	s := &d.node.presences
	if s.rooms.Load() == 0 {
		return
	}
	s.fill(tick, d.node.cfg.PresenceBudget)
	for i := range d.lanes {
		at := (s.lane + i) % len(d.lanes)
		ln := &d.lanes[at]
		ln.mu.Lock()
		rings, sends := d.servePresence(ln, tick)
		ln.mu.Unlock()
		d.ring(rings)
		for _, p := range sends {
			d.node.bus.Publish(p)
		}
		if s.left <= 0 {
			s.lane = at
			return
		}
	}
}

// fill adds the budget of the ticks that have passed.
func (s *presences) fill(tick uint32, budget int) {
	passed := min(int(tick-s.tick), presenceEvery)
	s.tick = tick
	s.left = min(s.left+budget*passed/presenceEvery, budget)
}

// servePresence serves the marked rooms of a lane. It returns the loops whose doorbell must ring, and publications for the bus.
// lane.mu is held.
func (d Presences) servePresence(ln *lane, tick uint32) (rings uint64, sends []*Publication) {
	marked, kept := ln.presence.marked, ln.presence.marked[:0]
	for _, p := range marked {
		if d.node.presences.left <= 0 {
			kept = append(kept, p)
			continue
		}
		p.expire(tick)
		if send := p.send(tick, d.node.presences.self); send != nil {
			sends = append(sends, send)
		}
		if p.idle() {
			switch {
			case p.far.over():
				d.endPresence(ln, p)
			case p.far.ending:
				p.marked = false // until that has come back
			default:
				kept = append(kept, p)
			}
			continue
		}
		more, ring := d.tell(ln, p, tick)
		rings |= ring
		if more || len(p.leaving) > 0 || p.far.waits() {
			kept = append(kept, p)
		} else {
			p.marked = false
		}
	}
	clear(marked[len(kept):])
	ln.presence.marked = kept
	return rings, sends
}

// endPresence forgets a room that nobody watches. lane.mu is held.
func (d Presences) endPresence(ln *lane, p *presence) {
	p.marked = false
	delete(ln.presence.rooms, p.room)
	if p.entry != nil {
		p.entry.presence.Store(nil)
	}
	d.node.presences.rooms.Add(-1)
}

// tell tells the watchers of p what they do not know, and gives the state to the members that asked. more reports whether there is
// something left to do. lane.mu is held.
func (d Presences) tell(ln *lane, p *presence, tick uint32) (more bool, rings uint64) {
	switch {
	case p.entry == nil || p.watchers+len(p.asks) == 0:
		return false, 0
	case int32(tick-p.due) < 0:
		return true, 0
	case p.far.learns(p.told):
		p.since = tick
		return true, 0
	}
	if int32(tick-p.since) > presenceLate && int32(tick-p.due) > presenceLate {
		p.calm = tick + presenceCalm
	}
	p.since = tick
	s := &d.node.presences
	if e := p.next(tick, p.total()); e != nil && p.told {
		body := d.node.cfg.Presence(e)
		if e.What == PresenceState {
			p.list = body
		}
		s.left -= p.watchers * costOfPresence(body)
		s.events[e.What].Add(1)
		p.due = tick + presenceEvery
		rings = d.place(p.entry, &Publication{Room: p.entry.Name, Kind: KindPresence, Value: body, ID: p.id(ln)})
	}
	more = d.answer(p, &rings)
	return more || p.told && !p.names && p.bytes <= mostNames/2, rings // names may come back without a change
}

// answer gives the state to the members that asked for it, as long as the budget lasts. The watchers know everything. lane.mu is
// held.
func (d Presences) answer(p *presence, rings *uint64) (more bool) {
	if len(p.asks) == 0 || !p.settled() {
		return len(p.asks) > 0
	}
	body := p.list
	if body == nil || !p.names {
		body = d.node.cfg.Presence(p.state())
	}
	if p.names {
		p.list = body
	}
	s := &d.node.presences
	for n, a := range p.asks {
		if s.left <= 0 {
			p.asks = append([]ask(nil), p.asks[n:]...)
			return true
		}
		s.left -= costOfPresence(body)
		s.states.Add(1)
		p.told = p.told || p.watchers > 0
		if a.loop.inbox.put(post{kind: postCall, call: func(l *Loop) { l.rooms.giveState(p.room, a.member, body) }}) {
			*rings |= 1 << a.loop.index
		}
	}
	p.asks = nil
	return false
}

// costOfPresence is what the delivery of an event costs.
func costOfPresence(body []byte) int { return 1 + len(body)/presenceFrameBytes }

// total is the number of members of the room on all nodes.
func (p *presence) total() int {
	n := p.far.members()
	if p.entry != nil {
		n += p.entry.Members()
	}
	return n
}

// id is the place of an event that is put into the inboxes now.
func (p *presence) id(ln *lane) ID {
	if q := p.entry.flow.firstDeferred(); q != nil {
		return q.ID.before()
	}
	return ln.last
}

// PresenceCounts are the numbers of events of presence: those that were sent to the watchers of a room, by kind, and the states that
// were sent to single members. Any goroutine.
func (n *Node) PresenceCounts() (events [3]uint64, states uint64) {
	for i := range events {
		events[i] = n.presences.events[i].Load()
	}
	return events, n.presences.states.Load()
}
