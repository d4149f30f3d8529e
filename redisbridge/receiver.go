package redisbridge

import (
	"context"

	"dotsconnect/loop"
)

// The receiver of a lane delivers batches in their order. While a loop of this node catches up (its inbox is over its
// limit) it waits: the batches stay in incoming, and what does not fit there is read from the log later.

const (
	pageSize  = 64        // batches that are read from the log at once
	lateBytes = 256 << 10 // so much at once through the channel did not just come
)

// receive is the goroutine.
func (l *lane) receive(ctx context.Context) {
	var queue []string
	for {
		var bytes int64
		var behind, ok bool
		if queue, bytes, behind, ok = l.incoming.take(ctx, queue); !ok {
			return
		}
		l.busy.Store(true)
		l.awaitLoops(ctx)
		for i := range queue {
			if l.handle(queue[i], bytes > lateBytes) == verdictRead {
				l.catchUp(ctx)
			}
		}
		if behind {
			l.catchUp(ctx)
		}
		l.busy.Store(false)
	}
}

// awaitLoops waits until no loop is over its inbox limit.
func (l *lane) awaitLoops(ctx context.Context) {
	for l.bridge.loops.Congested() > 0 && ctx.Err() == nil {
		pause(ctx, firstPause)
	}
}

// handle takes a batch that came through the channel, if it is its turn.
func (l *lane) handle(payload string, late bool) verdict {
	m, err := parseMessage(payload)
	var id ident
	if err == nil {
		id, _, err = parseIdent(m.batch)
	}
	if err != nil { // somebody else publishes there
		l.bridge.stats.foreign.Add(1)
		return verdictKnown
	}
	l.mu.Lock()
	v := l.cur.live(m.at, id)
	var lost []*flight
	if v == verdictNext {
		lost = l.deliver(m.at, id, m.batch, late)
	}
	l.mu.Unlock()
	l.bridge.settleLost(lost)
	return v
}

// deliver hands a batch to the loops: our own as the publications that they were. mu is held. What it returns is lost.
func (l *lane) deliver(at place, id ident, batch string, late bool) (lost []*flight) {
	b := l.bridge
	var pubs []*loop.Publication
	if id.node == b.node {
		var f *flight
		if f, lost = l.out.home(id.n); f != nil {
			pubs = f.pubs
			b.release(f.bytes)
		}
	}
	if pubs == nil {
		var err error
		if _, pubs, err = parseBatch(batch); err != nil {
			b.stats.foreign.Add(1)
			return lost
		}
	}
	b.stats.received.Add(uint64(len(pubs)))
	switch {
	case len(pubs) == 0:
	case late:
		b.dir.DeliverLate(l.index, at.number(), at.seq, pubs)
	default:
		b.dir.Deliver(l.index, at.number(), at.seq, pubs)
	}
	return lost
}

// catchUp reads the log from the cursor on until there is no more. It goes on trying while Redis does not answer.
func (l *lane) catchUp(ctx context.Context) {
	wait, count := firstPause, pageSize
	for ctx.Err() == nil {
		l.awaitLoops(ctx)
		l.mu.Lock()
		from := l.cur.from()
		l.mu.Unlock()
		p, err := l.bridge.store.read(ctx, l.index, from, count, false)
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
// the receiver moves the cursor on.
func (l *lane) refill(p page) (more bool) {
	var lost []*flight
	l.mu.Lock()
	refilled := uint64(0)
	more = l.cur.refill(p, func(at place, id ident, batch string) {
		l.announce(l.cur.takeGaps()) // where it stands, between what is delivered
		lost = append(lost, l.deliver(at, id, batch, true)...)
		refilled++
		l.mu.Unlock()
		l.mu.Lock()
	})
	if !more {
		lost = append(lost, l.out.missed(l.cur.at)...)
	}
	l.announce(l.cur.takeGaps())
	heal := l.cur.heal
	l.mu.Unlock()
	l.bridge.stats.refilled.Add(refilled)
	l.bridge.settleLost(lost)
	if heal {
		l.wake()
	}
	return more
}
