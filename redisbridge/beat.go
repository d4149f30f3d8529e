package redisbridge

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"dotsconnect/redisbridge/internal/resp"
)

// A beat goes over each link once a second, and does four things. It tries a write that changes nothing, because some servers
// can be read but take no writes: a replica, a Redis without memory, or a Redis that misses its replicas. It learns the clock
// of the server. It reads the counter of each lane: the answer comes after all batches that were published on this server
// before. So if the counter is ahead of the lane's position, the lane missed a batch, and if it is behind, Redis was restored
// from an older copy. Last, the beat reads a number that the node has written over a newer connection: if the number is not
// there, the address now leads to another server.
//
// The answers to a beat prove a round trip for a lane if its calls do not fail and if it has received all batches up to the
// counter that the previous beat read. The oldest of the lanes' last round trips decides whether the node is ready.

// beat is one beat. Its answers are handled on the goroutine that reads the link.
type beat struct {
	link    *link
	began   time.Duration // time from the start of the bridge to the sending of the beat
	writes  bool          // the server takes writes
	second  int64         // time by the server's clock
	written uint64        // the last number that the node has written over a newer connection
}

// beat sends a beat.
func (k *link) beat() {
	b := k.bridge
	lanes := k.all()
	t := &beat{link: k, began: time.Since(b.times.began)}
	if len(lanes) > 0 {
		// XX writes only if the key exists, and this key never exists.
		k.send(pending{done: t.wrote}, "SET", b.store.names.beat(lanes[0].index), "", "XX")
	}
	k.send(pending{done: t.clock}, "TIME")
	if b.store.cluster == nil {
		t.written = b.presence.written.Load()
		k.send(pending{done: t.same}, "GET", b.store.names.lease(b.node.String()))
	}
	for _, l := range lanes {
		k.send(pending{done: func(v *resp.Value, err error) { t.counted(l, v, err) }}, "HMGET", b.store.names.state(l.index), "e", "s", "o")
	}
}

func (t *beat) wrote(_ *resp.Value, err error) {
	if t.writes = err == nil; err != nil {
		t.link.bridge.failed(fmt.Errorf("%s accepts no writes: %w", t.link.addr, err))
	}
}

// same ends the link if a newer connection to the same address has reached another server, because the server of the newer
// connection is the right one.
func (t *beat) same(v *resp.Value, err error) {
	if err != nil {
		return
	}
	k := t.link
	switch number, _ := v.Int(); {
	case number >= int64(t.written):
		k.apart = 0
	case k.apart == 0: // the number may be lost (failover, FLUSHALL): the next number decides
		k.apart = t.written
	case t.written > k.apart:
		k.end(errReplaced)
	}
}

func (t *beat) clock(v *resp.Value, err error) {
	var c clock
	if err == nil {
		err = c.set(v)
	}
	if err != nil {
		return // the link has ended, or the server does not know TIME; the next beat asks again
	}
	k := t.link
	k.mu.Lock()
	k.clock = c
	k.mu.Unlock()
	t.second = c.server / 1000
}

// counted compares the counter of a lane with the lane's position.
func (t *beat) counted(l *lane, v *resp.Value, err error) {
	b := l.bridge
	if resp.Word(err) == "MOVED" { // the lane was subscribed on a server that no longer had its slot
		t.link.part(l, err)
		return
	}
	var at place
	var oldest int64
	if err == nil {
		at, oldest, err = parseCounter(v)
	}
	if err != nil {
		state := b.store.names.state(l.index)
		b.failed(fmt.Errorf("cannot read %s: %w", state, atKey(err, state)))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case errors.Is(err, errReply): // it is unclear what the reply means
		l.cur.damaged()
		l.offer(b.awake.read())
	case err == nil && (at.before(l.cur.top) || l.cur.behind(at)) && !l.missed.running:
		l.missed.behind = true
		l.start()
	}
	late := l.counter.epoch != "" && l.cur.behind(l.counter) && l.cur.behind(at)
	l.counter = at
	if oldest > 0 && t.second > 0 {
		l.reach.Store(max(t.second-oldest, 0))
	}
	if err == nil && t.writes && !late && !l.out.down && (l.out.flight == nil || l.out.flight.why == nil) {
		l.proved(t.began)
	}
}

// parseCounter reads the fields e, s and o of a lane's state.
func parseCounter(v *resp.Value) (at place, oldest int64, err error) {
	if len(v.List) != 3 {
		return place{}, 0, errReply
	}
	if at, err = parsePlace(v.List[0].Text, v.List[1].Text); err != nil {
		return place{}, 0, err
	}
	oldest, _ = v.List[2].Int()
	return at, oldest, nil
}

// clock records one reading of a server's clock: at the time `at` of our clock, the server's clock showed at least `server` (in
// milliseconds).
type clock struct {
	server int64
	at     time.Time
}

// until returns the least value that the server's clock shows at the time t of this machine's clock.
func (c clock) until(t time.Time) int64 { return c.server + t.Sub(c.at).Milliseconds() }

// set sets the clock from the answer to TIME.
func (c *clock) set(v *resp.Value) error {
	if len(v.List) != 2 {
		return errReply
	}
	seconds, err := strconv.ParseInt(string(v.List[0].Text), 10, 64)
	micros, err2 := strconv.ParseInt(string(v.List[1].Text), 10, 64)
	if err != nil || err2 != nil {
		return errReply
	}
	*c = clock{seconds*1000 + micros/1000, time.Now()}
	return nil
}

// errNever is the error of Ready before the first round trip.
var errNever = errors.New("no round trip through Redis yet")

// proved notes a completed round trip.
func (l *lane) proved(began time.Duration) { l.good.Store(max(l.good.Load(), int64(began))) }

// proven looks for the lane whose last round trip is the oldest, and returns when this round trip began, since the start of the
// bridge. It is 0 if a lane has had no round trip.
func (b *Bridge) proven() time.Duration {
	oldest := time.Since(b.times.began)
	for _, l := range b.lanes {
		oldest = min(oldest, time.Duration(l.good.Load()))
	}
	return oldest
}

// Ready returns the reason why the node must not get new clients, or nil if it may get them. Under the policy Local it may get
// them even while Redis is away. Any goroutine.
func (b *Bridge) Ready() error {
	if text := b.accord.misfit.Load(); text != nil {
		return errors.New(*text)
	}
	proven := b.proven()
	if proven == 0 {
		return fmt.Errorf("%w%s", errNever, b.why())
	}
	if b.cfg.Down == Local {
		return nil
	}
	return b.stale(proven)
}

// Alone returns the reason why messages reach only the members on this node, or "" if they reach all members. They reach only
// the members on this node while Redis is away under the policy Local. Any goroutine.
func (b *Bridge) Alone() string {
	proven := b.proven()
	if b.cfg.Down != Local || proven == 0 {
		return ""
	}
	if err := b.stale(proven); err != nil {
		return "serving alone: " + err.Error()
	}
	return ""
}

// stale returns an error if the last round trip is too old, and otherwise nil.
func (b *Bridge) stale(proven time.Duration) error {
	age := time.Since(b.times.began) - proven
	if age <= b.cfg.Stale {
		return nil
	}
	return fmt.Errorf("the last round trip through Redis is %.1f s old%s", age.Seconds(), b.why())
}
