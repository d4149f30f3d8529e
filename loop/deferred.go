package loop

// What other nodes have published cannot be told to wait: its publisher is held by the room's credit there, which knows
// nothing of members here. Mostly that is enough, but a node that was cut off, or whose loops were behind, is handed
// everything that it missed at once, and a member that reads as well as ever would be over its HardBacklog.
//
// So what the room's flow does not admit is deferred in its entry, and all later publications of the room behind it. They go
// on, in their order, when the flow admits the first of them. Other rooms of the lane do not wait.
//
// What is deferred on the node is bounded by ParkedTotal: beyond it a room is given as much of its own, the oldest first, as
// brings the node back to it.
//
// A room whose budget was used up by slow members has no gate left, and gets what gathered meanwhile at a drain rate: all at
// once it would be too much for members that read well. For each byte that comes two go on, and each tick at least a share.
type deferred struct {
	pubs  []*Publication
	bytes int64 // their cost

	draining bool  // on lane.drains
	least    int64 // what goes on in a tick at the least
	allow    int64 // what may go on before the next one
	given    int64 // since the last one, for what came
}

// may reports whether the drain rate, if there is one, lets the next one go on.
func (q *deferred) may() bool { return !q.draining || q.allow > 0 }

// enter reports whether p may be placed now; else it is deferred. lane.mu is held.
func (s *flows) enter(f *flow, p *Publication, src source, late bool) (now bool) {
	if s.admit(f, src) {
		return true
	}
	k := f.needPressure()
	k.waits.Store(true)
	if late {
		k.late.Store(true)
	}
	q, cost := &k.deferred, p.cost()
	q.pubs = append(q.pubs, p)
	q.bytes += cost
	s.deferred.Add(cost)
	if q.draining {
		q.allow += 2 * cost
		q.given += cost
	}
	return false
}

// next takes off the first of what is deferred, if it may go on; else it returns nil. lane.mu is held.
func (s *flows) next(f *flow) *Publication {
	k := f.pressure.Load()
	q := &k.deferred
	if len(q.pubs) == 0 {
		q.pubs = nil
		k.waits.Store(false)
		k.late.Store(false)
		return nil
	}
	if !s.admit(f, srcDeferred) {
		return nil
	}
	p := q.pubs[0]
	q.pubs[0] = nil
	q.pubs = q.pubs[1:]
	q.bytes -= p.cost()
	q.allow -= p.cost()
	s.deferred.Add(-p.cost())
	return p
}

// drain sets the drain rate, if there is something to drain and no rate yet, and reports whether it did. lane.mu is held.
func (f *flow) drain() (began bool) {
	q := &f.pressure.Load().deferred
	if q.draining || len(q.pubs) == 0 {
		return false
	}
	q.draining, q.least, q.allow, q.given = true, 0, 0, 0
	return true
}

// tick lets go on what a tick may bring on, and reports whether something was left to do so. lane.mu is held.
//
// What is deferred takes no longer than its budget was, unless that is too much at once for a member below its soft limit.
func (s *flows) tick(f *flow) (draining bool) {
	q := &f.pressure.Load().deferred
	q.draining = len(q.pubs) > 0
	if q.draining {
		ticks := int64(max(1, s.stall*gateShares[srcRemote]))
		q.least = max(q.least, s.credit, min(q.bytes/ticks, s.mostDrained))
		q.allow, q.given = max(0, q.least-q.given), 0
	}
	return q.draining
}

// drop takes off everything that is deferred. lane.mu is held.
func (s *flows) drop(f *flow) []*Publication {
	k := f.pressure.Load()
	if k == nil {
		return nil
	}
	pubs := k.deferred.pubs
	s.deferred.Add(-k.deferred.bytes)
	k.deferred = deferred{draining: k.deferred.draining}
	k.waits.Store(false)
	k.late.Store(false)
	return pubs
}
