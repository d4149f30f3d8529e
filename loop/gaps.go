package loop

// Gaps. A bus that could not keep its guarantee reports it with Node.Gap. Gaps are not kept in a list, because one gap can
// concern any number of rooms. Instead they are numbered, and each room and each lane stores the number of its last gap. A member
// may have missed publications if this number is greater than the number of gaps at the time when the member joined.
//
// Members whose variants have a frame for it are told in the order of the room, by a publication of KindGap.

// Gap tells the node that the members of the rooms may have missed publications. If rooms is nil, the gap concerns all rooms of
// the lane. Any goroutine.
func (n *Node) Gap(lane int, rooms []string) {
	ln := &n.dir.lanes[lane]
	var rings uint64
	ln.mu.Lock()
	defer func() {
		ln.mu.Unlock()
		n.dir.ring(rings)
	}()
	if h := ln.history; h != nil { // what is missing is missing in the history too
		h.restart(ln.last)
		h.fresh, h.filling = h.partial, false
	}
	n.dir.Presences().presenceGap(ln, rooms)
	gap := n.gaps.Add(1) // under the mutex, so that no smaller number comes later
	if rooms == nil {
		ln.gap.Store(gap)
		n.wideGap.Store(true)
		for _, e := range ln.entries {
			rings |= n.dir.tellGap(ln, e)
		}
	}
	for _, room := range rooms {
		if e := ln.entries[room]; e != nil {
			e.gap.Store(gap)
			rings |= n.dir.tellGap(ln, e)
		}
	}
}

// tellGap tells the members of the room of the gap, if their variants have a frame for it: the notice comes behind everything that
// the lane has delivered. It has no place of its own. lane.mu is held.
func (d *Directory) tellGap(ln *lane, e *Entry) (rings uint64) {
	if !d.node.keeps.Load() {
		return 0 // nobody could understand it
	}
	return d.enter(ln, &Publication{Room: e.Name, Kind: KindGap, ID: ln.last, from: e}, false)
}

// Gaps is the number of gaps so far. Any goroutine.
func (n *Node) Gaps() uint64 { return n.gaps.Load() }

// Missed reports whether the room of c had a gap with a higher number than known.
func (c *Conn) Missed(known uint64) bool {
	r := c.member.room
	switch {
	case r == nil || r.entry == nil:
		return false
	case r.entry.gap.Load() > known:
		return true
	case !c.loop.node.wideGap.Load():
		return false
	}
	return c.loop.node.dir.lanes[r.entry.lane].gap.Load() > known
}
