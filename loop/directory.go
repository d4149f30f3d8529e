package loop

import (
	"hash/maphash"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
)

// The directory answers one question: which loops of this node have members of a room?
//
// It is divided into lanes by a keyed hash of the room's name (keyed, so that nobody can choose names that all fall into one
// lane). A lane is a mutex, a sequence and a map from name to entry. An entry is a set of loops, one bit each. The code that
// sequences publications (the embedded bus, or the bridge's receiving side) holds the lane's mutex while it appends to the
// inboxes of all these loops. This mutex alone makes the order: while one goroutine holds it, no other goroutine appends
// publications of the lane. So two publications of one lane have the same order in all inboxes.
//
// Inboxes never block (see inbox.go), so the mutex is held for a few hundred nanoseconds and two loops cannot deadlock.

// MaxLoops is how many loops a node can have: the number of bits in an entry's set.
const MaxLoops = 64

// Entry is one room in the directory of a node.
type Entry struct {
	Name string

	loops    uint64                   // guarded by lane.mu: loops that have members of the room, or a join that the bus has not confirmed
	members  atomic.Int32             // number of members on this node
	presence atomic.Pointer[presence] // nil while nobody watches the room; set under lane.mu
	changed  atomic.Bool              // set under lane.mu: the count of members has changed since Changed last read it (countchanges.go)
	gap      atomic.Uint64            // the last gap that named the room (gaps.go)
	lane     uint32
	rooms    []*room // by loop, nil for a loop without members; each loop uses only its own element, to find the room of a publication

	flow flow
}

// Members is the number of members on this node.
func (e *Entry) Members() int { return int(e.members.Load()) }

// Directory has the rooms of a node and, for each room, the loops that have members in it. All methods may be called from any goroutine.
type Directory struct {
	lanes  []lane
	laneOf func(room string) int
	node   *Node
	rooms  atomic.Int64

	watched atomic.Bool   // Watch was called
	tick    atomic.Uint32 // of the first loop
}

type lane struct {
	mu       sync.Mutex
	entries  map[string]*Entry
	last     ID       // of the latest publication
	history  *history // nil until the node keeps one
	fences   fences
	presence presenceLane
	changes  changes
	drains   []*Entry      // rooms whose deferred publications go on at a drain rate (deferred.go)
	gap      atomic.Uint64 // the last gap that concerned all rooms of the lane (gaps.go)

	_ [64]byte // lanes are used by different CPUs: keep them in separate cache lines
}

// newDirectory makes n lanes. laneOf maps a room to a lane; nil means a hash with a key of this process.
func newDirectory(node *Node, n int, laneOf func(room string) int) *Directory {
	if laneOf == nil {
		seed := maphash.MakeSeed()
		laneOf = func(room string) int { return int(maphash.String(seed, room) % uint64(n)) }
	}
	d := &Directory{lanes: make([]lane, n), laneOf: laneOf, node: node}
	for i := range d.lanes {
		d.lanes[i].entries = map[string]*Entry{}
	}
	return d
}

// Lanes is the number of lanes.
func (d *Directory) Lanes() int { return len(d.lanes) }

// Rooms is the number of rooms with members on this node.
func (d *Directory) Rooms() int { return int(d.rooms.Load()) }

// Join sets the loop's bit and posts Joined to the loop, both under the lane's mutex. So publications that get their number
// later also come later in the loop's inbox.
func (d *Directory) Join(name string, l *Loop) {
	i := d.laneOf(name)
	ln := &d.lanes[i]
	ln.mu.Lock()
	e := ln.entries[name]
	if e == nil {
		e = &Entry{Name: name, lane: uint32(i), rooms: make([]*room, len(d.node.loops))}
		ln.entries[name] = e
		d.rooms.Add(1)
		d.Presences().presenceEntry(ln, e, false)
	}
	e.loops |= 1 << l.index
	last := ln.last
	if p := e.flow.firstDeferred(); p != nil {
		last = p.ID.before() // the loop gets what is deferred
	}
	ring := l.inbox.put(post{kind: postJoined, entry: e, at: &last})
	ln.mu.Unlock()
	if ring {
		l.ring()
	}
}

// Leave clears the loop's bit; a room without loops vanishes.
func (d *Directory) Leave(e *Entry, l *Loop) {
	ln := &d.lanes[e.lane]
	var rings uint64
	ln.mu.Lock()
	e.loops &^= 1 << l.index
	if e.loops == 0 {
		delete(ln.entries, e.Name)
		d.rooms.Add(-1)
		d.Presences().presenceEntry(ln, e, true)
		for _, p := range d.node.flows.drop(&e.flow) { // nobody is left to get it
			d.release(p)
			rings |= d.passBy(p, 0)
		}
	}
	ln.mu.Unlock()
	d.ring(rings)
}

// Name returns the name of a room, if this node needs its publications: it has members here, or the lane keeps a history.
func (d *Directory) Name(laneIndex int, room []byte) (name string, here bool) {
	ln := &d.lanes[laneIndex]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	switch e := ln.entries[string(room)]; {
	case e != nil:
		return e.Name, true
	case ln.history != nil:
		return ln.history.name(room), true
	}
	return "", false
}

