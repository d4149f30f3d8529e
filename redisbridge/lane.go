package redisbridge

import (
	"context"
	"sync"
	"sync/atomic"

	"dotsconnect/loop"
)

// A lane is a shard of the rooms with one order. On a node it has two goroutines: the sender takes what waits in the outbox
// to Redis, the receiver delivers what comes back and refills holes. They share what mu guards, and never hold it while
// they wait for Redis: Publish takes it on the goroutine of a loop.
type lane struct {
	// Immutable.
	bridge *Bridge
	index  int

	mu       sync.Mutex // guards all below
	out      outbox
	cur      cursor
	localSeq uint64 // of the node's own epoch, while Redis is away under the policy local
	localN   uint64 // publications delivered under it and not announced yet

	work     chan struct{} // for the sender: something is queued, or must be healed
	incoming incoming      // for the receiver

	listening atomic.Bool           // subscribed and confirmed
	group     atomic.Pointer[group] // that it was subscribed in last
	heard     atomic.Uint64         // messages that came through the channel
	busy      atomic.Bool           // the receiver is at work
}

func newLane(b *Bridge, index int) *lane {
	l := &lane{bridge: b, index: index, work: make(chan struct{}, 1)}
	l.incoming.limit = b.cfg.MaxWaiting
	l.incoming.bell = make(chan struct{}, 1)
	return l
}

// begin puts the lane where Redis is now: what was before is not for this node. A lane that was never numbered is numbered
// first; or its first epoch could come and go while we are not listening, and nobody would know that we missed it.
func (l *lane) begin(publish func(call) (answer, error), read func(from uint64, count int) (page, error)) error {
	p, err := read(0, 0)
	if err == nil && p.at.epoch == "" {
		l.out.n++
		id := ident{l.bridge.node, l.out.n}
		if _, err = publish(call{lane: l.index, id: id, random: l.bridge.random(), batch: string(appendBatch(nil, id, nil))}); err == nil {
			p, err = read(0, 0)
		}
	}
	if err == nil {
		p, err = read(p.at.seq, 1) // with the batch that stands there
	}
	l.cur.begin(p)
	return err
}

// publish queues p, or does what the policy says when Redis is away. A loop's goroutine.
func (l *lane) publish(p *loop.Publication) {
	held := heldBytes(p)
	l.mu.Lock()
	switch {
	case !l.out.down:
		idle := len(l.out.queue) == 0 && l.out.flight == nil
		l.out.add(p)
		l.mu.Unlock() // from here on p may be delivered
		l.bridge.hold(held)
		l.wake()
		if idle {
			l.bridge.woke.Store(true)
		}
		return
	case l.bridge.cfg.Down == Local:
		l.deliverLocally([]*loop.Publication{p})
	default:
		l.bridge.reject(p)
	}
	l.mu.Unlock()
}

func (l *lane) wake() {
	select {
	case l.work <- struct{}{}:
	default:
	}
}

// deliverLocally gives publications to the members of this node alone. mu is held.
func (l *lane) deliverLocally(pubs []*loop.Publication) {
	if len(pubs) == 0 {
		return
	}
	l.localSeq++
	l.localN += uint64(len(pubs))
	l.bridge.stats.local.Add(uint64(len(pubs)))
	l.bridge.dir.Deliver(l.index, l.bridge.localEpoch, l.localSeq, pubs)
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

// top is the latest place that was ever seen.
func (l *lane) top() place {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cur.top
}

// incoming is what was received and not handled yet. The receive loop puts and never waits; what is over the limit is let
// go, and the receiver is told to read the log.
type incoming struct {
	mu     sync.Mutex
	queue  []string
	bytes  int64
	limit  int64
	behind bool
	bell   chan struct{}
}

func (in *incoming) put(payload string) {
	in.mu.Lock()
	if in.bytes+int64(len(payload)) > in.limit {
		in.behind = true
	} else {
		in.queue = append(in.queue, payload)
		in.bytes += int64(len(payload))
	}
	in.mu.Unlock()
	in.ring()
}

// poke asks the receiver to read the log.
func (in *incoming) poke() {
	in.mu.Lock()
	in.behind = true
	in.mu.Unlock()
	in.ring()
}

func (in *incoming) ring() {
	select {
	case in.bell <- struct{}{}:
	default:
	}
}

// take waits for something and takes all of it; ok is false when ctx is done.
func (in *incoming) take(ctx context.Context, reuse []string) (queue []string, bytes int64, behind, ok bool) {
	select {
	case <-ctx.Done():
		return nil, 0, false, false
	case <-in.bell:
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	clear(reuse)
	queue, in.queue = in.queue, reuse[:0]
	behind, in.behind = in.behind, false
	bytes, in.bytes = in.bytes, 0
	return queue, bytes, behind, true
}
