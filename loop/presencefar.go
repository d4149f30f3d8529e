package loop

import (
	"maps"
	"slices"
)

// Presence over several nodes. Only nodes with watchers of a room have names in it, because each listed member is a watcher. So
// nodes without watchers need not do anything: the bus counts their members anyway (PresenceElsewhere).
//
// A node that begins to watch a room publishes its own users into the room, and asks the others for theirs; each node that watches
// the room answers with all its users. From then on each of them publishes the changes of its own users, at most once a second,
// as long as it knows of another node that watches the room. These publications go through the lane like messages, so all of them
// arrive in the order in which they were sent, or the bus reports a gap. They are numbered, so a node notices if one is missing, and
// asks again.
//
// A second after its own request has come back, a node assumes that all nodes have answered, and gives its watchers the list. An
// answer that comes later is merged like a change, but the watchers get the whole list, so that they do not see people join who
// were there before.
//
// The users of a node that is gone (PresenceGone) leave. If it comes back (PresenceBack), the other nodes ask again, and their
// watchers get the whole list. While the bus is away, nobody leaves. If publications were lost meanwhile, the nodes ask again.

// farPatience is how much longer than usual a node may take to answer, in ticks.
const farPatience = 50

// farPresence is what a node knows of the other nodes that watch a room, and what it must tell them. The lane's mutex guards it.
type farPresence struct {
	nodes  map[uint64]*farNode
	counts map[uint64]int // members of the room, by node, as the bus has counted them

	sent     uint64  // number of the last publication
	count    int     // members of the room that the others know
	unsent   []*user // users whose number of connections here has changed
	full     bool    // the next publication has all users …
	asks     bool    // … and asks for those of the other nodes
	answer   bool    // it must not wait
	nameless bool    // the last one had no names
	due      uint32  // tick from which on it may be sent
	ending   bool    // nobody watches the room here, and the others are being told …
	ended    bool    // … or were told

	fresh  bool   // nothing is known of the others yet
	listed bool   // the answers of the others come until …
	until  uint32 // … this tick
	sweeps bool   // a while later, nodes that have not answered are forgotten: they do not watch the room any more
}

// farNode is another node that watches the room.
type farNode struct {
	number   uint64 // of its last publication
	count    int
	users    map[string]int
	nameless bool
	silent   bool // it has not answered the last request
}

// meet begins the exchange with other nodes, if there may be any.
func (p *presence) meet(self uint64) {
	if self != 0 {
		p.far = &farPresence{nodes: map[uint64]*farNode{}, full: true, asks: true, answer: true, fresh: true}
	}
}

// settled reports whether the other nodes have told what they know.
func (p *presence) settled() bool { return p.far == nil || !p.far.fresh }

// learns reports whether the watchers are not told anything now: they have no state, and it is not known yet, or the answers of the
// other nodes are about to come.
func (f *farPresence) learns(told bool) bool { return f != nil && (f.fresh && !told || f.listed) }

// whole reports whether the users of all nodes are known.
func (p *presence) whole() bool {
	if p.far == nil {
		return true
	}
	for _, n := range p.far.nodes {
		if n.nameless {
			return false
		}
	}
	return !p.far.fresh
}

// members is the number of members of the room on the other nodes.
func (f *farPresence) members() (n int) {
	if f == nil {
		return 0
	}
	for _, node := range f.nodes {
		n += node.count
	}
	for node, count := range f.counts {
		if f.nodes[node] == nil {
			n += count
		}
	}
	return n
}

// unsent notes that the other nodes must be told of u.
func (p *presence) unsent(u *user) {
	if p.far != nil && !u.unsent {
		u.unsent = true
		p.far.unsent = append(p.far.unsent, u)
	}
}

// ask makes the node ask the others again, for example because something is missing.
func (f *farPresence) ask() { f.full, f.asks = true, true }

// over reports whether the other nodes know nothing of this one.
func (f *farPresence) over() bool { return f == nil || f.sent == 0 || f.ended }

// resume tells the other nodes again that this node watches the room.
func (f *farPresence) resume() {
	if f != nil && f.ending {
		f.ending, f.ended = false, false
		f.ask()
	}
}

