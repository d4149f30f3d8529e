package redisbridge

import (
	"sync"
	"sync/atomic"
	"time"
)

// A lane is a shard of the rooms with one order. Publications go into its outbox, from which the link to its server takes batches
// (sending.go). The link's goroutine delivers batches that arrive; a goroutine of the lane delivers missed batches
// (receiving.go). The two goroutines share the fields that mu guards. They never hold mu while they wait for Redis, because
// Publish takes it on the goroutine of a loop.
type lane struct {
	// Immutable.
	bridge *Bridge
	index  int
	find   finder

	mu     sync.Mutex // guards all fields below
	out    outbox
	cur    cursor
	missed incoming
	link   *link // the link on which the lane is subscribed; nil if there is none
	listed bool  // the lane is in its link's list of ready lanes

	localSeq uint64 // last seq in the node's own epoch, for publications delivered here while Redis is away, under the policy local
	untold   notice // what the other nodes must be told about those publications

	tag      uint32 // of the ids in tagEpoch
	tagEpoch string

	counter place // the lane's counter as read by the last beat

	reach atomic.Int64 // how far back the log reaches, in seconds; 0: unknown
	good  atomic.Int64 // time from the start of the bridge to the start of the last completed round trip
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

// begin sets the lane to its current position in Redis: this node gets nothing from before. If the lane has no counter yet,
// begin publishes an empty batch, so that the lane gets one. Otherwise the first epoch of the lane could begin and end before
// this node is subscribed, and the node would not know that it missed the epoch.
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
		p, err = read(question{from: p.at.seq, count: 1, nodes: true}) // this reads the batch at that place, too
	}
	l.cur.begin(p)
	return err
}

// attach tells the lane that it is subscribed on a link. Batches published while it had no link are in the log.
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

// detach tells the lane that it is no longer on the link.
func (l *lane) detach(k *link) {
	l.mu.Lock()
	if l.link == k {
		l.link, l.listed = nil, false
	}
	l.mu.Unlock()
}

// server returns the client for slow calls to the server that has the lane, or nil if there is none at the moment.
func (l *lane) server() *slow {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.link == nil {
		return nil
	}
	return l.link.slow
}

// announce reports gaps. mu may be held.
func (l *lane) announce(gaps []Gap) {
	for _, g := range gaps {
		g.Lane = l.index
		l.bridge.gap(g)
	}
}

// position returns the place of the last batch that was taken.
func (l *lane) position() place {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cur.at
}
