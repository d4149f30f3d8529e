package redisbridge

import (
	"sync"
	"sync/atomic"
	"time"
)

// A lane is a shard of the rooms with one order. What is published goes into its outbox, from where the link of the server that has
// it takes batches (sending.go); what comes back is delivered by the link's goroutine, and what was missed by one of its own
// (receiving.go). They share what mu guards, and never hold it while they wait for Redis: Publish takes it on the goroutine of
// a loop.
type lane struct {
	// Immutable.
	bridge *Bridge
	index  int
	find   finder

	mu     sync.Mutex // guards all below
	out    outbox
	cur    cursor
	missed incoming
	link   *link // that it is subscribed on; nil: there is none
	listed bool  // in the link's list of those that are ready

	localSeq uint64 // of the node's own epoch, while Redis is away under the policy local
	untold   notice // what was delivered under it, until the other nodes are told

	counter place // of the last beat

	reach atomic.Int64 // of the log, in seconds; 0: unknown
	good  atomic.Int64 // when the last round trip was begun that came to its end, since the bridge began
}

func newLane(b *Bridge, index int) *lane {
	l := &lane{bridge: b, index: index}
	l.find = func(name []byte) (room string, here bool) {
		if room, here = b.dir.Name(index, name); !here && laneOf(&b.accord.meta, name) != index {
			b.stray(name)
		}
		return room, here
	}
	return l
}

// begin puts the lane where Redis is now: what was before is not for this node. A lane that was never numbered is numbered
// first; or its first epoch could come and go while we are not listening, and nobody would know that we missed it.
func (l *lane) begin(publish func(call) (answer, error), read func(question) (page, error)) error {
	p, err := read(question{})
	if err == nil && p.at.epoch == "" {
		l.out.n++
		id := ident{l.bridge.node, l.out.n}
		if _, err = publish(call{lane: l.index, id: id, batch: appendBatch(nil, l.bridge.format(), id, nil, nil), left: time.Minute}); err == nil {
			p, err = read(question{})
		}
	}
	if err == nil {
		p, err = read(question{from: p.at.seq, count: 1, nodes: true}) // with the batch that stands there
	}
	l.cur.begin(p)
	return err
}

// attach says that the lane is subscribed on a link. What was published while it was on none is in the log.
func (l *lane) attach(k *link) {
	l.mu.Lock()
	l.link, l.listed = k, false
	if f := l.out.flight; f != nil {
		f.due = 0
	}
	l.offer(l.bridge.awake.read())
	l.mu.Unlock()
	l.poke()
	l.bridge.presence.ring()
}

// detach says that the lane is no longer on the link.
func (l *lane) detach(k *link) {
	l.mu.Lock()
	if l.link == k {
		l.link, l.listed = nil, false
	}
	l.mu.Unlock()
}

// server is the client for slow calls to the server that has the lane, nil if there is none now.
func (l *lane) server() *slow {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.link == nil {
		return nil
	}
	return l.link.slow
}

// announce tells of gaps. mu may be held.
func (l *lane) announce(gaps []Gap) {
	for _, g := range gaps {
		g.Lane = l.index
		l.bridge.gap(g)
	}
}

// position is the last place that was taken.
func (l *lane) position() place {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cur.at
}
