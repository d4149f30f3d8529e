package loop

// A member that was away names the position that it has (Start), and gets the publications of its room behind it from the lane's
// history before it becomes live: it is repeated to. Nothing is pushed at it. Whenever its socket can take more, the next 64 KiB
// are read from the history. So a repetition never counts as a backlog, it costs a few bytes, and members that come back slow
// nobody down.
//
// Until it has caught up, the member is not among the members of its room: the fan-out passes it by. It has caught up when it has
// everything that this loop has appended to the room (room.last). In the same step it becomes a member that gets what is appended
// later. So there is no hole and no double.
//
// A history refers backwards. A first walk from the newest publication to the position of the member notes where each part of
// repeatPart publications begins; then each part is walked once more, to be sent. What was published meanwhile is found by
// another walk.

// Start says from where on a member wants the publications of its room.
type Start struct {
	Since    ID     // everything behind it
	HasSince bool   // Since is a position; else it is ignored
	Last     int    // if there is no position, or it cannot be honoured: the newest so many first
	Watch    *Watch // nil: the member does not watch its room
	Fence    *Fence
	waited   bool // for the position
	fence    fenceState
}

// Opening says where the stream of a member begins.
type Opening struct {
	At      ID   // the position before the first publication that follows
	Resumed bool // Start.Since is honoured
	Repeats bool // publications of the history come first; Session.Live is called behind them
	Members int  // of the room, on this node
	Fenced  Fenced
}

const (
	repeatPart     = 64      // publications of a part
	mostRepeated   = 20_000  // a member that missed more is refused
	mostRepeatedB  = 4 << 20 // bytes of values, likewise
	mostLast       = 1000    // limit of Start.Last
	mostLastB      = 256 << 10
	repeatedAtOnce = 64 << 10 // bytes of one write
	repeatedInTurn = 4        // members that are repeated to in a turn
)

// repeat is the repetition of a member.
type repeat struct {
	member *Member
	next   *repeat // of another room of the same connection, whose turn comes later
	at     ID      // of the last publication that it was given
	sent   int     // bytes that it was given of the next frame
	gaps   uint16  // room.gaps when it began
	fenced Fenced
	points []loc // the newest publication of each part that is known and not given yet; the newest part first
}

// repeated is a frame in the bytes for the next write.
type repeated struct {
	size int
	id   ID
}

// plan walks the room's publications from newest back to after, ignoring those behind upTo, and returns the parts. ok is false if
// a publication behind after was dropped already, if the history has another numbering, or if there are too many.
func (h *history) plan(room string, after, upTo ID) (points []loc, ok bool) {
	if h.fresh || after.Tag != h.floor.Tag || upTo.Tag != h.floor.Tag || h.floor.compare(after) > 0 {
		return nil, false
	}
	n, bytes := 0, 0
	for l := h.newest(room); ; {
		r, here := h.at(l)
		h.walked++
		if !here || r.id.compare(after) <= 0 {
			return points, true
		}
		if r.id.compare(upTo) <= 0 {
			if n%repeatPart == 0 {
				points = append(points, l)
			}
			n++
			if bytes += len(r.value); n > mostRepeated || bytes > mostRepeatedB {
				return nil, false
			}
		}
		l = r.prev
	}
}

// before returns the position before the newest n publications of the room up to upTo.
func (h *history) before(room string, n int, upTo ID) ID {
	bytes := 0
	for l := h.newest(room); ; {
		r, here := h.at(l)
		if !here {
			return h.floor
		}
		if r.id.compare(upTo) <= 0 {
			if bytes += len(r.value); n == 0 || bytes > mostLastB {
				return r.id
			}
			n--
		}
		l = r.prev
	}
}

// part appends the publications of the part that begins at l, those behind after, the newest first.
func (h *history) part(dst []loc, l loc, after ID) []loc {
	for range repeatPart {
		r, here := h.at(l)
		if !here || r.id.compare(after) <= 0 {
			break
		}
		dst = append(dst, l)
		l = r.prev
	}
	return dst
}

