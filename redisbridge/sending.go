package redisbridge

import (
	"errors"
	"time"

	"dotsconnect/loop"
	"dotsconnect/redisbridge/internal/resp"
)

// A batch is sent until it is settled: publish.lua answers with its place, or the batch comes back through the channel, whichever
// is first. If Redis has not taken the batch within Config.Hold, the lane is down. Then the policy decides about all
// publications that are not settled, and about all that come until Redis takes an empty batch.
//
// The hold time counts only time in which this process was awake. Each call carries the end of the hold time by the clock of
// its server, and after this time publish.lua refuses the call. So Redis never takes a batch after the node has given it up,
// but it may have taken the batch before.

const (
	firstPause  = 10 * time.Millisecond // minimum time between two attempts
	longestWait = 250 * time.Millisecond
)

// publish queues p, or follows the policy if the lane is down. A loop's goroutine calls it.
func (l *lane) publish(p *loop.Publication) {
	b := l.bridge
	l.mu.Lock()
	if !l.out.down {
		idle := len(l.out.queue) == 0 && l.out.flight == nil
		l.out.add(p)
		b.held.add(heldBytes(p)) // first, because p may be released right after it is offered
		l.offer(0)
		l.mu.Unlock()
		if idle {
			b.woke.Store(true)
		}
		return
	}
	switch {
	case ofPresence(p):
		b.loops.Lose(p)
	case b.cfg.Down == Local:
		l.deliverHere([]*loop.Publication{p})
	default:
		b.reject(p)
	}
	l.mu.Unlock()
}

// offer puts the lane on the ready list of its link if it has something to send. mu is held.
func (l *lane) offer(now time.Duration) {
	if l.link == nil || l.listed || !l.waits(now) {
		return
	}
	l.listed = true
	l.link.enqueue(l)
}

// waits reports whether the lane has something to send now. mu is held.
func (l *lane) waits(now time.Duration) bool {
	if f := l.out.flight; f != nil {
		return !f.flying && f.due <= now && (l.out.down || now < f.until)
	}
	return len(l.out.queue) > 0 || l.out.down || l.cur.heal || l.tells()
}

// tells reports whether this node must send a notice about messages that were delivered only here. Format 1 has no notices. mu
// is held.
func (l *lane) tells() bool {
	return l.untold.messages > 0 && !l.out.down && l.bridge.format() > 1
}

// take returns the batch that the link should send now, or nil if there is none. While the lane is down, or if publish.lua must
// begin a new epoch, the batch may be empty.
func (l *lane) take(k *link) (*flight, call) {
	now := l.bridge.awake.read()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.link != k {
		return nil, call{}
	}
	l.listed = false
	if !l.waits(now) {
		return nil, call{}
	}
	f := l.next(now)
	f.flying = true
	left := f.until - now
	if l.out.down { // no publication waits for this batch
		left = l.bridge.cfg.CallMax
	}
	return f, call{lane: l.index, id: f.id, top: l.cur.claim(), batch: f.batch, left: left}
}

// goesAlone reports whether the batch must not share a call with batches of other lanes.
func (l *lane) goesAlone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.flight != nil && l.out.flight.alone
}

// next returns the batch to send; if there is none, it makes one. mu is held.
func (l *lane) next(now time.Duration) *flight {
	if l.out.flight != nil {
		return l.out.flight
	}
	var told *notice
	if l.tells() {
		n := l.untold
		told, l.untold = &n, notice{}
	}
	return l.out.cut(l.bridge.node, l.bridge.format(), l.bridge.cfg.BatchMessages, l.bridge.cfg.BatchBytes, now+l.bridge.holdTime(), told)
}

// settle notes the place that Redis gave to the batch.
func (l *lane) settle(f *flight, a answer) {
	l.mu.Lock()
	l.cur.saw(a.at)
	if l.out.flight != f { // the batch was given up meanwhile
		l.mu.Unlock()
		return
	}
	l.out.settle(f, a.at)
	back, alone := l.out.down, l.untold
	l.out.down = false
	if back && l.bridge.format() == 1 {
		l.untold = notice{}
	}
	lost := l.out.missed(l.cur.at)
	l.offer(l.bridge.awake.read())
	l.mu.Unlock()
	l.bridge.stats.published.Add(uint64(len(f.pubs)))
	l.bridge.stats.batches.Add(1)
	l.bridge.settleLost(lost)
	if a.minted != "" {
		l.bridge.minted(l.index, a)
	}
	if back && alone.messages > 0 && l.bridge.format() == 1 {
		l.announce([]Gap{alone.gap()})
	}
	if back {
		l.bridge.laneBack(l.index, alone.messages)
		l.poke()
	}
}

