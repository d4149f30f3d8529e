package redisbridge

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The probe reads all counters once a second. What they said the time before must have been received by now; a lane
// where it was not is deaf, or Redis was set back, and it reads the log. A probe without such a lane proves a round trip:
// something that every other node could have published has come through. Its age is the readiness of the node.

// probe is the goroutine.
func (b *Bridge) probe(ctx context.Context) {
	ticker := time.NewTicker(b.cfg.Probe)
	defer ticker.Stop()
	var before []place
	for {
		before = b.probeOnce(ctx, before)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// probeOnce compares what was received with the counters of the probe before, and returns those of this one.
func (b *Bridge) probeOnce(ctx context.Context, before []place) []place {
	began := time.Now()
	tops := make([]place, len(b.lanes))
	for i, l := range b.lanes {
		tops[i] = l.top()
	}
	now, errs := b.store.counters(ctx)
	failed, deaf := 0, 0
	for i, l := range b.lanes {
		if errs[i] != nil {
			failed++
			b.failed(fmt.Errorf("read the counters: %w", errs[i]))
			now[i] = l.position() // nothing to compare with
			continue
		}
		l.mu.Lock()
		lost := now[i].before(tops[i])
		late := len(before) > i && l.cur.behind(before[i]) && l.cur.behind(now[i])
		l.mu.Unlock()
		if lost || late || !l.listening.Load() {
			deaf++
			l.incoming.poke()
		}
	}
	if failed+deaf == 0 {
		b.proven.Store(int64(began.Sub(b.began)))
		b.trouble.Store(nil)
	} else if failed == 0 {
		b.failed(fmt.Errorf("%d of %d lanes are behind", deaf, len(b.lanes)))
	}
	return now
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
