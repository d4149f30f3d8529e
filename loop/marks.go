package loop

// The position of a member is the id of the last publication that it was given. In a quiet room this position ages, although the
// member misses nothing: other rooms of the lane fill the history, and a position behind its end cannot be resumed. So a room whose
// position is in the older half of the history gets a notice of KindMark with a later position, in its order like a publication.
//
// A loop looks at all its rooms within a second, in two steps. First it notes the latest id of the lane, unless publications of the
// room are deferred. Everything of the room up to this id is in the inbox then. In a later turn, when all of that has been appended,
// the room gets the mark.
//
// Only rooms with members whose frames have ids are looked at.
type marks struct {
	loop  *Loop
	rooms []*room // each room knows its place
	next  int     // the room that is looked at next
	asked []mark
}

type mark struct {
	room *room
	at   ID
}

// markRounds is in how many ticks a loop looks at all its rooms.
const markRounds = 10

// count adds n members to those of the room whose frames have ids.
func (k *marks) count(m *Member, n int32) {
	l, r := k.loop, m.room
	if !l.cfg.Encodings[m.conn.variant].NeedsID {
		return
	}
	switch r.ids += n; {
	case r.ids == 1 && n > 0:
		r.mark = len(k.rooms)
		k.rooms = append(k.rooms, r)
	case r.ids == 0:
		last := len(k.rooms) - 1
		k.rooms[r.mark] = k.rooms[last]
		k.rooms[r.mark].mark = r.mark
		k.rooms[last] = nil
		k.rooms = k.rooms[:last]
	}
}

// tick is called once per tick, after the inbox was taken.
func (k *marks) tick() {
	l := k.loop
	for _, m := range k.asked {
		if r := m.room; r.ids > 0 && (r.last.Tag != m.at.Tag || r.last.compare(m.at) < 0) {
			l.rooms.notice(r, KindMark, m.at)
		}
	}
	clear(k.asked)
	k.asked = k.asked[:0]
	for range (len(k.rooms) + markRounds - 1) / markRounds {
		if k.next++; k.next >= len(k.rooms) {
			k.next = 0
		}
		k.ask(k.rooms[k.next])
	}
}

// ask notes the mark that the room needs, if it needs one.
func (k *marks) ask(r *room) {
	ln := &k.loop.node.dir.lanes[r.entry.lane]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	h := ln.history
	switch {
	case h == nil, ln.last.Tag == 0, r.entry.flow.firstDeferred() != nil:
	case r.last.Tag != ln.last.Tag, r.last.compare(h.half(k.loop.tick)) < 0:
		k.asked = append(k.asked, mark{r, ln.last})
	}
}
