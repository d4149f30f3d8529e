package loop

import (
	"sync"
	"sync/atomic"
)

// A member over its SoftBacklog stalls its room: it pulls two brakes. One holds the publishers of the room on this node, who
// are read no further, or refused (Node.admits); the other what other nodes have published and is parked here (parking.go).
//
// Each brake has a budget over all loops: publishers for StallBudget in any 10 s; what is parked for StallBudget in any minute,
// or for five times that if it comes late, after an outage, for then it is much at once. A member that took no byte for more
// than three ticks pulls none: the slow may slow the room down a little, the dead may not.

type brake int

const (
	brakePublishers brake = iota
	brakeParked
	numBrakes
)

const stallProgressTicks = 3 // a member that took nothing for longer stalls nobody

var (
	stallWindowTicks = [numBrakes]uint32{100, 600}
	stallShare       = [numBrakes]uint32{1, lateShare} // times StallBudget
)

const lateShare = 5 // a tick for which something waits that is not late costs so much more

// pressure is what an Entry has once a member was too slow for what came; most rooms never do.
type pressure struct {
	brakes [numBrakes]struct {
		loops  atomic.Int32 // that have a staller
		budget stallBudget
	}
	waits  atomic.Bool // something is parked, or is about to be
	late   atomic.Bool // and some of it came late
	parked parked      // guarded by lane.mu
}

func (e *Entry) needPressure() *pressure {
	if p := e.pressure.Load(); p != nil {
		return p
	}
	e.pressure.CompareAndSwap(nil, &pressure{})
	return e.pressure.Load()
}

// stalled reports whether some loop has a member that pulls the brake. Any goroutine.
func (e *Entry) stalled(b brake) bool {
	p := e.pressure.Load()
	return p != nil && p.brakes[b].loops.Load() > 0
}

// stallFor makes c a staller of its room, if it may be one.
func (l *Loop) stallFor(c *Conn) {
	k, r := c.backlog, c.member.room
	if r == nil || r.entry == nil {
		return
	}
	p := r.entry.needPressure()
	for b := range numBrakes {
		if k.stalls[b] || l.spend(p, b, 0) {
			continue
		}
		k.stalls[b] = true
		r.stallers[b]++
		if r.stallers[b] == 1 {
			p.brakes[b].loops.Add(1)
			if b == brakePublishers {
				l.stats.Stalls++
			}
		}
	}
}

func (l *Loop) unstallFor(c *Conn) {
	for b := range numBrakes {
		l.letGo(c, b)
	}
}

func (l *Loop) letGo(c *Conn, b brake) {
	k, r := c.backlog, c.member.room
	if k == nil || !k.stalls[b] {
		return
	}
	k.stalls[b] = false
	r.stallers[b]--
	if r.stallers[b] > 0 || r.entry.pressure.Load().brakes[b].loops.Add(-1) > 0 {
		return
	}
	switch b {
	case brakePublishers:
		l.node.resume()
	case brakeParked:
		l.node.dir.resume(r.entry)
	}
}

// stallBudget is what a room has left of a brake's budget, over all loops.
type stallBudget struct {
	mu     sync.Mutex
	window uint32 // the tick at which the window began
	ticks  uint32 // of stall in it
	paid   uint32 // the tick that was paid last
}

// spend takes passed ticks off at tick (once, whoever comes first), at a price each, and reports whether the budget is used
// up: limit in so many ticks as the window has.
func (b *stallBudget) spend(tick, passed, price, limit, window uint32) (exhausted bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if int32(tick-b.window) >= int32(window) { // loops may be a tick apart
		b.window, b.ticks = tick, 0
	}
	if since := int32(tick - b.paid); passed > 0 && since > 0 {
		b.ticks += min(passed, uint32(since)) * price
		b.paid = tick
	}
	return b.ticks >= limit
}

// spend pays for a brake of a room that was pulled for passed ticks. What is parked pays only while something is.
func (l *Loop) spend(p *pressure, b brake, passed uint32) (exhausted bool) {
	price := uint32(1)
	if b == brakeParked {
		if !p.waits.Load() {
			passed = 0
		}
		if !p.late.Load() {
			price = lateShare
		}
	}
	return p.brakes[b].budget.spend(l.tick, passed, price, l.ticks.stall*stallShare[b], stallWindowTicks[b])
}

// tickStalls has c pay for a tick, and let go when the budget is used up or it takes nothing.
func (l *Loop) tickStalls(c *Conn, passed uint32) {
	k := c.backlog
	for b := range numBrakes {
		if !k.stalls[b] {
			continue
		}
		exhausted := l.spend(c.member.room.entry.pressure.Load(), b, passed)
		if exhausted && b == brakeParked {
			l.node.dir.pace(c.member.room.entry)
		}
		if exhausted || l.tick-k.progress > stallProgressTicks {
			l.letGo(c, b)
		}
	}
}
