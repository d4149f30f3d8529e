package loop

import (
	"sync"
	"sync/atomic"
)

// A flow decides who may add to a room. Everything that goes into a room asks flows.admit, and nothing else decides it: a
// connection asks before each frame that it parses (MayParse), the API in Node.Offer, and a bus that delivers in Directory.enter.
// DESIGN.md has the picture.
//
// Two accounts count the bytes of a room that are not fanned out yet. One counts all accepted publications, including those with
// the bus; local publishers wait for it. The other counts the publications that came through Deliver and are in some loop; other
// nodes wait for it. They must not wait for the first account: publications with the bus will come after those of the other
// nodes, so the wait would never end.
//
// A member over its SoftBacklog can close two gates (stall.go): one for local publishers, one for other nodes. A gate has a
// budget over all loops, in a window: local publishers may be stopped for StallBudget in any 10 s. Other nodes may be stopped for
// StallBudget in any minute, or for five times that if their publications come late, after an outage, because then there are many
// at once. Once the budget is used up, the gate stays open until the window is over.
//
// A flow has no clock, and no lock except that of a window. The accounts and gates are atomic: admit for srcLocal costs three
// loads, four once the room has had a slow member. Deferred publications are guarded by the mutex of the room's lane
// (deferred.go).
type flow struct {
	bytes    [numGates]atomic.Int64
	pressure atomic.Pointer[pressure] // set once a member was too slow; most rooms never have one
}

// source is where a publication comes from. The first numGates have an account and a gate.
type source uint8

const (
	srcLocal    source = iota // a member, or the API: waits outside, unread or refused
	srcRemote                 // another node: its publisher cannot be made to wait, so the publication is deferred
	srcReturned               // this node, through a bus: it waited before it was accepted
	srcDeferred               // the first deferred publication

	numGates = srcReturned
)

// flows is what the flows of a node have in common: the limits, and the states that stop all rooms.
type flows struct {
	credit       int64  // Config.RoomCredit
	mostDeferred int64  // Config.ParkedTotal
	mostDrained  int64  // bytes of a room in a tick
	stall        uint32 // ticks of Config.StallBudget

	congested atomic.Int32 // loops that are over InboxLimit
	busFull   atomic.Bool  // the bus has as much as it may hold (Node.HoldBack)
	deferred  atomic.Int64 // bytes that are deferred in all rooms
}

// pressure is the rarely needed half of a flow.
type pressure struct {
	gates    [numGates]gate
	waits    atomic.Bool // something is deferred, or is about to be
	late     atomic.Bool // and some of it came late
	deferred deferred    // guarded by lane.mu
}

type gate struct {
	loops  atomic.Int32 // loops with a slow member that keeps it closed
	budget window
}

var (
	gateSpans  = [numGates]uint32{srcLocal: 100, srcRemote: 600}     // ticks of a window
	gateShares = [numGates]uint32{srcLocal: 1, srcRemote: lateShare} // StallBudgets in it
)

const lateShare = 5 // a tick costs this many times more if what waits is not late

// admit reports whether src may add to a room now. f is nil for a room that has no members here, or before a connection has
// joined one. Any goroutine; for srcDeferred lane.mu is held.
//
// The states that stop the whole node stop srcLocal only: while a loop is congested a bus reads nothing more (Node.Congested),
// and what it has already read keeps its place. srcReturned waited as srcLocal before it was accepted, and does not wait a second
// time.
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

// open reports whether an account has credit and no member keeps its gate closed: the part of admit that concerns the room.
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

// release takes n bytes off, and reports whether that ended a time without credit: then the waiting publishers must be woken.
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

// slow counts a loop that now has a slow member (1), or no longer has one (-1), and reports whether that opened the gate. Any
// goroutine.
func (f *flow) slow(src source, loops int32) (opened bool) {
	return f.needPressure().gates[src].loops.Add(loops) == 0
}

// pay charges the budget of a gate for passed ticks in which it was closed, and reports whether the budget is used up. Other
// nodes pay only while publications of theirs wait.
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

// window is what a gate has used of its budget, over all loops.
type window struct {
	mu    sync.Mutex
	began uint32 // tick
	ticks uint32 // spent since
	paid  uint32 // the tick that was paid last
}

// spend takes passed ticks off at tick, at a price each. Of several loops that do so for the same tick, only the first counts. It
// reports whether the budget is used up: limit in a span of ticks.
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
