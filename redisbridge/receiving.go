package redisbridge

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"dotsconnect/loop"
)

// A lane delivers batches in their order. The link's goroutine does it as they come; but while a loop of this node catches up (its
// inbox is over its limit), or the log must be read, they wait for a goroutine that the lane has for as long. What does not fit
// into its queue is read from the log.

const (
	pageSize  = 64        // batches that are read from the log at once
	lateBytes = 256 << 10 // so much at once did not just come
)

// incoming is what was heard and not handled yet. The lane's mutex guards it.
type incoming struct {
	queue   [][]byte
	bytes   int64
	behind  bool // the log must be read
	running bool // a goroutine is at work, until both are empty
}

// hear takes what came through the channel. The link's goroutine; payload is good until it returns.
func (l *lane) hear(payload []byte) {
	if len(payload) == 0 { // older nodes try their subscriptions so
		return
	}
	idle := l.bridge.loops.Congested() == 0
	l.mu.Lock()
	m := &l.missed
	if !m.running && idle {
		v, lost := l.handle(payload, false)
		if m.behind = v == verdictRead; !m.behind {
			l.mu.Unlock()
			l.bridge.settleLost(lost)
			return
		}
	} else if m.bytes+int64(len(payload)) > l.bridge.cfg.MaxWaiting {
		m.behind = true
	} else {
		m.queue = append(m.queue, append([]byte(nil), payload...))
		m.bytes += int64(len(payload))
	}
	l.start()
	l.mu.Unlock()
}

// poke has the log read.
func (l *lane) poke() {
	l.mu.Lock()
	l.missed.behind = true
	l.start()
	l.mu.Unlock()
}

// start has a goroutine handle what was missed. mu is held.
func (l *lane) start() {
	if !l.missed.running {
		l.missed.running = true
		l.bridge.life.run(l.receive)
	}
}

// receive is the goroutine. It ends when nothing is left.
func (l *lane) receive(ctx context.Context) {
	for ctx.Err() == nil {
		l.awaitLoops(ctx)
		l.mu.Lock()
		m := &l.missed
		queue, bytes, behind := m.queue, m.bytes, m.behind
		m.queue, m.bytes, m.behind = nil, 0, false
		if len(queue) == 0 && !behind {
			m.running = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		for _, payload := range queue {
			l.mu.Lock()
			v, lost := l.handle(payload, bytes > lateBytes)
			l.mu.Unlock()
			l.bridge.settleLost(lost)
			if v == verdictRead {
				l.catchUp(ctx)
			}
		}
		if behind {
			l.catchUp(ctx)
		}
	}
}

// awaitLoops waits until no loop is over its inbox limit.
func (l *lane) awaitLoops(ctx context.Context) {
	for l.bridge.loops.Congested() > 0 && ctx.Err() == nil {
		pause(ctx, firstPause)
	}
}

// handle takes a batch that came through the channel, if it is its turn. mu is held. What it returns is lost.
func (l *lane) handle(payload []byte, late bool) (v verdict, lost []*flight) {
	m, err := parseMessage(payload)
	var all batch
	if err == nil {
		all, err = l.parse(m.batch)
	}
	if err != nil { // it was damaged on its way, and the log has it; or somebody else publishes there
		l.bridge.stats.foreign.Add(1)
		return verdictRead, nil
	}
	return l.judge(l.cur.live(m.at, all.id), m.at, all, late)
}

// parse reads a batch: the publications into rooms with members here, but none of our own that is awaited, for those are there.
// mu is held.
func (l *lane) parse(b []byte) (batch, error) {
	if senderOf(b) == l.bridge.node {
		id, err := checkBatch(b)
		if err != nil || l.out.awaits(id.n) {
			return batch{id: id}, err
		}
	}
	return parseBatch(b, l.find)
}

// judge does what the cursor has decided about a batch. mu is held. What it returns is lost.
func (l *lane) judge(v verdict, at place, all batch, late bool) (verdict, []*flight) {
	switch v {
	case verdictNext:
		return v, l.deliver(at, all, late)
	case verdictAlone:
		l.hearNotice(all.notice)
		if rooms := all.rooms(); len(rooms) > 0 {
			l.announce([]Gap{{Missed: uint64(len(all.pubs)), Rooms: rooms, Reason: "messages of this node stand elsewhere in the order than they were delivered here while Redis was away"}})
		}
	}
	return v, nil
}

// deliver hands a batch to the loops: our own as the publications that they were. mu is held. What it returns is lost.
func (l *lane) deliver(at place, all batch, late bool) (lost []*flight) {
	b, pubs := l.bridge, all.pubs
	for _, p := range pubs {
		p.ID.Epoch, p.ID.Seq = at.number(), at.seq
	}
	if all.id.node == b.node {
		var f *flight
		if f, lost = l.out.home(all.id.n); f != nil {
			pubs, all.notice = f.pubs, f.told
			loop.Number(pubs, at.number(), at.seq)
			b.held.release(f.bytes)
		}
	}
	l.hearNotice(all.notice)
	b.stats.received.Add(uint64(len(pubs)))
	switch {
	case len(pubs) == 0:
	case late:
		b.dir.DeliverLate(l.index, pubs)
	default:
		b.dir.Deliver(l.index, pubs)
	}
	return lost
}

// hearNotice announces what a node delivered alone; nil: nothing.
func (l *lane) hearNotice(n *notice) {
	if n != nil {
		l.announce([]Gap{n.gap()})
	}
}

var errAway = errors.New("no connection to the server that has the lane")

// catchUp reads the log from the cursor on until there is no more. It goes on trying while Redis does not answer; not while the lane
// has no link, for the next one begins with reading the log.
func (l *lane) catchUp(ctx context.Context) {
	wait, count := firstPause, pageSize
	for ctx.Err() == nil {
		l.awaitLoops(ctx)
		server := l.server()
		if server == nil {
			return
		}
		l.mu.Lock()
		q := l.cur.ask()
		l.mu.Unlock()
		q.count = count
		var p page
		err := server.do(ctx, func(c *redis.Client) (err error) {
			p, err = l.bridge.store.read(ctx, c, l.index, q)
			return err
		})
		if l.server() != server {
			return
		}
		if err != nil {
			l.bridge.failed(err)
			if timedOut(err) { // a page may be more than the link takes within the time of a call
				count = max(count/4, 1)
			}
			pause(ctx, wait)
			wait = min(2*wait, longestWait)
			continue
		}
		wait, count = firstPause, min(count+1, pageSize)
		if !l.refill(p) {
			return
		}
	}
}

// refill takes a page of the log. Between two batches it lets go of the mutex, so that no loop waits for a page: nobody but
// the receiver moves the cursor on meanwhile.
func (l *lane) refill(p page) (more bool) {
	var lost []*flight
	l.mu.Lock()
	refilled := uint64(0)
	more = l.cur.refill(p, l.parse, func(v verdict, at place, all batch) {
		l.announce(l.cur.takeGaps()) // where it stands, between what is delivered
		_, some := l.judge(v, at, all, true)
		lost = append(lost, some...)
		refilled++
		l.mu.Unlock()
		l.mu.Lock()
	})
	if !more {
		lost = append(lost, l.out.missed(l.cur.at)...)
	}
	l.announce(l.cur.takeGaps())
	l.offer(l.bridge.awake.read()) // it may have to be healed
	l.mu.Unlock()
	l.bridge.stats.refilled.Add(refilled)
	l.bridge.settleLost(lost)
	return more
}