// Deliver appends publications of a lane, which have their IDs, to the inboxes of the loops that have members of their rooms.
// The caller must make the calls for one lane one after the other, in the order of the IDs.
func (d *Directory) Deliver(laneIndex int, pubs []*Publication) { d.deliver(laneIndex, pubs, false) }

// DeliverLate is Deliver after an outage, when many publications come at once: slow members get more time to take them.
func (d *Directory) DeliverLate(laneIndex int, pubs []*Publication) { d.deliver(laneIndex, pubs, true) }

func (d *Directory) deliver(laneIndex int, pubs []*Publication, late bool) {
	ln := &d.lanes[laneIndex]
	var rings uint64
	ln.mu.Lock()
	for _, p := range pubs {
		if !d.admit(ln, p) {
			d.discard(p)
			continue
		}
		d.keep(ln, p)
		if p.Kind == KindPresence {
			d.Presences().hearPresence(ln, p)
			continue
		}
		rings |= d.enter(ln, p, late)
	}
	ln.mu.Unlock()
	d.ring(rings)
}

// place appends p to the inbox of every loop that has its room e, and returns the loops whose doorbell must ring. lane.mu is
// held.
func (d *Directory) place(e *Entry, p *Publication) (rings uint64) {
	if p.entry != e || e == nil { // otherwise Reserve has reserved the bytes
		d.release(p)
		d.reserve(e, p)
	}
	if e == nil {
		return d.passBy(p, 0)
	}
	if p.delivered {
		e.flow.reserve(srcRemote, int64(p.weight()))
	}
	p.loops.Store(int32(bits.OnesCount64(e.loops)))
	for set := e.loops; set != 0; set &= set - 1 {
		i := bits.TrailingZeros64(set)
		if d.node.loops[i].inbox.put(post{kind: postPublication, pub: p}) {
			rings |= 1 << i
		}
	}
	return rings | d.passBy(p, e.loops)
}

// passBy tells the loop of p's publisher that p has its place, unless that loop is one of those that get p: the publisher may have
// left the room. lane.mu is held.
func (d *Directory) passBy(p *Publication, loops uint64) (rings uint64) {
	i := p.Origin.Loop()
	if p.Origin != 0 && loops>>i&1 == 0 && d.node.loops[i].inbox.put(post{kind: postPassed, pub: p}) {
		rings = 1 << i
	}
	return rings
}

// Reserve reserves the room's credit for p before a bus gives p its number, so that publishers also wait for publications that
// are on their way through other machines. After Deliver the loops release the credit once they have fanned p out. Node.Refuse,
// Node.Doubt and Node.Lose release it at once.
func (d *Directory) Reserve(p *Publication) {
	e := p.from
	if e == nil {
		e = d.Lookup(p.Room)
	}
	d.reserve(e, p)
}

func (d *Directory) reserve(e *Entry, p *Publication) {
	if e != nil {
		p.entry = e
		e.flow.reserve(srcLocal, int64(p.weight()))
	}
}

// release releases the room's credit for p, if it was reserved.
func (d *Directory) release(p *Publication) {
	e := p.entry
	if e == nil {
		return
	}
	p.entry = nil
	if d.node.flows.release(&e.flow, srcLocal, int64(p.weight())) {
		d.node.resume()
	}
}

// laneIndex is the lane of p's room.
func (d *Directory) laneIndex(p *Publication) int {
	if p.from != nil {
		return int(p.from.lane)
	}
	return d.laneOf(p.Room)
}

// keep notes the place of p in its lane, tells its publisher, and keeps p in the history if there is one. lane.mu is held.
func (d *Directory) keep(ln *lane, p *Publication) {
	p.settle(Placed)
	p.stamp(&d.node.cfg.Encodings)
	if p.ID.Tag == 0 {
		return
	}
	ln.last = p.ID
	h := ln.history
	if h == nil {
		return
	}
	switch {
	case p.Kind.Notice() && !h.fresh && h.floor.Tag == p.ID.Tag:
		return
	case h.fresh: // some publications of this batch may have been left out
		h.restart(ID{Seq: p.ID.Seq, Index: lastIndex, Tag: p.ID.Tag})
		return
	case h.floor.Tag != p.ID.Tag:
		h.restart(p.ID.before())
		if p.Kind.Notice() {
			return
		}
	case p.ID.compare(h.floor) <= 0:
		return
	}
	if p.Kind != KindPresence {
		h.append(p.Room, p, d.tick.Load())
	}
}

// Reached tells the lane that everything up to the batch seq was delivered, also if this node needed nothing of it. A bus that leaves
// publications out must call it after each batch, so that a room knows its place from the first join on. Like Deliver, it is called
// by one goroutine at a time.
func (d *Directory) Reached(laneIndex int, seq uint64, tag uint32) {
	ln := &d.lanes[laneIndex]
	ln.mu.Lock()
	ln.last = ID{Seq: seq, Index: lastIndex, Tag: tag}
	ln.mu.Unlock()
}

