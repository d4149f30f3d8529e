package redisbridge

import (
	"context"
	"time"

	"dotsconnect/loop"
)

// The sender takes a lane's publications to Redis, batch by batch. A batch is tried until it is settled: the script says
// where it stands, or it came back through the channel, whichever is first. After Config.Hold of trying the lane is down
// and the policy decides about everything that is not settled, and about everything that comes until an empty batch
// gets through.

const (
	firstPause  = 10 * time.Millisecond // between two tries
	longestWait = 250 * time.Millisecond
)

// send is the goroutine.
func (l *lane) send(ctx context.Context) {
	for ctx.Err() == nil {
		f := l.next()
		if f == nil {
			select {
			case <-ctx.Done():
			case <-l.work:
			}
			continue
		}
		l.try(ctx, f)
	}
}

// next cuts a batch, nil if there is nothing to do. While the lane is down, or something must be healed, it is an empty one.
func (l *lane) next() *flight {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.out.queue) == 0 && !l.out.down && !l.cur.heal {
		return nil
	}
	return l.out.cut(l.bridge.node, l.bridge.cfg.BatchMessages, l.bridge.cfg.BatchBytes, time.Now())
}

// try calls the script until the batch is settled or given up.
func (l *lane) try(ctx context.Context, f *flight) {
	limited, cancel := l.withinHold(ctx, f)
	defer cancel()
	wait := firstPause
	for {
		l.mu.Lock()
		c := call{lane: l.index, id: f.id, top: l.cur.claim(), random: l.bridge.random(), batch: f.batch}
		l.mu.Unlock()
		answer, err := l.bridge.store.publish(limited, c)
		if err == nil {
			l.settle(f, answer)
			return
		}
		l.bridge.failed(err)
		if l.cameBack(f) || ctx.Err() != nil {
			return
		}
		if down := l.isDown(); down || time.Since(f.began) >= l.bridge.cfg.Hold {
			l.giveUp(err)
			if down {
				pause(ctx, longestWait)
			}
			return
		}
		pause(limited, wait)
		wait = min(2*wait, longestWait)
	}
}

// withinHold ends calls with the hold time, however long a call may take by itself: the timeout of calls has doubled with
// each that ran out, in any lane, and would make messages wait for several times the hold time. A hold time that is
// shorter than what calls usually need does not cut them. While the lane is down nobody waits.
func (l *lane) withinHold(ctx context.Context, f *flight) (context.Context, context.CancelFunc) {
	if l.isDown() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, f.began.Add(max(l.bridge.cfg.Hold, l.bridge.store.pace.usual())))
}

// settle notes where the batch stands.
func (l *lane) settle(f *flight, a answer) {
	l.mu.Lock()
	l.out.settle(f, a.at)
	back, local := l.out.down, l.localN
	l.out.down, l.localN = false, 0
	l.cur.saw(a.at)
	lost := l.out.missed(l.cur.at)
	l.mu.Unlock()
	l.bridge.stats.published.Add(uint64(len(f.pubs)))
	l.bridge.stats.batches.Add(1)
	l.bridge.settleLost(lost)
	if a.minted != "" {
		l.bridge.minted(l.index, a)
	}
	if back && local > 0 {
		l.announce([]Gap{{Reason: "what was published here while Redis was away did not reach the other nodes"}})
	}
	if back {
		l.bridge.laneBack(l.index, local)
		l.incoming.poke()
	}
}

// cameBack settles a batch that was received although its call failed.
func (l *lane) cameBack(f *flight) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.back {
		l.out.flight = nil
	}
	return f.back
}

func (l *lane) isDown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.down
}

// giveUp is called when the hold time is over: the policy takes everything that is not settled. Locally it takes also what
// Redis has and did not send back in time: coming when Redis is back, it would stand behind what was said after it.
func (l *lane) giveUp(err error) {
	b := l.bridge
	l.mu.Lock()
	first := !l.out.down
	l.out.down = true
	given, queue, held := l.out.giveUp(b.cfg.Down == Local)
	var pubs []*loop.Publication
	for _, f := range given {
		pubs = append(pubs, f.pubs...)
		if b.cfg.Down == Local && len(f.pubs) > 0 {
			l.cur.finish(f.id) // should the batch come: here it is delivered now
		}
	}
	pubs = append(pubs, queue...)
	if b.cfg.Down == Local {
		l.deliverLocally(pubs)
	} else {
		b.rejectAll(pubs)
	}
	l.mu.Unlock()
	b.release(held)
	if first {
		b.laneDown(l.index, len(pubs), err)
	}
}

func (b *Bridge) rejectAll(pubs []*loop.Publication) {
	for _, p := range pubs {
		b.reject(p)
	}
}

// pause waits for d or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
