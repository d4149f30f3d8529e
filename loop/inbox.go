package loop

import "sync"

// The inbox is the only way into a loop from outside: publications from the bus, joins confirmed, new connections,
// connections that the transport has closed, calls.
//
// put never blocks and never fails. It must not: it is called under a lane's mutex, and two loops that waited for each
// other's inbox there would never wake up. What bounds it is credit, given before anything is accepted: the bytes of
// publications that are in the inbox or in batches not yet flushed are the loop's load; while the load of some loop is
// over Config.InboxLimit, no loop parses input (Conn.MayParse is asked before each frame), TCP slows the senders down,
// and the loop that has drained to half of the limit lets all of them go on.
//
// A room has credit too: while more than Config.RoomCredit bytes of its publications wait to be fanned out by some loop, its
// publishers are not parsed. So what a member is given at once stays below its limit however many talk at once (RoomCredit
// and, for each loop that looked at the same moment, one message), and who reads is not kicked for a burst.
//
// The doorbell wakes the loop's goroutine out of its wait. rung makes it one ring per turn, however much is posted.

type postKind uint8

const (
	postPublication postKind = iota
	postJoined
	postClosed
	postCall
	postRefused
	postDoubted
	postLost
)

type post struct {
	kind  postKind
	pub   *Publication
	entry *Entry
	conn  *Conn
	call  func(*Loop)
}

type inbox struct {
	loop *Loop

	mu     sync.Mutex
	posts  []post
	adopts []*Conn
	rung   bool
}

// put appends p and reports whether the caller has to ring.
func (in *inbox) put(p post) (ring bool) {
	if p.kind == postPublication {
		in.loop.charge(p.pub.cost())
	}
	in.mu.Lock()
	in.posts = append(in.posts, p)
	ring = !in.rung
	in.rung = true
	in.mu.Unlock()
	return ring
}

func (in *inbox) adopt(c *Conn) (ring bool) {
	in.mu.Lock()
	in.adopts = append(in.adopts, c)
	ring = !in.rung
	in.rung = true
	in.mu.Unlock()
	return ring
}

// knock reports whether the caller has to ring although it posts nothing.
func (in *inbox) knock() (ring bool) {
	in.mu.Lock()
	ring = !in.rung
	in.rung = true
	in.mu.Unlock()
	return ring
}

// take moves the contents to two empty lists: one snapshot per turn. Never "until it is dry": under load it never is.
func (in *inbox) take(posts *worklist[post], adopts *worklist[*Conn]) {
	in.mu.Lock()
	in.posts = posts.refill(in.posts)
	in.adopts = adopts.refill(in.adopts)
	in.rung = false
	in.mu.Unlock()
}

// takePosts is take without the new connections; the doorbell stays rung.
func (in *inbox) takePosts(posts *worklist[post]) {
	in.mu.Lock()
	in.posts = posts.refill(in.posts)
	in.mu.Unlock()
}

func (l *Loop) post(p post) {
	if l.inbox.put(p) {
		l.ring()
	}
}

func (l *Loop) again() {
	if l.inbox.knock() {
		l.ring()
	}
}

func (l *Loop) ring() { l.cfg.Ring(l.index) }

// charge adds n bytes to the load of the loop. Any goroutine.
func (l *Loop) charge(n int64) {
	if l.load.Add(n) > l.cfg.InboxLimit && l.over.CompareAndSwap(false, true) {
		l.node.congested.Add(1)
	}
}

// settle takes n bytes from the load, and gives credit back to all loops once this one has drained to half.
func (l *Loop) settle(n int64) {
	if l.load.Add(-n) < l.cfg.InboxLimit/2 {
		l.relieve()
	}
}

// landed says that this loop has fanned p out, or has nobody for it; the last one gives its room the credit back.
func (l *Loop) landed(p *Publication) {
	if p.loops.Add(-1) != 0 {
		return
	}
	if !p.placed {
		l.node.credit(p)
		return
	}
	p.entry.placed.Add(-int64(p.weight()))
	l.node.credit(p)
	l.node.dir.resume(p.entry)
}

// credit gives p's room back what p took of it.
func (n *Node) credit(p *Publication) {
	weight, limit := int64(p.weight()), n.loops[0].cfg.RoomCredit
	if after := p.entry.flying.Add(-weight); after <= limit && after+weight > limit {
		n.resume()
	}
}

// relieve ends the congestion that this loop declared. Loop's goroutine; also called once a turn, because charge may
// declare it at the very moment in which the last bytes are settled.
func (l *Loop) relieve() {
	if l.over.Load() && l.load.Load() < l.cfg.InboxLimit/2 && l.over.CompareAndSwap(true, false) {
		if l.node.congested.Add(-1) == 0 {
			l.node.resume()
		}
	}
}
