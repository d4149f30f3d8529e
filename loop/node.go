package loop

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Node is the loops of one process with their directory.
type Node struct {
	*settings
	loops []*Loop
	dir   *Directory
	bus   Bus

	flows flows        // decides whether a publication may be added now, and has the limits that all rooms share
	held  atomic.Int64 // bytes of all backlogs

	gaps    atomic.Uint64 // number of gaps so far (gaps.go)
	wideGap atomic.Bool   // whether a gap concerned a whole lane

	roomMembers, maxRooms atomic.Int64 // set by LimitRooms

	keeps atomic.Bool // KeepHistory was called

	presences presences

	offering sync.Mutex // held from the check whether a room admits a publication until it is published
}

// New makes the loops. Use must be called before the first connection.
func New(cfg Config) *Node {
	s := newSettings(cfg)
	cfg = s.cfg
	if cfg.Loops < 1 || cfg.Loops > MaxLoops {
		panic(fmt.Sprintf("loop: %d loops, want 1 to %d", cfg.Loops, MaxLoops))
	}
	n := &Node{settings: s, flows: flows{credit: cfg.RoomCredit, mostDeferred: cfg.ParkedTotal, stall: ticks(cfg.StallBudget),
		mostDrained: int64(cfg.HardBacklog-cfg.SoftBacklog) / 2}}
	n.LimitRooms(cfg.RoomMembers, cfg.MaxRooms)
	n.dir = newDirectory(n, cfg.Lanes, cfg.LaneOf)
	for i := range cfg.Loops {
		n.loops = append(n.loops, newLoop(n, i))
	}
	return n
}

// Use sets the bus.
func (n *Node) Use(b Bus) { n.bus = b }

// Directory tells the bus which loops have members of a room.
func (n *Node) Directory() *Directory { return n.dir }

// Loops returns the loops by index.
func (n *Node) Loops() []*Loop { return n.loops }

// Publish publishes from a source that is not a connection. It ignores back-pressure. value is copied. Any goroutine.
func (n *Node) Publish(room string, v Variant, kind Kind, value []byte) {
	n.bus.Publish(newPublication(&n.cfg.Encodings[v], v, room, 0, nil, kind, value))
}

// Offer publishes unless publishers must wait now, and reports whether it published. It is for sources that cannot be paused
// (the API). Concurrent calls are admitted one after the other, so together they exceed the limits by at most as much as one
// connection can. Any goroutine.
func (n *Node) Offer(room string, v Variant, kind Kind, value []byte) (accepted bool) {
	n.offering.Lock()
	defer n.offering.Unlock()
	if !n.admits(n.dir.Lookup(room)) {
		return false
	}
	n.Publish(room, v, kind, value)
	return true
}

// admits reports whether a publisher on this node may publish into a room now. e is nil for a room that has no members here, or
// before a connection has joined. Any goroutine.
func (n *Node) admits(e *Entry) bool {
	var f *flow
	if e != nil {
		f = &e.flow
	}
	return n.flows.admit(f, srcLocal)
}

// LimitRooms changes Config.RoomMembers and Config.MaxRooms. Members that are already in a room stay. Any goroutine.
func (n *Node) LimitRooms(members, rooms int) {
	n.roomMembers.Store(int64(members))
	n.maxRooms.Store(int64(rooms))
}

// Held is the number of bytes that all backlogs of the node hold; frames shared by several members count once.
func (n *Node) Held() int64 { return n.held.Load() }

// Parked is the number of bytes of publications of other nodes that are deferred.
func (n *Node) Parked() int64 { return n.flows.deferred.Load() }

// Reserved is the number of bytes in all accounts: of rooms, of loops, and of deferred publications. It is 0 when all accepted
// publications are fanned out. Reserved visits all rooms. Any goroutine.
func (n *Node) Reserved() (bytes int64) {
	for _, l := range n.loops {
		bytes += l.load.bytes.Load()
	}
	n.dir.Each(func(e *Entry) {
		for src := range numGates {
			bytes += e.flow.bytes[src].Load()
		}
	})
	return bytes + n.flows.deferred.Load()
}

// Congested is the number of loops that are over InboxLimit. While it is not 0, no loop accepts a message.
func (n *Node) Congested() int { return int(n.flows.congested.Load()) }

// HoldBack stops the parsing of every connection (true), or lets it go on (false). A bus calls it with true when it has as many
// bytes as it may hold. After that, a parse in progress may still publish one message in each loop. Any goroutine.
func (n *Node) HoldBack(on bool) {
	n.flows.busFull.Store(on)
	if !on {
		n.resume()
	}
}

// Refuse reports that the bus will not deliver p after all. The connection that published p is kicked with ReasonBackend. p must
// not have been delivered. Any goroutine.
func (n *Node) Refuse(p *Publication) { n.undelivered(postRefused, p) }

// Doubt reports that the bus does not know whether p reaches the other nodes. The connection that published p is kicked with
// ReasonDoubt. p must not have been delivered here. Any goroutine.
func (n *Node) Doubt(p *Publication) { n.undelivered(postDoubted, p) }

// Lose reports that the bus has lost p. The bus itself must tell the members, with Gap. p must not have been delivered. Any
// goroutine.
func (n *Node) Lose(p *Publication) { n.undelivered(postLost, p) }

func (n *Node) undelivered(kind postKind, p *Publication) {
	n.dir.release(p)
	switch {
	case p.Kind == KindPresence:
		n.dir.Presences().presenceLost(p)
	case kind == postRefused:
		p.settle(Refused)
	default:
		p.settle(Doubted)
	}
	if p.Origin != 0 {
		n.loops[p.Origin.Loop()].post(post{kind: kind, pub: p})
	}
}

// resume tells every loop to look at its paused connections. Any goroutine.
func (n *Node) resume() {
	for _, l := range n.loops {
		l.reader.resumed.Store(true)
		l.again()
	}
}
