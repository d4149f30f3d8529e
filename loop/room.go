package loop

// A room, as one loop sees it, is a dense slice of its local members and a queue of batches.
//
// Every member knows its index in the slice, so leaving is O(1): the last one takes its place (swap-remove). A map by
// connection id beside the slice would do the same for 20 to 40 bytes a member and a hash at each join and leave
// (BenchmarkJoinLeave has both, and DESIGN.md the figures); the map by connection id that the API needs is the slot
// table of the loop, one for all rooms.
//
// A batch is what was published since the last flush; all members share it. It is frozen when its flush begins: what is
// published later goes into the next one. A fan-out may be cut into slices (fanout.go), so that a batch can be half
// sent: members[:cursor] have it, members[cursor:] do not.
//
// Invariant: leaving never moves a member across the cursor. If the one who leaves has the batch already, the last of
// those who have it takes its place, and the last of those who have not takes that one's. Therefore nobody is skipped
// and nobody gets it twice. Joining appends behind the cursor with from = pos: nothing of what is queued is for it.

// maxBatch is where a batch is cut: what a write is worth grows little beyond, and a lagging member keeps whole batches.
const maxBatch = 64 << 10

// Member is a connection in a room.
type Member struct {
	conn  *Conn
	room  *room
	index uint32 // in room.members
	from  uint32 // publications from this room.pos on are for it; follows, so that distances stay small
}

type room struct {
	name    string
	entry   *Entry // nil until the bus has confirmed the join
	members []*Member
	waiting []*Conn // joins until the bus has confirmed

	queue  []*batch // not yet fanned out; the last one may be open
	pos    uint32   // publications appended so far (wraps around)
	cursor int      // members[:cursor] have queue[0]
	dirty  bool     // on the loop's list of dirty rooms

	stallers [numBrakes]int // local members that stall it (stall.go)
}

// batch is a run of publications of one room that is written at once. It lives until the last lagging member has it.
type batch struct {
	base   uint32 // room.pos of pubs[0]
	pubs   []*Publication
	bufs   [MaxVariants][]byte // built when the first member of the variant needs it
	bytes  int                 // of the frames, nearly, for the cut
	cost   int64               // charged to the inbox limit until it is flushed
	refs   int                 // lagging members that hold it
	frozen bool
	pooled bool // bufs come from the loop's free list
}

func (b *batch) end() uint32 { return b.base + uint32(len(b.pubs)) }

// join puts c into the room, at once if the loop already gets its publications, else when the bus has said so.
func (l *Loop) join(c *Conn, name string) {
	r := l.rooms[name]
	if r == nil {
		if n := int(l.node.maxRooms.Load()); n > 0 && l.node.dir.Rooms() >= n && l.node.dir.Lookup(name) == nil {
			c.peer.Kick(WhyNodeFull)
			return
		}
		r = &room{name: name}
		l.rooms[name] = r
		l.node.bus.Join(name, l)
	}
	if r.entry == nil {
		r.waiting = append(r.waiting, c)
		c.member.room = r
		return
	}
	l.enter(c, r)
}

// joined is the bus's confirmation: from this place in the inbox on, the room's publications arrive.
func (l *Loop) joined(e *Entry) {
	r := l.rooms[e.Name]
	if r == nil || r.entry != nil {
		return
	}
	r.entry = e
	for len(r.waiting) > 0 { // who ends inside Joined leaves the room to those who still wait
		c := r.waiting[0]
		r.waiting = r.waiting[1:]
		if c.state == stateOpen {
			l.enter(c, r)
		} else {
			c.member.room = nil
		}
	}
	r.waiting = nil
	l.vanish(r)
}

func (l *Loop) enter(c *Conn, r *room) {
	if n, limit := r.entry.members.Add(1), l.node.roomMembers.Load(); limit > 0 && int64(n) > limit {
		r.entry.members.Add(-1)
		l.node.dir.counted(r.entry)
		c.member.room = nil
		c.peer.Kick(WhyRoomFull)
		return
	}
	l.node.dir.counted(r.entry)
	c.member = Member{conn: c, room: r, index: uint32(len(r.members)), from: r.pos}
	r.members = append(r.members, &c.member)
	l.stats.Joins++
	c.peer.Joined()
}

// position is up to where m was given the publications of its room.
func (r *room) position(m *Member) uint32 {
	p := r.pos
	if len(r.queue) > 0 {
		p = r.queue[0].base
		if int(m.index) < r.cursor {
			p = r.queue[0].end()
		}
	}
	if int32(m.from-p) > 0 {
		return m.from
	}
	return p
}

// leave takes c out of its room. What it was not given is dropped for the reason why.
func (l *Loop) leave(c *Conn, why Why) {
	m := &c.member
	r := m.room
	if r == nil {
		return
	}
	if m.conn == nil { // still waiting for the bus; joined will pass it over
		return
	}
	l.stats.Dropped[why] += uint64(r.pos - r.position(m))
	l.unstallFor(c)
	i, last := int(m.index), len(r.members)-1
	if i < r.cursor {
		r.cursor--
		r.place(i, r.members[r.cursor])
		i = r.cursor
	}
	if i < last {
		r.place(i, r.members[last])
	}
	r.members[last] = nil
	r.members = r.members[:last]
	if cap(r.members) > 64 && last < cap(r.members)/4 {
		r.members = append(make([]*Member, 0, cap(r.members)/2), r.members...)
	}
	r.entry.members.Add(-1)
	l.node.dir.counted(r.entry)
	l.stats.Leaves++
	*m = Member{}
	l.vanish(r)
}

func (r *room) place(i int, m *Member) {
	r.members[i] = m
	m.index = uint32(i)
}

// vanish removes an empty room. Batches still queued are for nobody.
func (l *Loop) vanish(r *room) {
	if len(r.members) > 0 || r.entry == nil || len(r.waiting) > 0 {
		return
	}
	for _, b := range r.queue {
		l.complete(b)
	}
	r.queue, r.cursor = nil, 0
	delete(l.rooms, r.name)
	l.node.bus.Leave(r.entry, l)
	r.entry = nil
}

// append puts a publication into the room's open batch.
func (l *Loop) append(p *Publication) {
	r := l.rooms[p.Room]
	if r == nil || len(r.members) == 0 {
		l.settle(p.cost())
		l.landed(p)
		return
	}
	var b *batch
	if n := len(r.queue); n > 0 {
		b = r.queue[n-1]
	}
	if b == nil || b.frozen || b.bytes+p.weight() > maxBatch {
		b = l.newBatch(r.pos)
		r.queue = append(r.queue, b)
	}
	b.pubs = append(b.pubs, p)
	b.bytes += p.weight()
	b.cost += p.cost()
	r.pos++
	l.stats.Expected += uint64(len(r.members))
	l.stats.Appended++
	if !r.dirty {
		r.dirty = true
		l.dirty.add(r)
	}
}
