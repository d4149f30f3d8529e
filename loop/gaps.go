package loop

// Gaps. A bus that could not keep its guarantee reports it with Node.Gap. No list of gaps is kept, however many rooms they
// concern: gaps are numbered, and a room and a lane store the number of their last gap. To learn whether a member may have missed
// something, compare that with the number of gaps at the time when the member came.

// Gap says that the members of the rooms, or of all rooms of the lane if rooms is nil, may have missed something. Any goroutine.
func (n *Node) Gap(lane int, rooms []string) {
	ln := &n.dir.lanes[lane]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	gap := n.gaps.Add(1) // under the mutex, so that no smaller number comes later
	if rooms == nil {
		ln.gap.Store(gap)
		n.wideGap.Store(true)
	}
	for _, room := range rooms {
		if e := ln.entries[room]; e != nil {
			e.gap.Store(gap)
		}
	}
}

// Gaps is the number of gaps so far. Any goroutine.
func (n *Node) Gaps() uint64 { return n.gaps.Load() }

// Missed reports that there was a gap in the room of c with a number above after.
func (c *Conn) Missed(after uint64) bool {
	r := c.member.room
	switch {
	case r == nil || r.entry == nil:
		return false
	case r.entry.gap.Load() > after:
		return true
	case !c.loop.node.wideGap.Load():
		return false
	}
	return c.loop.node.dir.lanes[r.entry.lane].gap.Load() > after
}
