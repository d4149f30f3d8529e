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
// Our own publications, which a bus brings back, begin no parking: they waited for their room before they were read (Charge),
// and the budget of their publishers is another one. Behind what is parked they stay.
//
// What is parked on the node is bounded by ParkedTotal: beyond it a room is given as much of its own, the oldest first, as
// brings the node back to it.
//
// A room whose budget was used up by slow members has no brake left, and gets what gathered meanwhile at a pace: all at
// once it would be too much for members that read well. For each byte that comes two go on, and each tick at least
// a slice.
//
// Entry.flying counts what is with the bus, too (Charge). That must not count here, for it will stand behind the parked ones:
// Entry.placed is what counts.
type parked struct {
	pubs  []*Publication
	bytes int64 // their cost

	paced bool  // on Directory.paced
	least int64 // what goes on in a tick at the least
	allow int64 // what may go on before the next one
	given int64 // since the last one, for what came
}

// full reports whether the room could take nothing from a local publisher: what it was given is not fanned out, or a member
// lags. Any goroutine.
func (d *Directory) full(e *Entry) bool {
	return e.stalled(brakeParked) || e.placed.Load() > d.node.loops[0].cfg.RoomCredit
}

// placeOrPark is place for what a bus delivers. lane.mu is held.
func (d *Directory) placeOrPark(ln *lane, p *Publication, late bool) (rings uint64) {
	e := ln.entries[p.Room]
	p.placed = true
	if e != nil {
		p.Room = e.Name // else it would keep the whole batch that it came in
	}
	if e == nil || !e.parks() && (p.entry == e || !d.full(e)) {
		return d.place(e, p)
	}
	k := e.needPressure()
	k.waits.Store(true)
	if late {
		k.late.Store(true)
	}
	k.parked.pubs = append(k.parked.pubs, p)
	k.parked.bytes += p.cost()
	d.node.parked.Add(p.cost())
	if k.parked.paced {
		k.parked.allow += 2 * p.cost()
		k.parked.given += p.cost()
	}
	return d.placeParked(e) // the loops may have come to the end before waits was set
}

// parks reports whether something is parked. Exact while lane.mu is held.
func (e *Entry) parks() bool {
	k := e.pressure.Load()
	return k != nil && k.waits.Load()
}

// placeParked places what is parked from its beginning, as much as may go on. lane.mu is held.
func (d *Directory) placeParked(e *Entry) (rings uint64) {
	k := e.pressure.Load()
	for len(k.parked.pubs) > 0 && d.mayGoOn(e, k) {
		p := k.parked.pubs[0]
		k.parked.pubs[0] = nil
		k.parked.pubs = k.parked.pubs[1:]
		k.parked.bytes -= p.cost()
		k.parked.allow -= p.cost()
		d.node.parked.Add(-p.cost())
		rings |= d.place(e, p)
	}
	if len(k.parked.pubs) == 0 {
		k.parked.pubs = nil
		k.waits.Store(false)
		k.late.Store(false)
	}
	return rings
}

func (d *Directory) mayGoOn(e *Entry, k *pressure) bool {
	if d.node.parked.Load() > d.node.loops[0].cfg.ParkedTotal {
		return true
	}
	return !d.full(e) && (!k.parked.paced || k.parked.allow > 0)
}

// resume goes on with what is parked if the room can take more. Any goroutine that holds no lane's mutex.
func (d *Directory) resume(e *Entry) {
	if !e.parks() || d.full(e) {
		return
	}
	ln := &d.lanes[d.laneOf(e.Name)]
	ln.mu.Lock()
	rings := d.placeParked(e)
	ln.mu.Unlock()
	d.ring(rings)
}

// pace is called before the last brake of a room is let go because its budget is used up. Any goroutine that holds no lane's
// mutex.
func (d *Directory) pace(e *Entry) {
	ln := &d.lanes[d.laneOf(e.Name)]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	k := e.pressure.Load()
	if k.parked.paced || len(k.parked.pubs) == 0 {
		return
	}
	k.parked.paced, k.parked.least, k.parked.allow, k.parked.given = true, 0, 0, 0
	d.pacing.Lock()
	d.paced = append(d.paced, e)
	d.pacing.Unlock()
}

// tickPaced gives the paced rooms what they may have in this tick. The first loop's goroutine.
func (d *Directory) tickPaced() {
	d.pacing.Lock()
	all := d.paced
	d.paced = nil
	d.pacing.Unlock()
	for _, e := range all {
		ln := &d.lanes[d.laneOf(e.Name)]
		ln.mu.Lock()
		k := &e.pressure.Load().parked
		if k.paced = len(k.pubs) > 0; !k.paced {
			ln.mu.Unlock()
			continue
		}
		k.least = max(k.least, d.node.loops[0].slice(k.bytes))
		k.allow, k.given = max(0, k.least-k.given), 0
		rings := d.placeParked(e)
		ln.mu.Unlock()
		d.ring(rings)
		d.pacing.Lock()
		d.paced = append(d.paced, e)
		d.pacing.Unlock()
	}
}

// slice is what goes on in a tick, so that bytes take no longer than the budget was, unless that is too much at once for a
// member below its soft limit.
func (l *Loop) slice(bytes int64) int64 {
	ticks := max(1, l.ticks.stall*stallShare[brakeParked])
	return max(l.cfg.RoomCredit, min(bytes/int64(ticks), int64(l.cfg.HardBacklog-l.cfg.SoftBacklog)/2))
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
	k.parked = parked{paced: k.parked.paced}
	k.waits.Store(false)
	k.late.Store(false)
}