// waits reports whether there is something to do in a later tick.
func (f *farPresence) waits() bool {
	return f != nil && (f.full || f.listed || f.sweeps || len(f.unsent) > 0 && len(f.nodes) > 0)
}

// send returns what must be published for the other nodes, nil if there is nothing.
func (p *presence) send(tick uint32, self uint64) *Publication {
	f := p.far
	if f == nil {
		return nil
	}
	p.endRequest(tick)
	here := 0
	if p.entry != nil {
		here = p.entry.Members()
	}
	flags, ok := p.farFlags(tick, here)
	if !ok {
		return nil
	}
	f.sent++
	value := appendFar(nil, flags, self, f.sent, here)
	switch {
	case flags&(farNameless|farEnds) != 0:
	case flags&farFull != 0:
		for _, u := range p.users {
			if u.own > 0 {
				value = u.append(value)
			}
		}
	default:
		for _, u := range f.unsent {
			value = u.append(value)
		}
	}
	f.clear(p)
	f.count, f.full, f.answer, f.asks, f.due = here, false, false, false, tick+presenceEvery
	f.nameless, f.ending = flags&farNameless != 0, flags&farEnds != 0
	return &Publication{Room: p.room, Kind: KindPresence, Value: value, from: p.entry}
}

// endRequest is called in each tick. A while after a request, the answers have come.
func (p *presence) endRequest(tick uint32) {
	f := p.far
	if f.listed && int32(tick-f.until) >= 0 {
		f.listed, f.fresh, p.again = false, false, p.again || p.told
	}
	if f.sweeps && int32(tick-f.until) >= farPatience {
		f.sweeps = false
		for node, n := range f.nodes {
			if n.silent {
				p.forget(node)
			}
		}
	}
}

// farFlags returns the flags of the publication for the other nodes. ok is false if there is nothing to publish now. here is
// the number of members on this node.
func (p *presence) farFlags(tick uint32, here int) (flags byte, ok bool) {
	f := p.far
	most := 2 * mostNames
	if f.nameless {
		most = mostNames
	}
	switch {
	case !f.answer && int32(tick-f.due) < 0:
		return 0, false
	case p.idle():
		return farEnds, !f.over() && !f.ending
	case f.full && f.asks:
		flags = farFull | farAsks
	case f.full:
		flags = farFull
	case len(f.nodes) == 0:
		f.clear(p)
		return 0, false
	case len(f.unsent) == 0 && here == f.count:
		return 0, false
	}
	switch nameless := p.bytes > most; {
	case nameless:
		flags |= farFull | farNameless
	case f.nameless:
		flags |= farFull // there are names again
	}
	return flags, true
}

// clear notes that the others know everything, or that there are none.
func (f *farPresence) clear(p *presence) {
	for _, u := range f.unsent {
		if u.unsent = false; u.N == 0 && !u.changed {
			delete(p.users, u.User)
		}
	}
	f.unsent = nil
}

// hearPresence takes a publication of KindPresence that the bus delivers. lane.mu is held.
func (d Presences) hearPresence(ln *lane, pub *Publication) {
	d.release(pub)
	if p := ln.presence.rooms[pub.Room]; p != nil && p.far != nil {
		p.hear(pub.Value, d.node.presences.self, d.tick.Load())
		ln.presence.mark(p, d.tick.Load())
	}
}

