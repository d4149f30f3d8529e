package loop

// Gaps. A bus that could not keep its word says so by Node.Gap. Nothing is listed for that, however many rooms it concerns: gaps are
// numbered, and a room and a lane keep the number of the last one that concerned them. Whoever wants to know whether a member may
// have missed something compares that with how many there had been when it came.

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

// Gaps is how many there were. Any goroutine.
func (n *Node) Gaps() uint64 { return n.gaps.Load() }

// Missed reports that there was a gap in the room of c after the first so many.
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
