package loop

// Parking. A local publisher waits for its room: it is not parsed while the room has no credit, or is stalled by a member
// that reads slowly. What comes from another node cannot be told to wait: its publisher is held by the room's credit there,
// which knows nothing of members here. Mostly that is enough, but a node that was cut off, or whose loops were behind, is
// handed everything that it missed at once, and a member that reads as well as ever would be over its HardBacklog.
//
// So a publication whose room could not take one from a local publisher now is parked in the room's entry, and all later
// ones of the room behind it. They go on, in their order, when the room has its credit back and nobody stalls it any more
// (stall.go). Other rooms of the lane do not wait.
//
// What is parked on the node is bounded by ParkedTotal: a room that would pass it is given all of its own at once.
//
// Entry.flying counts what is with the bus, too (Charge). That must not count here, for it will stand behind the parked ones:
// Entry.placed is what counts.
type parked struct {
	pubs  []*Publication
	bytes int64 // their cost
}

// full reports whether the room could take nothing from a local publisher: what it was given is not fanned out, or a member
// lags. Any goroutine.
func (d *Directory) full(e *Entry) bool {
	return e.stalled(brakeParked) || e.placed.Load() > d.node.loops[0].cfg.RoomCredit
}

// placeOrPark is place for what a bus delivers. lane.mu is held.
func (d *Directory) placeOrPark(ln *lane, p *Publication, late bool) (rings uint64) {
	e := ln.entries[p.Room]
	if e == nil || !e.parks() && !d.full(e) {
		return d.place(ln, p)
	}
	k := e.needPressure()
	k.waits.Store(true)
	if late {
		k.late.Store(true)
	}
	k.parked.pubs = append(k.parked.pubs, p)
	k.parked.bytes += p.cost()
	if d.node.parked.Add(p.cost()) > d.node.loops[0].cfg.ParkedTotal {
		return d.placeParked(ln, e, func() bool { return true })
	}
	return d.placeParked(ln, e, func() bool { return !d.full(e) }) // the loops may have come to the end before waits was set
}

// parks reports whether something is parked. Exact while lane.mu is held.
func (e *Entry) parks() bool {
	k := e.pressure.Load()
	return k != nil && k.waits.Load()
}

// placeParked places what is parked from its beginning, while more says so. lane.mu is held.
func (d *Directory) placeParked(ln *lane, e *Entry, more func() bool) (rings uint64) {
	k := e.pressure.Load()
	for len(k.parked.pubs) > 0 && more() {
		p := k.parked.pubs[0]
		k.parked.pubs[0] = nil
		k.parked.pubs = k.parked.pubs[1:]
		k.parked.bytes -= p.cost()
		d.node.parked.Add(-p.cost())
		rings |= d.place(ln, p)
	}
	if len(k.parked.pubs) == 0 {
		k.parked.pubs = nil
		k.waits.Store(false)
		k.late.Store(false)
	}
	return rings
}

// resume goes on with what is parked if the room can take more. Any goroutine that holds no lane's mutex.
func (d *Directory) resume(e *Entry) {
	if !e.parks() || d.full(e) {
		return
	}
	ln := &d.lanes[d.laneOf(e.Name)]
	ln.mu.Lock()
	rings := d.placeParked(ln, e, func() bool { return !d.full(e) })
	ln.mu.Unlock()
	d.ring(rings)
}

// unpark drops what is parked in an entry that vanishes: it is for nobody. lane.mu is held.
func (d *Directory) unpark(e *Entry) {
	if !e.parks() {
		return
	}
	k := e.pressure.Load()
	for _, p := range k.parked.pubs {
		d.refund(p)
	}
	d.node.parked.Add(-k.parked.bytes)
	k.parked = parked{}
	k.waits.Store(false)
	k.late.Store(false)
}