// HistoryBytes is the memory of all histories. Any goroutine.
func (n *Node) HistoryBytes() (bytes int64) {
	for i := range n.dir.lanes {
		ln := &n.dir.lanes[i]
		ln.mu.Lock()
		if ln.history != nil {
			bytes += ln.history.bytes
		}
		ln.mu.Unlock()
	}
	return bytes
}

// KeepHistory makes every lane keep its latest publications from now on. The calls after the first do nothing. partial says that the
// bus connects this node to others: until now it has left out publications into rooms without members here (Directory.Name), so a
// history begins with the next batch, or with what the bus gives to a Fill. It reports whether it was the first call; then a bus
// that is partial must fill or abandon each lane. Any goroutine.
func (n *Node) KeepHistory(partial bool) (first bool) {
	if n.cfg.HistoryBytes == 0 || n.keeps.Swap(true) {
		return false
	}
	for i := range n.dir.lanes {
		ln := &n.dir.lanes[i]
		ln.mu.Lock()
		ln.history = newHistory(n.cfg.HistoryBytes/int64(len(n.dir.lanes)), ticks(n.cfg.HistoryAge), ln.last)
		ln.history.fresh, ln.history.partial, ln.history.filling = partial, partial, partial
		ln.mu.Unlock()
	}
	return true
}

// entryOf is the room of p, nil if it has no members on this node. lane.mu is held.
func (ln *lane) entryOf(p *Publication) *Entry {
	if e := p.from; e != nil && e.loops != 0 { // the map no longer has an entry without loops
		return e
	}
	return ln.entries[p.Room]
}

// enter places a publication that a bus delivers, or defers it. lane.mu is held.
func (d *Directory) enter(ln *lane, p *Publication, late bool) (rings uint64) {
	e := ln.entryOf(p)
	p.delivered = true
	if e == nil {
		return d.place(nil, p)
	}
	p.Room = e.Name // otherwise p.Room would keep the memory of the whole batch
	src := srcRemote
	if p.entry == e {
		src = srcReturned
	}
	if d.node.flows.enter(&e.flow, p, src, late) {
		return d.place(e, p)
	}
	return d.placeDeferred(e) // the loops may have finished before waits was set
}

// placeDeferred places deferred publications, oldest first, as many as may go on. lane.mu is held.
func (d *Directory) placeDeferred(e *Entry) (rings uint64) {
	for p := d.node.flows.next(&e.flow); p != nil; p = d.node.flows.next(&e.flow) {
		rings |= d.place(e, p)
	}
	return rings
}

// resume goes on with deferred publications if the room can take more. Any goroutine that does not hold the mutex of a lane.
func (d *Directory) resume(e *Entry) {
	if !e.flow.defers() || !e.flow.open(srcRemote, d.node.flows.credit) { // nothing can go on, so the mutex is not needed
		return
	}
	ln := &d.lanes[e.lane]
	ln.mu.Lock()
	rings := d.placeDeferred(e)
	ln.mu.Unlock()
	d.ring(rings)
}

// drain begins a drain rate for the deferred publications of the room. It is called when the budget of a gate is used up,
// before the last member that keeps the gate closed lets it open. Any goroutine that does not hold the mutex of a lane.
func (d *Directory) drain(e *Entry) {
	ln := &d.lanes[e.lane]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if e.flow.drain() {
		ln.drains = append(ln.drains, e)
	}
}

// tickDrains lets the rooms with a drain rate have their bytes of this tick. Only the first loop's goroutine calls it.
func (d *Directory) tickDrains(tick uint32) {
	d.tick.Store(tick)
	for i := range d.lanes {
		ln := &d.lanes[i]
		var rings uint64
		ln.mu.Lock()
		if ln.history != nil {
			ln.history.shrink(tick)
		}
		if len(ln.fences) > 0 && tick%64 == 0 {
			ln.fences.forget(tick, ticks(d.node.cfg.FenceAge))
		}
		ln.drains = slices.DeleteFunc(ln.drains, func(e *Entry) bool {
			draining := d.node.flows.tick(&e.flow)
			rings |= d.placeDeferred(e)
			return !draining
		})
		ln.mu.Unlock()
		d.ring(rings)
	}
}

func (d *Directory) ring(set uint64) {
	for ; set != 0; set &= set - 1 {
		d.node.loops[bits.TrailingZeros64(set)].ring()
	}
}

// Lookup returns the entry of a room, nil if it has no members on this node.
func (d *Directory) Lookup(room string) *Entry {
	ln := &d.lanes[d.laneOf(room)]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	return ln.entries[room]
}

// Each calls f for every room, lane by lane, with the lane's mutex held: f must be short and must not call back.
func (d *Directory) Each(f func(*Entry)) {
	for i := range d.lanes {
		ln := &d.lanes[i]
		ln.mu.Lock()
		for _, e := range ln.entries {
			f(e)
		}
		ln.mu.Unlock()
	}
}
