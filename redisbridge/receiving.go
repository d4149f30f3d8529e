package redisbridge

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"dotsconnect/loop"
)

// A lane delivers batches in their order. The link's goroutine delivers them as they come. While a loop of this node catches up
// (its inbox is over its limit), or the log must be read, batches wait in a queue for a temporary goroutine of the lane. Batches
// that do not fit into the queue are read from the log.

const (
	pageSize  = 64        // number of batches in one read of the log
	lateBytes = 256 << 10 // if more bytes than this wait in the queue, its batches count as late
)

// incoming holds the batches that were heard and not handled yet. The lane's mutex guards it.
type incoming struct {
	queue   [][]byte
	bytes   int64
	behind  bool // the log must be read
	running bool // the temporary goroutine runs, until queue is empty and behind is false
}

// hear handles a message of the channel, or queues it. The link's goroutine calls it; payload is valid until it returns.
func (l *lane) hear(payload []byte) {
	if len(payload) == 0 { // older nodes test their subscriptions with an empty message
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

// poke makes the lane read its log.
func (l *lane) poke() {
	l.mu.Lock()
	l.missed.behind = true
	l.start()
	l.mu.Unlock()
}

// start starts the temporary goroutine, which handles the missed batches, unless it runs already. mu is held.
func (l *lane) start() {
	if !l.missed.running {
		l.missed.running = true
		l.bridge.life.run(l.receive)
	}
}

// receive is the temporary goroutine. It ends when nothing is left to handle.
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

// handle handles a batch that came through the channel, if it is the next one. It returns the batches found to be lost. mu is
// held.
func (l *lane) handle(payload []byte, late bool) (v verdict, lost []*flight) {
	m, err := parseMessage(payload)
	var all batch
	if err == nil {
		all, err = l.parse(m.batch)
	}
	if err != nil { // the batch was damaged on its way, and the log has an undamaged copy; or another program publishes in the channel
		l.bridge.stats.foreign.Add(1)
		return verdictRead, nil
	}
	return l.judge(l.cur.live(m.at, all.id), m.at, all, late)
}

// parse reads a batch, with its publications into rooms that have members here. If this node sent the batch and awaits it, parse
// reads only the name, because the node has the publications. mu is held.
func (l *lane) parse(b []byte) (batch, error) {
	if senderOf(b) == l.bridge.node {
		id, err := checkBatch(b)
		if err != nil || l.out.awaits(id.n) {
			return batch{id: id}, err
		}
	}
	return parseBatch(b, l.find)
}

// judge carries out the cursor's decision about a batch. It returns the batches found to be lost. mu is held.
func (l *lane) judge(v verdict, at place, all batch, late bool) (verdict, []*flight) {
	defer l.reached()
	switch v {
	case verdictNext:
		return v, l.deliver(at, all, late)
	case verdictAlone:
		l.hearNotice(all.notice)
		if rooms := all.rooms(); len(rooms) > 0 {
			l.announce([]Gap{{Missed: uint64(len(all.pubs)), Rooms: rooms, Reason: "while Redis was away, this node delivered messages of its own members at another place in the order than other nodes"}})
		}
	}
	return v, nil
}

// deliver hands the publications of a batch to the loops. If this node sent the batch, deliver uses the original publications.
// It returns the batches found to be lost. mu is held.
func (l *lane) deliver(at place, all batch, late bool) (lost []*flight) {
	b, pubs := l.bridge, all.pubs
	tag := l.tagIn(at.epoch)
	for _, p := range pubs {
		p.ID.Seq, p.ID.Tag = at.seq, tag
	}
	if all.id.node == b.node {
		var f *flight
		if f, lost = l.out.home(all.id.n); f != nil {
			pubs, all.notice = f.pubs, f.told
			loop.Number(pubs, tag, at.seq)
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

// reached tells the loops how far the lane has come. mu is held.
func (l *lane) reached() {
	if rooms, at := l.bridge.rooms, l.cur.at; rooms != nil && at.epoch != "" {
		rooms.Reached(l.index, at.seq, l.tagIn(at.epoch))
	}
}

// tagIn returns the tag of the lane's numbering in an epoch. mu is held.
func (l *lane) tagIn(epoch string) uint32 {
	if l.tagEpoch != epoch {
		l.tagEpoch, l.tag = epoch, loop.TagOf(place{epoch: epoch}.number(), l.bridge.accord.meta.keyText(), l.index)
	}
	return l.tag
}

// hearNotice announces the messages that another node delivered only to its own members. n may be nil.
func (l *lane) hearNotice(n *notice) {
	if n != nil {
		l.announce([]Gap{n.gap()})
	}
}

var errAway = errors.New("no connection to the server that has the lane")

// catchUp reads the log from the cursor to the end. While Redis does not answer, catchUp tries again. If the lane has no link,
// it stops, because the lane reads the log again when it gets its next link.
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
			if timedOut(err) { // a page may be larger than the connection can carry within the time limit of a call
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

// refill delivers a page of the log. Between two batches it releases the mutex, so that no loop waits for a whole page. Meanwhile
// only the goroutine that calls refill moves the cursor.
func (l *lane) refill(p page) (more bool) {
	var lost []*flight
	l.mu.Lock()
	refilled := uint64(0)
	more = l.cur.refill(p, l.parse, func(v verdict, at place, all batch) {
		l.announce(l.cur.takeGaps()) // now, so that the gap is announced at its place between the batches
		_, some := l.judge(v, at, all, true)
		lost = append(lost, some...)
		refilled++
		l.mu.Unlock()
		l.mu.Lock()
	})
	if !more {
		lost = append(lost, l.out.missed(l.cur.at)...)
	}
	l.reached()
	l.announce(l.cur.takeGaps())
	l.offer(l.bridge.awake.read()) // publish.lua may have to begin a new epoch
	l.mu.Unlock()
	l.bridge.stats.refilled.Add(refilled)
	l.bridge.settleLost(lost)
	return more
}
