package loop

import (
	"sync"
	"sync/atomic"
)

// The inbox is the only way into a loop from outside: for publications from the bus, confirmed joins, new connections,
// connections that the transport has closed, and calls.
//
// put never blocks and never fails. It is called under a lane's mutex: if it could block, two loops could wait there for each
// other's inbox and deadlock. Instead, credit limits the inbox: it is checked before a publication is accepted. A loop's load
// is the bytes of the publications in its inbox and in its unflushed batches. While the load of any loop is over
// Config.InboxLimit, no loop parses input (Conn.MayParse is asked before each frame), and TCP slows the senders down. When the
// loads of all loops that were over the limit are down to half of it, all loops go on.
//
// A room has credit too: while more than Config.RoomCredit bytes of its publications are not fanned out by all loops, its
// publishers are not parsed. So the bytes that a member gets at once stay below its limit, however many members publish at the
// same time. (If several loops check RoomCredit at the same moment, each may exceed it by one message.) So a burst does not
// cause a member that reads to be kicked.
//
// The doorbell wakes the loop's goroutine. rung limits this to one ring per turn, however many posts come.

type postKind uint8

const (
	postPublication postKind = iota
	postJoined
	postClosed
	postCall
	postRefused
	postDoubted
	postLost
	postPassed // pub has its place, but the loop of its publisher has no members of the room
)

type post struct {
	kind  postKind
	pub   *Publication
	entry *Entry
	conn  *Conn
	call  func(*Loop)
	at    *ID // postJoined: the last publication of the lane before it
}

type inbox struct {
	loop *Loop

	mu     sync.Mutex
	posts  []post
	adopts []*Conn
	rung   bool
	wanted bool // a ring was suppressed after hush
}

// put appends p and reports whether the caller has to ring.
func (in *inbox) put(p post) (ring bool) {
	if p.kind == postPublication {
		in.loop.load.reserve(p.pub.cost())
	}
	in.mu.Lock()
	in.posts = append(in.posts, p)
	ring = !in.rung
	in.rung, in.wanted = true, true
	in.mu.Unlock()
	return ring
}

func (in *inbox) adopt(c *Conn) (ring bool) {
	in.mu.Lock()
	in.adopts = append(in.adopts, c)
	ring = !in.rung
	in.rung, in.wanted = true, true
	in.mu.Unlock()
	return ring
}

// knock reports whether the caller has to ring to get a turn without a post.
func (in *inbox) knock() (ring bool) {
	in.mu.Lock()
	ring = !in.rung
	in.rung, in.wanted = true, true
	in.mu.Unlock()
	return ring
}

// hush keeps the doorbell from ringing until unhush, and reports whether it could. It cannot if the doorbell has rung already:
// then a turn will follow.
func (in *inbox) hush() (ok bool) {
	in.mu.Lock()
	ok = !in.rung
	in.rung, in.wanted = true, false
	in.mu.Unlock()
	return ok
}

// unhush ends hush. It reports whether a ring was suppressed; if so, the caller must run a turn.
func (in *inbox) unhush() (wanted bool) {
	in.mu.Lock()
	in.rung = in.wanted
	wanted = in.wanted
	in.mu.Unlock()
	return wanted
}

// take moves the contents of the inbox to two empty lists, once per turn. It does not look at the inbox a second time: under
// load the inbox is never empty.
func (in *inbox) take(posts *worklist[post], adopts *worklist[*Conn]) {
	in.mu.Lock()
	in.posts = posts.refill(in.posts)
	in.adopts = adopts.refill(in.adopts)
	in.rung = false
	in.mu.Unlock()
}

// takeAlone is take without the new connections. If there are any, it reports that the caller has to ring for them.
func (in *inbox) takeAlone(posts *worklist[post]) (ring bool) {
	in.mu.Lock()
	in.posts = posts.refill(in.posts)
	ring = len(in.adopts) > 0
	in.rung = ring
	in.mu.Unlock()
	return ring
}

// takePosts is take without the new connections; the doorbell still counts as rung.
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

// load is the account of a loop: the bytes of publications in its inbox, and in its batches until they are flushed.
type load struct {
	node  *Node
	limit int64 // Config.InboxLimit
	bytes atomic.Int64
	over  atomic.Bool // flows.congested counts this loop
}

// reserve adds n bytes. Any goroutine.
func (a *load) reserve(n int64) {
	if a.bytes.Add(n) > a.limit && a.over.CompareAndSwap(false, true) {
		a.node.flows.congested.Add(1)
	}
}

// release takes n bytes off the account. Only the loop's goroutine calls it.
func (a *load) release(n int64) {
	if a.bytes.Add(-n) < a.limit/2 {
		a.relieve()
	}
}

// relieve ends the congestion of this loop once the load is down to half of the limit. The last congested loop lets all loops
// go on. Only the loop's goroutine calls it. The loop also calls it once per turn, because reserve may set over at the moment
// at which the last bytes are released.
func (a *load) relieve() {
	if a.over.Load() && a.bytes.Load() < a.limit/2 && a.over.CompareAndSwap(true, false) {
		if a.node.flows.congested.Add(-1) == 0 {
			a.node.resume()
		}
	}
}
