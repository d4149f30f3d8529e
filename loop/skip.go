package loop

import "slices"

// A member with SlowGap or SlowLatest is not kicked for its backlog, and stalls no room. It loses the publications that wait for it,
// and is told so by a gap with the number of lost publications and the position from which it goes on. If the connection has many
// rooms, the room with the most waiting bytes loses them.
//
// The gap is written when the connection takes bytes again, so that a connection that takes none is owed one gap for each room,
// however much it lost.

// GapReason is the reason of a gap.
type GapReason uint8

// The reasons.
const (
	GapSlow    GapReason = iota // the member reads too slowly
	GapHistory                  // what the member missed is no longer in the history
	GapBackend                  // the bus reported a gap (Node.Gap), and the notice of it was lost too
)

// lost is a gap that a member is owed.
type lost struct {
	room   string
	at     ID // of the last lost publication
	pubs   int
	reason GapReason
}

// skips reports whether c loses its backlog where others are kicked.
func (c *Conn) skips() bool { return c.has(flagGap | flagLatest | flagMany) }

// tooSlow kicks c because of its backlog, or drops what waits for it. A connection that ends can be told of no gap, because its
// publications are no longer acknowledged.
func (s *slowSet) tooSlow(c *Conn, reason CloseReason) {
	if !c.skips() || c.state != stateOpen {
		c.closeLater(reason)
		return
	}
	k := c.backlog
	room := s.fullest(k)
	m := memberIn(c, room)
	switch {
	case room == "" && reason != ReasonShed: // only a frame that the kernel has taken in part: if the peer reads no more, it has no sign of life either
		return
	case room == "" || m == nil || slowOf(m) == SlowKick:
		c.closeLater(reason)
		return
	}
	k.lose(s.dropRoom(c, room, reason))
	s.loop.rooms.owe(m)
	if k.softSince = 0; k.weight() > s.loop.cfg.SoftBacklog {
		k.softSince = max(s.loop.tick, 1)
	}
}

// fullest returns the room that has the most bytes in the backlog, "" if none has a whole frame there.
func (s *slowSet) fullest(k *backlog) (room string) {
	if len(k.refs) == 0 {
		return ""
	}
	room = k.refs[0].room()
	if !slices.ContainsFunc(k.refs, func(r ref) bool { return r.room() != room }) {
		return room
	}
	bytes, most := map[string]int{}, 0
	for _, r := range k.refs {
		name := r.room()
		for _, p := range r.batch.pubs[r.next:] {
			bytes[name] += p.weight()
		}
		if bytes[name] > most {
			room, most = name, bytes[name]
		}
	}
	return room
}

// room is the name of the room whose publications the reference is to.
func (r *ref) room() string { return r.batch.pubs[0].Room }

// dropRoom drops the whole frames of a room that wait for c. A frame that the kernel has begun to take stays.
func (s *slowSet) dropRoom(c *Conn, room string, reason CloseReason) (gap lost) {
	k := c.backlog
	gap.room = room
	if k == nil {
		return gap
	}
	kept := k.refs[:0]
	for _, r := range k.refs {
		if r.room() != room {
			kept = append(kept, r)
			continue
		}
		for _, p := range r.batch.pubs[r.next:] {
			k.bytes -= len(p.frame(&s.loop.cfg.Encodings, variantIn(c, r.batch)))
			gap.add(p)
		}
		s.loop.stats.Dropped[reason] += uint64(len(r.batch.pubs) - r.next)
		s.unref(r.batch)
	}
	clear(k.refs[len(kept):])
	k.refs = kept
	return gap
}

// keepLatest drops the whole frames of the room that wait for m, except the latest publication and the notices behind it.
func (s *slowSet) keepLatest(m *Member) {
	c := m.conn
	k := c.backlog
	gap := lost{room: m.room.name}
	at, latest := k.latest(gap.room)
	if at < 0 {
		return // there are only notices
	}
	dropped := 0
	kept := k.refs[:0]
	for i, r := range k.refs {
		end := len(r.batch.pubs)
		switch {
		case r.room() != gap.room, i > at:
			kept = append(kept, r)
			continue
		case i == at:
			end = latest
		}
		for _, p := range r.batch.pubs[r.next:end] {
			k.bytes -= len(p.frame(&s.loop.cfg.Encodings, variantIn(c, r.batch)))
			gap.add(p)
		}
		dropped += end - r.next
		s.loop.stats.Dropped[ReasonBacklogSoft] += uint64(end - r.next)
		if i == at {
			kept = append(kept, ref{r.batch, latest})
		} else {
			s.unref(r.batch)
		}
	}
	clear(k.refs[len(kept):])
	k.refs = kept
	k.lose(gap)
	if dropped > 0 {
		s.loop.rooms.owe(m)
	}
}

// latest returns where the latest publication of the room is that is not a notice: the indexes in refs and in its batch. at is -1 if
// there is none.
func (k *backlog) latest(room string) (at, pub int) {
	for at = len(k.refs) - 1; at >= 0; at-- {
		r := &k.refs[at]
		if r.room() != room {
			continue
		}
		for pub = len(r.batch.pubs) - 1; pub >= r.next; pub-- {
			if !r.batch.pubs[pub].Kind.Notice() {
				return at, pub
			}
		}
	}
	return -1, 0
}

func (g *lost) add(p *Publication) {
	if p.ID.Tag != 0 {
		g.at = p.ID
	}
	switch {
	case p.Kind == KindGap:
		g.reason = GapBackend
	case !p.Kind.Notice():
		g.pubs++
	}
}

// lose notes that the member is owed the gap.
func (k *backlog) lose(gap lost) {
	if gap.pubs == 0 && gap.reason == GapSlow {
		return
	}
	for i := range k.gaps {
		if g := &k.gaps[i]; g.room == gap.room {
			g.pubs += gap.pubs
			if gap.at.Tag != 0 {
				g.at = gap.at
			}
			g.reason = max(g.reason, gap.reason)
			return
		}
	}
	k.gaps = append(k.gaps, gap)
}

// tellGaps adds the gaps that c is owed to what it is told. The acknowledgements of lost publications come before them.
func (s *slowSet) tellGaps(c *Conn) {
	k := c.backlog
	if len(k.gaps) == 0 {
		return
	}
	s.loop.fanout.acks.sayBehind(c)
	for _, g := range k.gaps {
		if g.reason == GapBackend {
			g.pubs = -1 // more than what is known
		}
		if memberIn(c, g.room) != nil {
			k.said = c.peer.AppendGap(k.said, g.room, g.at, g.pubs, g.reason)
		}
	}
	k.gaps = nil
}
