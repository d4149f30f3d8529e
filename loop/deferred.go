package loop

// A node cannot make publishers on other nodes wait. Only the credit of the room on their own node holds them back, and that
// credit does not depend on the members of this node. Mostly this is enough. But if a node was cut off, or its loops were
// behind, it gets all missed publications at once. Then even a member that reads well would be over its HardBacklog.
//
// So a publication that the room's flow does not admit is deferred in the room's entry, and so are all later publications of the
// room behind it. The deferred publications go on, in their order, when the flow admits the first of them. Other rooms of the
// lane do not wait.
//
// ParkedTotal limits the deferred bytes of the node. Above it, a room gets its oldest deferred publications until the node is
// back at the limit.
//
// If slow members have used up the budget of a room's gate, the gate stays open. Then the deferred publications go on at a
// drain rate, because all of them at once would be too much for members that read well. For each byte that comes, two deferred
// bytes go on, and in each tick at least a share of the deferred bytes goes on.
type deferred struct {
	pubs  []*Publication
	bytes int64 // cost of pubs

	draining bool  // the room is on lane.drains
	least    int64 // minimum of bytes that go on in a tick
	allow    int64 // bytes that may go on before the next tick
	given    int64 // bytes that were deferred since the last tick
}

// may reports whether the next publication may go on. Without a drain rate it always may.
func (q *deferred) may() bool { return !q.draining || q.allow > 0 }

// enter reports whether p may be placed now; if not, p is deferred. lane.mu is held.
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

// next removes and returns the first deferred publication if it may go on, and otherwise nil. lane.mu is held.
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

// firstDeferred returns the publication that goes on next, nil if nothing is deferred. lane.mu is held.
func (f *flow) firstDeferred() *Publication {
	if k := f.pressure.Load(); k != nil && len(k.deferred.pubs) > 0 {
		return k.deferred.pubs[0]
	}
	return nil
}

// drain begins a drain rate if something is deferred and there is no rate yet, and reports whether it did. lane.mu is held.
func (f *flow) drain() (began bool) {
	q := &f.pressure.Load().deferred
	if q.draining || len(q.pubs) == 0 {
		return false
	}
	q.draining, q.least, q.allow, q.given = true, 0, 0, 0
	return true
}

// tick lets one tick's share of the deferred publications go on, and reports whether deferred publications were left. lane.mu is
// held.
//
// The share is large enough to drain all deferred publications within the stall budget, but not larger than a member below its
// soft limit can take.
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

// drop removes everything that is deferred. lane.mu is held.
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
