package loop

// A room, as one loop sees it, is a dense slice of its local members and a queue of batches.
//
// Every member knows its index in the slice, so leaving is O(1): the last one takes its place (swap-remove). A map by connection
// id beside the slice would do the same, but cost 20 to 40 bytes per member and a hash at each join and leave (BenchmarkJoinLeave
// has both; DESIGN.md has the figures). The API needs a map by connection id; that is the slot table of the loop, one for all
// rooms.
//
// A batch has the publications since the last flush; all members share it. A flush may be cut into slices (fanout.go), and
// publications that come meanwhile join the batch at its end. So the flush goes round the circle of members. The members that
// may lack publications of the first batch are one run of this circle. The run begins at the cursor and has room.owed members. A
// publication that joins the first batch makes the run the whole circle, beginning at the cursor: the next members get all of
// it in one write, and those that had the first part get the rest when their turn comes again. Member.from says how much a
// member has got. When the run is empty, all members have the batch.
//
// Invariant: no member outside of the run lacks a part of the first batch. When a member leaves, members from the ends of the
// two runs (the run, and the members outside of it) fill the hole, so that none changes from one run to the other. A new member
// is appended with from = pos: it gets no publications that are queued already.
//
// A batch is closed, so that later publications go into the next batch, when it is full, or when a part of it is in the backlog
// of a member (batch.frozen).

type room struct {
	name    string
	entry   *Entry // nil until the bus has confirmed the join
	members []*Member
	waiting []*Member // their joins wait for the bus to confirm; those that left meanwhile have no room

	queue  []*batch // batches that are not fanned out yet; the last one may be open
	pos    uint32   // publications appended so far (wraps around)
	cursor int      // the member that is next
	owed   int      // members from the cursor on, round the circle, that may lack something of queue[0]
	last   ID       // what comes from the bus has a greater one
	dirty  bool     // on the loop's list of dirty rooms
	gaps   uint16   // notices of KindGap so far; members that are repeated to are not given them

	repeating int32 // members that are not in members yet, because they are given what they missed
	ids       int32 // members whose frames have ids
	mark      int   // index in marks.rooms, if ids is not 0

	watch *watching // nil without watchers (watch.go)

	stallers [numGates]int // local members that stall it (stall.go)
}

// position is the position in the room up to which m has got the publications.
func (r *room) position(m *Member) uint32 {
	if len(r.queue) == 0 {
		return r.pos
	}
	if base := r.queue[0].base; int32(m.from-base) < 0 {
		return base
	}
	return m.from
}

// begin starts the round of the first batch in the queue.
func (r *room) begin() {
	r.cursor, r.owed = 0, 0
	if len(r.queue) > 0 {
		r.owed = len(r.members)
	}
}

// next is the member at the cursor, which moves on.
func (r *room) next() *Member {
	m := r.members[r.cursor]
	r.owed--
	if r.cursor++; r.cursor == len(r.members) {
		r.cursor = 0
	}
	return m
}

// owes reports whether the member at i is in the run of those that may lack publications of the first batch.
func (r *room) owes(i int) bool {
	return (i-r.cursor+len(r.members))%len(r.members) < r.owed
}

// push adds a member at the end. The member lacks nothing, but it may be in the middle of the run; then the run counts it.
func (r *room) push(m *Member) {
	m.index = uint32(len(r.members))
	if r.cursor+r.owed > len(r.members) {
		r.owed++
	}
	r.members = append(r.members, m)
}

// remove takes out the member at i. No other member leaves the run of members that may lack publications of the first batch, or
// comes into it.
func (r *room) remove(i int) {
	last := len(r.members) - 1
	hole := i
	fill := func(from int) {
		if from != hole {
			r.seat(hole, r.members[from])
			hole = from
		}
	}
	switch end := r.cursor + r.owed; {
	case end > last+1: // the run is [cursor, last] and [0, end)
		end -= last + 1
		switch {
		case i < end:
			fill(end - 1)
			fill(r.cursor - 1)
			r.cursor--
			r.owed--
		case i < r.cursor:
			fill(r.cursor - 1)
			r.cursor--
		default:
			r.owed--
		}
	case i < r.cursor: // the run is [cursor, end)
		fill(r.cursor - 1)
		fill(end - 1)
		r.cursor--
	case i < end:
		fill(end - 1)
		r.owed--
	}
	fill(last)
	r.members[last] = nil
	r.members = r.members[:last]
	if r.cursor >= last {
		r.cursor = 0
	}
	if cap(r.members) > 64 && last < cap(r.members)/4 {
		r.members = append(make([]*Member, 0, cap(r.members)/2), r.members...)
	}
}

func (r *room) seat(i int, m *Member) {
	r.members[i] = m
	m.index = uint32(i)
}
