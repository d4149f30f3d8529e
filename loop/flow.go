package loop

import (
	"sync"
	"sync/atomic"
)

// A flow decides who may add to a room. Whatever goes into a room asks flows.admit, and nothing else decides it: a connection
// before each frame that it parses (MayParse), the API (Node.Offer), and a bus that delivers (Directory.enter). DESIGN.md has
// the picture.
//
// Two accounts count the bytes of a room that are not fanned out yet: all that were accepted, those that are with the bus among
// them; and those that some loop has and that came through Deliver. The first is what local publishers wait for. The second is
// what other nodes wait for: what is with the bus will stand behind what they have sent, so waiting for it would never end.
//
// Two gates can be closed by a member over its SoftBacklog (stall.go): one for each of the same two. A gate has a budget over
// all loops, a window: local publishers may be stopped for StallBudget in any 10 s; other nodes for StallBudget in any minute,
// or for five times that if what they sent comes late, after an outage, for then it is much at once. Once the budget is used up
// the gate stays open until the window is over.
//
// A flow has no clock, and no lock but that of a window. The accounts and gates are atomic: admit for srcLocal costs three loads,
// four once the room has had a slow member. What is deferred belongs to whoever holds the mutex of the room's lane (deferred.go).
type flow struct {
	bytes    [numGates]atomic.Int64
	pressure atomic.Pointer[pressure] // once a member was too slow for what came; most rooms never have one
}

// source is where a publication comes from. The first numGates have an account and a gate.
type source uint8

const (
	srcLocal    source = iota // a member, or the API: waits outside, unread or refused
	srcRemote                 // another node: its publisher cannot be told to wait, so it is deferred
	srcReturned               // this node, brought back by a bus: has waited before it was accepted
	srcDeferred               // the first of what is deferred

	numGates = srcReturned
)

// flows is what the flows of a node have in common: the limits, and what holds all rooms.
type flows struct {
	credit       int64  // Config.RoomCredit
	mostDeferred int64  // Config.ParkedTotal
	mostDrained  int64  // of a room in a tick
	stall        uint32 // ticks of Config.StallBudget

	congested atomic.Int32 // loops that are over InboxLimit
	busFull   atomic.Bool  // the bus has as much as it may hold (Node.HoldBack)
	deferred  atomic.Int64 // bytes that are deferred in all rooms
}

// pressure is the rare half of a flow.
type pressure struct {
	gates    [numGates]gate
	waits    atomic.Bool // something is deferred, or is about to be
	late     atomic.Bool // and some of it came late
	deferred deferred    // guarded by lane.mu
}

type gate struct {
	loops  atomic.Int32 // that have a slow member which keeps it closed
	budget window
}

var (
	gateSpans  = [numGates]uint32{srcLocal: 100, srcRemote: 600}     // ticks of a window
	gateShares = [numGates]uint32{srcLocal: 1, srcRemote: lateShare} // StallBudgets in it
)

const lateShare = 5 // a tick for which something waits that is not late costs so much more

// admit reports whether src may add to a room now. f is nil for a room that has no members here, or before a connection has
// joined one. Any goroutine; for srcDeferred lane.mu is held.
//
// What holds the whole node holds srcLocal only: while a loop is congested a bus reads nothing more (Node.Congested), and what it
// has read already keeps its place. srcReturned waited as srcLocal before it was accepted, and is not held a second time.
func (s *flows) admit(f *flow, src source) bool {
	switch {
	case src == srcLocal:
		return s.congested.Load() == 0 && !s.busFull.Load() && (f == nil || f.open(srcLocal, s.credit))
	case f == nil:
		return true
	case src == srcDeferred:
		return s.deferred.Load() > s.mostDeferred || f.open(srcRemote, s.credit) && f.pressure.Load().deferred.may()
	default:
		return !f.defers() && (src == srcReturned || f.open(srcRemote, s.credit))
	}
}

// open reports whether an account has credit and no member keeps its gate closed: the half of admit that is the room's.
func (f *flow) open(src source, credit int64) bool {
	return f.bytes[src].Load() <= credit && !f.closed(src)
}

// closed reports whether some loop has a member that keeps the gate closed. Any goroutine.
func (f *flow) closed(src source) bool {
	k := f.pressure.Load()
	return k != nil && k.gates[src].loops.Load() > 0
}

// defers reports whether something is deferred. Exact while lane.mu is held.
func (f *flow) defers() bool {
	k := f.pressure.Load()
	return k != nil && k.waits.Load()
}

// reserve takes n bytes of an account.
func (f *flow) reserve(src source, n int64) { f.bytes[src].Add(n) }

// release gives them back, and reports whether that ended a time without credit: who waits for it has to be woken.
func (s *flows) release(f *flow, src source, n int64) (opened bool) {
	after := f.bytes[src].Add(-n)
	return after <= s.credit && after+n > s.credit
}

func (f *flow) needPressure() *pressure {
	if k := f.pressure.Load(); k != nil {
		return k
	}
	f.pressure.CompareAndSwap(nil, &pressure{})
	return f.pressure.Load()
}

// slow counts a loop that has a slow member now (1), or none any more (-1), and reports whether that opened the gate. Any
// goroutine.
func (f *flow) slow(src source, loops int32) (opened bool) {
	return f.needPressure().gates[src].loops.Add(loops) == 0
}

// pay has the budget of a gate pay for passed ticks in which it was closed, and reports whether the budget is used up. Other
// nodes pay only while something of theirs waits.
func (s *flows) pay(f *flow, src source, tick, passed uint32) (exhausted bool) {
	k, price := f.needPressure(), uint32(1)
	if src == srcRemote {
		if !k.waits.Load() {
			passed = 0
		}
		if !k.late.Load() {
			price = lateShare
		}
	}
	return k.gates[src].budget.spend(tick, passed, price, s.stall*gateShares[src], gateSpans[src])
}

// window is what a gate has left of its budget, over all loops.
type window struct {
	mu    sync.Mutex
	began uint32 // tick
	ticks uint32 // spent since
	paid  uint32 // the tick that was paid last
}

// spend takes passed ticks off at tick (once, whoever comes first), at a price each, and reports whether the budget is used
// up: limit in so many ticks as span.
func (w *window) spend(tick, passed, price, limit, span uint32) (exhausted bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if int32(tick-w.began) >= int32(span) { // loops may be a tick apart
		w.began, w.ticks = tick, 0
	}
	if since := int32(tick - w.paid); passed > 0 && since > 0 {
		w.ticks += min(passed, uint32(since)) * price
		w.paid = tick
	}
	return w.ticks >= limit
}
