package loop

// A room, as one loop sees it, is a dense slice of its local members and a queue of batches.
//
// Every member knows its index in the slice, so leaving is O(1): the last one takes its place (swap-remove). A map by connection
// id beside the slice would do the same, but cost 20 to 40 bytes per member and a hash at each join and leave (BenchmarkJoinLeave
// has both; DESIGN.md has the figures). The API needs a map by connection id; that is the slot table of the loop, one for all
// rooms.
//
// A batch is what was published since the last flush; all members share it. It is frozen when its flush begins: later
// publications go into the next one. A fan-out may be cut into slices (fanout.go), so that a batch can be half sent:
// members[:cursor] have it, members[cursor:] do not.
//
// Invariant: leaving never moves a member across the cursor. If the leaving member has the batch already, the last member that
// has it takes its place, and the last member of all takes that one's. Therefore no member is skipped and none gets the batch
// twice. Joining appends behind the cursor with from = pos: the new member gets nothing that is queued already.

// Member is a connection in a room.
type Member struct {
	conn  *Conn
	room  *room
	index uint32 // in room.members
	from  uint32 // it gets the publications from this room.pos on; moves along, so that distances stay small
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

	stallers [numGates]int // local members that stall it (stall.go)
}

// position is how far m was given the publications of its room.
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

func (r *room) seat(i int, m *Member) {
	r.members[i] = m
	m.index = uint32(i)
}
