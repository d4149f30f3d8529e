package loop

// A client whose connection broke does not know whether the messages that had no acknowledgement yet are in the room. They may still
// lie unread in the old socket, or wait for the bus. So when it resumes, it fences its former connection: a publication of KindFence
// takes a place in the lane. All nodes read the lane in one order, and each drops every publication of that sender behind the
// fence. The client becomes live behind the fence. Then it knows: the messages that have come back are in the room, and the others
// never will be.
//
// Only publications with a Ref name their sender, so only these are fenced.

// Fenced says whether a member's former connection was fenced.
type Fenced uint8

// The values of Fenced.
const (
	NotAsked  Fenced = iota
	IsFenced         // no publication of the former connection will come any more
	NotFenced        // the bus could not tell the other nodes
)

// Fence names a former connection.
type Fence struct {
	Sender uint64 // Sender.Me of its publications
	Value  []byte // given to Config.OnFence on all nodes
}

// fences are the senders whose publications into a lane are dropped. The lane's mutex guards them.
type fences map[uint64]uint32 // the tick of each fence

// admit notes a fence, and reports whether p may be delivered. lane.mu is held.
func (d *Directory) admit(ln *lane, p *Publication) bool {
	switch {
	case p.By == nil:
		return true
	case p.Kind == KindFence:
		if ln.fences == nil {
			ln.fences = fences{}
		}
		if p.ID.Tag != 0 { // otherwise the other nodes do not have it, and deliver what this node would drop
			ln.fences[p.By.Me] = d.tick.Load()
		}
		if d.node.cfg.OnFence != nil {
			d.node.cfg.OnFence(p.Value)
		}
		return true
	case ln.fences == nil:
		return true
	}
	_, fenced := ln.fences[p.By.Me]
	return !fenced
}

// discard ends a publication behind a fence. lane.mu is held.
func (d *Directory) discard(p *Publication) {
	d.release(p)
	if p.Origin != 0 {
		d.node.loops[p.Origin.Loop()].post(post{kind: postLost, pub: p})
	}
}

// forget removes old fences. The bus gives up a publication long before that.
func (f fences) forget(tick, age uint32) {
	for sender, at := range f {
		if tick-at > age {
			delete(f, sender)
		}
	}
}