// repeater gives members the publications that they missed. Only the loop's goroutine uses it.
type repeater struct {
	loop    *Loop
	starts  map[*Member]Start // of members that wait to join, if they want more than what comes from now on
	opening Opening           // of the member that is joining now
	walked  uint64            // publications that were looked at in this tick, to find out what members missed
	late    []late            // members that wait to join
	serving worklist[late]    // those of them that this turn looks at
	queue   worklist[*Conn]   // members whose socket took everything so far
	frames  []repeated        // in the bytes of the last gather
	locs    []loc             // scratch
	pub     Publication       // scratch: encodings take a publication
}

// serve goes on with the members whose socket takes more, a few in a turn, so that nobody else waits long.
func (s *repeater) serve() {
	for range min(s.queue.len(), repeatedInTurn) {
		c, _ := s.queue.first()
		s.queue.drop()
		s.loop.slow.resend(c)
	}
}

// begin starts a repetition. m is not in the list of members of its room yet.
func (s *repeater) begin(m *Member, rep *repeat) {
	m.room.repeating++
	m.index = indexRepeating
	rep.member, rep.gaps = m, m.room.gaps
	k := s.loop.slow.add(m.conn)
	if k.repeat != nil { // one room after the other
		last := k.repeat
		for last.next != nil {
			last = last.next
		}
		last.next = rep
		return
	}
	k.repeat = rep
	s.queue.add(m.conn)
	s.loop.again()
}

// endRepeat forgets the repetition of m.
func (k *backlog) endRepeat(m *Member) {
	for at := &k.repeat; *at != nil; at = &(*at).next {
		if (*at).member == m {
			*at = (*at).next
			return
		}
	}
}

// open decides where the stream of m begins, which is about to enter its room. It returns the repetition that must come first,
// nil if there is none.
func (s *repeater) open(m *Member) *repeat {
	start, asked := s.starts[m]
	delete(s.starts, m)
	r := m.room
	s.opening = Opening{At: r.last, Members: r.entry.Members(), Fenced: start.fence.outcome()}
	if !asked {
		return nil
	}
	ln := &s.loop.node.dir.lanes[r.entry.lane]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	h := ln.history
	if h == nil {
		return nil
	}
	before := h.walked
	defer func() { s.walked += h.walked - before }()
	id := start.Since
	known := start.HasSince && id.Tag == r.last.Tag && id.Tag == ln.last.Tag
	if known && id.compare(r.last) == 0 && id.compare(h.start) > 0 && !h.fresh { // it missed nothing, however far the history reaches back
		s.opening.At, s.opening.Resumed = id, true
		return nil
	}
	if known && id.compare(ln.last) <= 0 {
		if points, ok := h.plan(r.name, id, r.last); ok {
			if id.compare(r.last) > 0 {
				r.last = id // everything up to it was appended (wait)
			}
			s.opening.At, s.opening.Resumed, s.opening.Repeats = id, true, len(points) > 0
			if len(points) > 0 {
				return &repeat{at: id, points: points, fenced: s.opening.Fenced}
			}
			return nil
		}
	}
	if start.Last == 0 || r.last.Tag != h.floor.Tag {
		return nil
	}
	at := h.before(r.name, min(start.Last, mostLast), r.last)
	if points, ok := h.plan(r.name, at, r.last); ok && len(points) > 0 {
		s.opening.At, s.opening.Repeats = at, true
		return &repeat{at: at, points: points, fenced: s.opening.Fenced}
	}
	return nil
}

