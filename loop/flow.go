package loop

import (
	"sync"
	"sync/atomic"
)

// A flow decides whether a publication may be added to a room now. Only flows.admit decides, and every way into a room asks it:
// a connection asks before each frame that it parses (MayParse), Node.Offer asks for the API, and Directory.enter asks for a
// bus that delivers. DESIGN.md has a picture.
//
// Two accounts count the bytes of a room that are not fanned out yet. The first counts all publications accepted on this node,
// including those that are with the bus; local publishers wait for it. The second counts the publications that came through
// Deliver and are in some loop; publications of other nodes wait for it. The publications of other nodes must not wait for the
// first account: it also counts this node's own publications, which come back behind them, so the wait would never end.
//
// A member over its SoftBacklog can close two gates (stall.go): one for local publishers, one for other nodes. Each gate has a
// budget in a window of time, which all loops share. The gate for local publishers may be closed for StallBudget in any 10 s.
// The gate for other nodes may be closed for StallBudget in any minute. If their publications come late, after an outage, it
// may be closed for five times StallBudget, because then many publications come at once. Once its budget is used up, a gate
// stays open until its window is over.
//
// A flow has no clock, and no lock except in a window. The accounts and gates are atomic: admit for srcLocal costs three loads,
// or four once the room has had a slow member. The mutex of the room's lane guards the deferred publications (deferred.go).
type flow struct {
	bytes    [numGates]atomic.Int64
	pressure atomic.Pointer[pressure] // set when the room gets its first slow member; most rooms never have one
}

// source is the place that a publication comes from. The first numGates sources have an account and a gate.
type source uint8

const (
	srcLocal    source = iota // a member, whose socket is not read while it must wait, or the API, whose call is refused
	srcRemote                 // another node: its publisher cannot be made to wait, so the publication is deferred
	srcReturned               // this node, through a bus: the publication already waited as srcLocal before it was accepted
	srcDeferred               // the deferred publications of the room: the first of them is next

	numGates = srcReturned
)

// flows has what the flows of all rooms of a node share: the limits, and the states that stop all rooms.
type flows struct {
	credit       int64  // Config.RoomCredit
	mostDeferred int64  // Config.ParkedTotal
	mostDrained  int64  // most bytes of a room that may drain in a tick
	stall        uint32 // Config.StallBudget in ticks

	congested atomic.Int32 // number of loops that are over InboxLimit
	busFull   atomic.Bool  // the bus has as much as it may hold (Node.HoldBack)
	deferred  atomic.Int64 // bytes that are deferred in all rooms
}

// pressure is the part of a flow that few rooms need.
type pressure struct {
	gates    [numGates]gate
	waits    atomic.Bool // publications are deferred, or are about to be
	late     atomic.Bool // some of the deferred publications came late
	deferred deferred    // guarded by lane.mu
}

type gate struct {
	loops  atomic.Int32 // number of loops with a slow member that keeps the gate closed
	budget window
}

var (
	gateSpans  = [numGates]uint32{srcLocal: 100, srcRemote: 600}     // length of a window in ticks
	gateShares = [numGates]uint32{srcLocal: 1, srcRemote: lateShare} // budget of a window, in StallBudgets
)

const lateShare = 5 // a tick costs lateShare ticks of the budget if no deferred publication is late

// admit reports whether src may add to a room now. f is nil for a room that has no members here, or before a connection has
// joined one. Any goroutine; for srcDeferred lane.mu is held.
//
// The states that stop the whole node stop srcLocal only. While a loop is congested, a bus reads nothing more (Node.Congested),
// and the publications that it has already read keep their place. A publication of srcReturned waited as srcLocal before it was
// accepted, so it does not wait a second time.
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

// open reports whether an account has credit and no member keeps its gate closed. It is the part of admit that concerns only the
// room.
func (f *flow) open(src source, credit int64) bool {
	return f.bytes[src].Load() <= credit && !f.closed(src)
}

// closed reports whether some loop has a member that keeps the gate closed. Any goroutine.
func (f *flow) closed(src source) bool {
	k := f.pressure.Load()
	return k != nil && k.gates[src].loops.Load() > 0
}

// defers reports whether publications of the room are deferred. The answer is exact while lane.mu is held.
func (f *flow) defers() bool {
	k := f.pressure.Load()
	return k != nil && k.waits.Load()
}

// reserve adds n bytes to an account.
func (f *flow) reserve(src source, n int64) { f.bytes[src].Add(n) }

// release takes n bytes off an account, and reports whether the account has credit again. If so, the caller must wake the
// waiting publishers.
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

// slow adds 1 to the number of loops with a slow member, or -1 when a loop no longer has one. It reports whether that opened the
// gate. Any goroutine.
func (f *flow) slow(src source, loops int32) (opened bool) {
	return f.needPressure().gates[src].loops.Add(loops) == 0
}

// pay takes the passed ticks, during which a gate was closed, from the gate's budget, and reports whether the budget is used up.
// The gate for other nodes pays only while publications are deferred.
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

// window is the part of a gate's budget that is used up, over all loops.
type window struct {
	mu    sync.Mutex
	began uint32 // tick at which the window began
	ticks uint32 // ticks paid since began
	paid  uint32 // the last tick that was paid
}

// spend pays the price for each of the passed ticks before tick. If several loops pay for the same tick, only the first payment
// counts. spend reports whether the budget is used up. limit is the budget, and span is the length of the window, both in
// ticks.
func (w *window) spend(tick, passed, price, limit, span uint32) (exhausted bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if int32(tick-w.began) >= int32(span) { // the ticks of two loops may differ by one
		w.began, w.ticks = tick, 0
	}
	if since := int32(tick - w.paid); passed > 0 && since > 0 {
		w.ticks += min(passed, uint32(since)) * price
		w.paid = tick
	}
	return w.ticks >= limit
}