// fail notes that a call with the batch failed. The lane sends the batch again after a pause, unless the batch has come back
// meanwhile. If alone is set, the further calls with the batch carry no batches of other lanes.
func (l *lane) fail(f *flight, why error, pause time.Duration, alone bool) {
	l.bridge.failed(why)
	now := l.bridge.awake.read()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.out.flight != f {
		return
	}
	if f.back {
		l.out.flight = nil
	}
	f.flying, f.alone, f.why = false, f.alone || alone, why
	f.doubt = f.doubt || !undone(why)
	if pause > 0 {
		f.pause = min(max(2*f.pause, pause), longestWait)
		f.due = now + f.pause
	}
	l.offer(now)
}

// watch sends failed batches again when they are due, and gives up batches that have waited too long. The watch goroutine of the
// bridge calls it.
func (l *lane) watch(now time.Duration) {
	l.mu.Lock()
	if l.link == nil && l.waits(now) {
		l.next(now) // makes a batch, so that its hold time begins
	}
	f := l.out.flight
	if f == nil || l.out.down || now <= f.until+2*tick {
		l.offer(now)
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	l.giveUp(f.why)
}

// holdTime is how long a batch is tried: Config.Hold, or longer if calls usually take longer.
func (b *Bridge) holdTime() time.Duration { return max(b.cfg.Hold, b.pace.usual()) }

func (l *lane) isDown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.down
}

// undone reports whether a call failed before Redis changed any data.
func undone(err error) bool {
	switch resp.Word(err) {
	case "READONLY", "LOADING", "MASTERDOWN", "NOAUTH", "NOPERM", "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "CROSSSLOT", "OOM", "NOREPLICAS",
		"MISCONF", "BUSY", "NOSCRIPT":
		return true
	}
	return errors.Is(err, errLate)
}

// giveUp is called when the hold time is over: the policy decides about all batches and publications that are not settled.
// Under the policy local this includes batches that Redis has taken but has not sent back: if the node waited for them until
// Redis is back, members would get them after later messages.
func (l *lane) giveUp(why error) {
	b := l.bridge
	l.mu.Lock()
	first := !l.out.down
	l.out.down = true
	taken, flight, queue, held := l.out.giveUp(b.cfg.Down == Local)
	count := len(queue)
	if flight != nil {
		count += len(flight.pubs)
		l.untold.merge(flight.told)
	}
	if b.cfg.Down == Local {
		l.takeOver(taken, flight, queue)
	} else {
		b.rejectAll(flight, queue)
	}
	l.mu.Unlock()
	b.held.release(held)
	if first {
		b.laneDown(l.index, count, why)
	}
}

// takeOver delivers to the members of this node the batches and the queue that should have come back through Redis. It tells
// the cursor about the batches, so that a batch that still comes later is known. mu is held.
func (l *lane) takeOver(taken []*flight, flight *flight, queue []*loop.Publication) {
	var pubs []*loop.Publication
	for _, f := range taken {
		pubs = append(pubs, f.pubs...)
		l.cur.finish(f.id)
	}
	pubs = giveUpPresence(l.bridge, pubs)
	l.bridge.stats.local.Add(uint64(len(pubs)))
	l.number(pubs)
	if flight != nil {
		if flight.doubt {
			l.cur.finish(flight.id)
		}
		queue = append(flight.pubs[:len(flight.pubs):len(flight.pubs)], queue...)
	}
	l.deliverHere(queue)
}

// deliverHere gives publications to the members of this node only, and notes that the other nodes must be told. mu is held.
func (l *lane) deliverHere(pubs []*loop.Publication) {
	pubs = giveUpPresence(l.bridge, pubs)
	for _, p := range pubs {
		l.untold.note(p.Room)
	}
	l.bridge.stats.local.Add(uint64(len(pubs)))
	l.number(pubs)
}

// number delivers publications with ids of this node's own epoch. mu is held.
func (l *lane) number(pubs []*loop.Publication) {
	if len(pubs) == 0 {
		return
	}
	l.localSeq++
	loop.Number(pubs, 0, l.localSeq)
	l.bridge.dir.Deliver(l.index, pubs)
}

// rejectAll tells the senders that their messages are refused. If Redis may have the batch, it tells the senders of the batch
// that their messages may have arrived.
func (b *Bridge) rejectAll(f *flight, queue []*loop.Publication) {
	queue = giveUpPresence(b, queue)
	if f != nil {
		for _, p := range giveUpPresence(b, f.pubs) {
			if b.stats.rejected.Add(1); f.doubt {
				b.loops.Doubt(p)
			} else {
				b.loops.Refuse(p)
			}
		}
	}
	for _, p := range queue {
		b.reject(p)
	}
}
