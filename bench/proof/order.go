package proof

import "slices"

// order is the log of a room: its messages in the order in which the first
// member got them. Members follow the log, each at its own position. A message
// that all members have got is removed from the front of the log, unless it is
// one of the newest. The zero value is an empty log.
type order struct {
	base    uint32 // number of entries that were removed
	entries []entry
	high    []uint32       // by index of the sender in its room: its highest number in the log
	skipped map[entry]bool // numbers below high that are not in the log
	swapped int64          // entries that are in the log after a higher number of the same sender
	stray   entry          // the first of these; after is the higher number
	after   entry
	trimAt  int // number of entries at which the log is trimmed next
}

const (
	maxBehind = 1 << 10 // number of newest entries that a log always keeps
	maxLog    = 1 << 20 // largest number of entries in the logs of all rooms together
	maxSearch = 1 << 12 // how far the log is searched for a message that is not the next one
)

// end returns the position after the newest entry.
func (o *order) end() uint32 { return o.base + uint32(len(o.entries)) }

func (o *order) at(pos uint32) entry { return o.entries[pos-o.base] }

// find looks for e in the log, from a position on.
func (o *order) find(e entry, from uint32) (pos uint32, ok bool) {
	last := o.end()
	if last-from > maxSearch {
		last = from + maxSearch
	}
	for ; from < last; from++ {
		if o.at(from) == e {
			return from, true
		}
	}
	return 0, false
}

// diff says how the messages that a member got differ from the log of its room.
type diff struct {
	pos     uint32          // position of the message that the member should get next
	missing map[entry]bool  // messages that the member has skipped
	late    map[entry]entry // messages that came after later ones, with the message before each
	stray   entry           // the first of these
	vague   bool            // the member was too far behind: only its count and its sum are known
}

// differs returns the diff of a member, whose position is pos, and makes it if
// there is none.
func (l *Ledger) differs(r *room, m int32, pos uint32) *diff {
	d := l.diffs[m]
	if d == nil {
		d = &diff{pos: pos, missing: map[entry]bool{}, late: map[entry]entry{}}
		l.diffs[m] = d
		r.flight.lost, r.flight.waits = true, nil
	}
	return d
}

// position returns the position of a member in the log of its room: the number
// of messages that it got, unless these differ from the log.
func (l *Ledger) position(m int32) uint32 {
	if len(l.diffs) > 0 {
		if d := l.diffs[m]; d != nil {
			return d.pos
		}
	}
	return l.members[m].count
}

func (l *Ledger) moveTo(m int32, pos uint32) {
	if len(l.diffs) > 0 {
		if d := l.diffs[m]; d != nil {
			d.pos = pos
		}
	}
}

// follow compares e with the message that the member should get next by the log
// of its room. If no member has got e before, it adds e to the log. It returns
// false for a second copy.
func (l *Ledger) follow(p *member, r *room, m int32, e entry) bool {
	o, pos := &r.log, l.position(m)
	if pos >= o.base && pos < o.end() && o.at(pos) == e {
		l.moveTo(m, pos+1)
		return true
	}
	if o.high == nil {
		o.high = make([]uint32, r.size)
	}
	if high := o.high[l.indexOf[e.sender]]; e.seq > high || o.skipped[e] {
		switch {
		case pos < o.base:
			l.differs(r, m, pos).vague = true
			pos = o.end()
		case pos < o.end() && l.beyond(r, pos) <= int(o.end()-pos):
			l.passed(r, m, pos, e)
		case pos < o.end():
			l.skip(r, m, pos, o.end())
			pos = o.end()
		case e.seq < high:
			if o.swapped++; o.swapped == 1 {
				o.stray, o.after = e, entry{e.sender, high}
			}
		}
		o.insert(pos, l.indexOf[e.sender], e)
		l.logged++
		l.moveTo(m, pos+1)
		if len(o.entries) >= max(o.trimAt, 2*maxBehind) {
			l.trim(r)
		}
		return true
	}
	d := l.differs(r, m, pos)
	if d.missing[e] {
		delete(d.missing, e) // it is in late now, so l.missing does not change
		if d.late[e] = o.at(max(d.pos, o.base+1) - 1); len(d.late) == 1 {
			d.stray = e
		}
		return true
	}
	if i, ok := o.find(e, max(pos, o.base)); ok {
		l.skip(r, m, pos, i)
		d.pos = i + 1
		return true
	}
	if d.vague || pos < o.base {
		d.vague = true // e has left the log, so nobody knows whether it is a second copy
		return true
	}
	p.bad = true
	l.bad.Doubled++
	l.note("room %d: member %d got number %d of sender %d again", l.roomOf[m], m, e.seq, e.sender)
	return false
}

// skip records that a member did not get the messages of the log from one
// position to another.
func (l *Ledger) skip(r *room, m int32, from, to uint32) {
	d := l.differs(r, m, from)
	if from < r.log.base || l.missing+int(to-from) > maxHeld {
		d.vague = true
		return
	}
	for ; from < to; from++ {
		d.missing[r.log.at(from)] = true
		l.missing++
	}
}

// insert adds a message to the log at a position. sender is the index of its
// sender in the room.
func (o *order) insert(pos uint32, sender int32, e entry) {
	o.entries = slices.Insert(o.entries, int(pos-o.base), e)
	if e.seq < o.high[sender] {
		delete(o.skipped, e)
		return
	}
	for missing := o.high[sender] + 1; missing < e.seq && len(o.skipped) < maxHeld; missing++ {
		if o.skipped == nil {
			o.skipped = map[entry]bool{}
		}
		o.skipped[entry{e.sender, missing}] = true
	}
	o.high[sender] = e.seq
}

// beyond returns how many members have passed a position of the log. If a member
// gets a new message where the log has others, either the members beyond it have
// not got the message, or it has not got the messages of the log. The ledger
// believes what explains fewer faults.
func (l *Ledger) beyond(r *room, pos uint32) int {
	n := 0
	for _, m := range r.members {
		if !l.members[m].left && l.position(m) > pos {
			n++
		}
	}
	return n
}

// passed records that member m got e, as the first of its room, at a position
// that other members have already passed without e.
func (l *Ledger) passed(r *room, m int32, pos uint32, e entry) {
	for _, other := range r.members {
		if at := l.position(other); other != m && at > pos && !l.members[other].left {
			d := l.differs(r, other, at)
			d.pos++
			d.missing[e] = true
			l.missing++
		}
	}
	for other, b := range l.backs {
		if l.roomOf[other] == l.roomOf[m] && b.at >= int64(pos) {
			b.at++
		}
	}
}

// trim removes the messages that all members have got from the log, but keeps
// the newest. If all logs together are too long, it also removes messages that
// some members have not got; then only the counts of these members are known.
func (l *Ledger) trim(r *room) {
	o := &r.log
	until := o.end() - maxBehind
	if l.logged <= maxLog {
		for _, m := range r.members {
			if !l.members[m].left {
				until = min(until, l.position(m))
			}
		}
	}
	if until > o.base {
		n := copy(o.entries, o.entries[until-o.base:])
		l.logged -= len(o.entries) - n
		o.entries, o.base = o.entries[:n], until
	}
	o.trimAt = 2 * len(o.entries)
}