// gather appends the frames that come next in the repetition of c to buf, and notes them in frames. It reports false if some are no
// longer in the history.
func (s *repeater) gather(c *Conn, buf []byte) (_ []byte, ok bool) {
	rep, l := c.backlog.repeat, s.loop
	r := rep.member.room
	s.frames = s.frames[:0]
	ln := &l.node.dir.lanes[r.entry.lane]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	h, at := ln.history, rep.at
	if rep.caughtUp(r) {
		return buf, true
	}
	cut := rep.sent
	if h.floor.Tag != at.Tag || h.floor.compare(at) > 0 || !h.extend(rep, r) {
		return buf, false
	}
	for i := len(rep.points) - 1; i >= 0; i-- {
		s.locs = h.part(s.locs[:0], rep.points[i], at)
		for j := len(s.locs) - 1; j >= 0; j-- {
			rec, _ := h.at(s.locs[j])
			if len(buf) > 0 && len(buf)+len(rec.value) > repeatedAtOnce {
				return buf, true
			}
			p, before := &s.pub, len(buf)
			p.Room, p.Value, p.ID, p.Kind, p.By = r.name, rec.value, rec.id, rec.kind, nil
			if rec.by.Ref != 0 {
				p.By = &rec.by
			}
			buf, _ = l.cfg.Encodings[c.variant].Append(buf, p)
			if cut > 0 {
				buf, cut = append(buf[:before], buf[before+cut:]...), 0
			}
			s.frames = append(s.frames, repeated{len(buf) - before, rec.id})
			at = rec.id
		}
	}
	return buf, true
}

// extend drops the parts that rep has given, and looks for more if that were all. ok is false if it has missed too many by now.
func (h *history) extend(rep *repeat, r *room) (ok bool) {
	for n := len(rep.points); n > 0; n = len(rep.points) {
		if rec, here := h.at(rep.points[n-1]); here && rec.id.compare(rep.at) > 0 {
			return true
		}
		rep.points = rep.points[:n-1]
	}
	if rep.points, ok = h.plan(r.name, rep.at, r.last); ok && len(rep.points) == 0 {
		rep.at.Seq, rep.at.Index = r.last.Seq, r.last.Index // the room has nothing between the two
	}
	return ok
}

// advance notes that the first n of the gathered bytes were sent.
func (s *repeater) advance(rep *repeat, n int) {
	for _, f := range s.frames {
		if n < f.size {
			rep.sent += n
			return
		}
		rep.at.Seq, rep.at.Index, rep.sent = f.id.Seq, f.id.Index, 0
		s.loop.stats.Repeated++
		n -= f.size
	}
}

// stop ends the repetition of m before it has caught up. If m was given a part of a frame, the backlog gets the rest. It reports
// false if that is no longer in the history: then nothing can follow.
func (s *repeater) stop(m *Member) (ok bool) {
	c := m.conn
	k := c.backlog
	rep := k.repeat
	if rep == nil || rep.member != m || rep.sent == 0 {
		return true
	}
	buf, ok := s.gather(c, nil)
	if ok = ok && len(s.frames) > 0; ok {
		s.loop.slow.begin(k, buf[:s.frames[0].size:s.frames[0].size], nil)
		rep.sent = 0
	}
	return ok
}

// endCaughtUp makes the members of c live that have everything that their rooms have so far.
func (s *repeater) endCaughtUp(c *Conn) {
	k := c.backlog
	for rep := k.repeat; rep != nil; rep = k.repeat {
		r := rep.member.room
		if rep.gaps != r.gaps {
			k.said = c.peer.AppendGap(k.said, r.name, r.last, -1, GapBackend)
		} else if !rep.caughtUp(r) && !s.reaches(rep) {
			k.said = c.peer.AppendGap(k.said, r.name, r.last, -1, GapHistory)
		} else if !rep.caughtUp(r) { // reaches may have found that nothing is left
			return
		}
		k.repeat = rep.next
		s.live(rep)
	}
}

func (rep *repeat) caughtUp(r *room) bool {
	return rep.at.Tag == r.last.Tag && rep.at.compare(r.last) >= 0
}

// reaches reports whether the history has everything that the repetition must give next.
func (s *repeater) reaches(rep *repeat) bool {
	r := rep.member.room
	ln := &s.loop.node.dir.lanes[r.entry.lane]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	h := ln.history
	return h.floor.Tag == rep.at.Tag && h.floor.compare(rep.at) <= 0 && !h.fresh && h.extend(rep, r)
}

// live makes a member one like the others, because it was given everything that its room has so far.
func (s *repeater) live(rep *repeat) {
	m := rep.member
	r, k := m.room, m.conn.backlog
	r.repeating--
	s.loop.rooms.seat(m)
	s.loop.rooms.askFor(m)
	k.said = m.conn.peer.AppendLive(k.said, r.name, r.last, rep.fenced)
}