// hear takes what a node has published.
func (p *presence) hear(value []byte, self uint64, tick uint32) {
	r := &farReader{rest: value}
	flags, node, number, count := r.byte(), r.uint64(), r.uvarint(), r.count()
	f := p.far
	if r.bad {
		return
	}
	if node == self {
		if flags&farAsks != 0 {
			f.listed, f.sweeps, f.until = true, true, tick+presenceEvery
			for _, n := range f.nodes {
				n.silent = true
			}
		}
		f.ended = f.ending && flags&farEnds != 0
		return
	}
	n := f.nodes[node]
	switch {
	case flags&farEnds != 0:
		p.forget(node)
		return
	case flags&farFull != 0:
		if n == nil {
			n = &farNode{users: map[string]int{}}
			f.nodes[node] = n
			p.again = p.again || p.told && number > 1 // its users were there before
		}
	case n == nil || number != n.number+1:
		f.ask()
		return
	}
	if flags&farAsks != 0 {
		f.full, f.answer = true, true
	}
	n.number, n.count, n.nameless = number, count, flags&farNameless != 0
	n.silent = n.silent && flags&farFull == 0
	named := map[string]bool{}
	for len(r.rest) > 0 && !r.bad {
		name, connections, info := string(r.text()), r.count(), r.text()
		if r.bad {
			break
		}
		named[name] = true
		p.set(n, name, connections)
		if connections > 0 {
			p.show(p.users[name], append([]byte(nil), info...))
		}
	}
	if flags&farFull != 0 {
		for name := range n.users {
			if !named[name] {
				p.set(n, name, 0)
			}
		}
	}
}

// set sets the number of connections that a user has on another node.
func (p *presence) set(n *farNode, name string, connections int) {
	if by := connections - n.users[name]; by != 0 {
		p.change(name, by)
	}
	if connections > 0 {
		n.users[name] = connections
	} else {
		delete(n.users, name)
	}
}

// forget removes a node that does not watch the room any more, or is gone.
func (p *presence) forget(node uint64) {
	if n := p.far.nodes[node]; n != nil {
		for name := range n.users {
			p.set(n, name, 0)
		}
		delete(p.far.nodes, node)
	}
}

// PresenceAs gives this node a name, which differs from the names of the other nodes of its bus. Call it before the first
// connection.
func (n *Node) PresenceAs(self uint64) { n.presences.self = self }

// PresenceGone tells the node that other nodes are gone: their members leave. Any goroutine.
func (d Presences) PresenceGone(nodes []uint64) {
	d.eachPresence(func(p *presence) {
		for _, node := range nodes {
			p.forget(node)
			delete(p.far.counts, node)
		}
	})
}

// PresenceBack tells the node that another node, of which PresenceGone was told, has come back. Any goroutine.
func (d Presences) PresenceBack() { d.eachPresence(func(p *presence) { p.far.ask() }) }

// PresenceRooms appends the rooms of a lane that are watched. Any goroutine.
func (d Presences) PresenceRooms(laneIndex int, rooms []string) []string {
	if d.node.presences.rooms.Load() == 0 {
		return rooms
	}
	ln := &d.lanes[laneIndex]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	for room := range ln.presence.rooms {
		rooms = append(rooms, room)
	}
	return rooms
}

// PresenceElsewhere says how many members a room has on other nodes, by their names. Any goroutine.
func (d Presences) PresenceElsewhere(room string, counts map[uint64]int) {
	ln := &d.lanes[d.laneOf(room)]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if p := ln.presence.rooms[room]; p != nil && p.far != nil && !maps.Equal(counts, p.far.counts) {
		p.far.counts = counts
		ln.presence.mark(p, d.tick.Load())
	}
}

// presenceGap makes the node ask the others again, because what they have told may be missing: in some rooms, or in all rooms of the
// lane if rooms is nil. lane.mu is held.
func (d Presences) presenceGap(ln *lane, rooms []string) {
	for name, p := range ln.presence.rooms {
		if p.far != nil && (rooms == nil || slices.Contains(rooms, name)) {
			p.far.ask()
			ln.presence.mark(p, d.tick.Load())
		}
	}
}

// presenceLost notes that the bus has not delivered what was told to the other nodes. Any goroutine.
func (d Presences) presenceLost(pub *Publication) {
	ln := &d.lanes[d.laneIndex(pub)]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if p := ln.presence.rooms[pub.Room]; p != nil && p.far != nil {
		p.far.ending = false // if that was what is lost, it is sent again
	}
	d.presenceGap(ln, []string{pub.Room})
}

func (d Presences) eachPresence(f func(p *presence)) {
	for i := range d.lanes {
		ln := &d.lanes[i]
		ln.mu.Lock()
		for _, p := range ln.presence.rooms {
			if p.far != nil {
				f(p)
				ln.presence.mark(p, d.tick.Load())
			}
		}
		ln.mu.Unlock()
	}
}
