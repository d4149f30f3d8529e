package redisbridge

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The probe reads all counters once a second. What they said the time before must have been received by now; a lane
// where it was not is deaf, or Redis was set back, and it reads the log. A probe without such a lane, without a batch that
// is stuck, and with the node's lease written proves a round trip: something that every other node could have published has
// come through, and what is published here is taken. (A Redis without memory, or a replica, can be read and takes nothing.)
// The age of the last round trip is the readiness of the node.

// prober is the goroutine's state.
type prober struct {
	bridge *Bridge
	before []place  // the counters of the last probe
	heard  []uint64 // what the lanes had heard by then
	quiet  []bool   // and whether everything was handled
}

// probe is the goroutine.
func (b *Bridge) probe(ctx context.Context) {
	ticker := time.NewTicker(b.cfg.Probe)
	defer ticker.Stop()
	p := &prober{bridge: b, heard: make([]uint64, len(b.lanes)), quiet: make([]bool, len(b.lanes))}
	for {
		p.once(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// once compares what was received with the counters of the probe before.
func (p *prober) once(ctx context.Context) {
	b := p.bridge
	began := time.Now()
	tops := make([]place, len(b.lanes))
	for i, l := range b.lanes {
		tops[i] = l.top()
	}
	now, errs, reach := b.store.counters(ctx)
	b.reach.Store(int64(reach))
	failed, deaf, stuck := 0, 0, 0
	for i, l := range b.lanes {
		if errs[i] != nil {
			failed++
			b.failed(fmt.Errorf("read the counters: %w", errs[i]))
			now[i] = l.position() // nothing to compare with
			continue
		}
		if p.deaf(i, now[i], tops[i]) {
			deaf++
			l.incoming.poke()
		}
		if l.stuck(began) {
			stuck++
		}
	}
	p.before = now
	p.hellos(ctx)
	if err := b.store.renew(ctx, b.node.String()); err != nil {
		failed++
		b.failed(fmt.Errorf("write the lease of the node: %w", err))
	}
	switch {
	case failed+deaf+stuck == 0:
		b.proved(began.Sub(b.began))
	case failed+stuck == 0:
		b.failed(fmt.Errorf("%d of %d lanes are behind", deaf, len(b.lanes)))
	}
}

// deaf reports that a lane must read the log. Should nothing at all have come through its channel, though something was
// published a probe ago, its subscription is worth nothing.
func (p *prober) deaf(i int, now, top place) bool {
	l := p.bridge.lanes[i]
	l.mu.Lock()
	lost := now.before(top)
	late := len(p.before) > i && l.cur.behind(p.before[i]) && l.cur.behind(now)
	l.mu.Unlock()
	heard, listening := l.heard.Load(), l.listening.Load()
	if g := l.group.Load(); late && listening && p.quiet[i] && heard == p.heard[i] && g != nil {
		g.end()
	}
	p.heard[i], p.quiet[i] = heard, listening && !l.busy.Load()
	return lost || late || !listening
}

// stuck reports that a batch waits for Redis for too long, or was given up. That a call is made again does not count.
func (l *lane) stuck(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.down || l.out.flight != nil && now.Sub(l.out.flight.began) > l.bridge.cfg.Stale/3
}

// errNever is what Ready says before the first round trip.
var errNever = errors.New("no round trip through Redis yet")

// Ready says why the node must get no new clients, nil if it may. Any goroutine.
func (b *Bridge) Ready() error {
	proven := time.Duration(b.proven.Load())
	age := time.Since(b.began) - proven
	if age <= b.cfg.Stale && proven > 0 {
		if text := b.misfit.Load(); text != nil {
			return errors.New(*text)
		}
		return nil
	}
	why := ""
	if p := b.trouble.Load(); p != nil {
		why = ": " + *p
	}
	if proven == 0 {
		return fmt.Errorf("%w%s", errNever, why)
	}
	return fmt.Errorf("the last round trip through Redis is %.1f s old%s", age.Seconds(), why)
}
