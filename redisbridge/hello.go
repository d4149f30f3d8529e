package redisbridge

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A hello proves a subscription while nobody says anything. Redis answers pings, and confirms a subscription, on a connection
// to a master that was replaced, too; all that is published goes elsewhere. So a connection that has heard nothing since
// the last probe is asked: the probe publishes an empty message, the way that batches go, into the channel of one of its
// lanes. All nodes hear it, and so one node a second asks for all of them. Who does not is deaf.

// helloPayload is no batch. Nodes pass it over.
const helloPayload = ""

var errDeaf = errors.New("a subscription is confirmed and hears nothing")

// hello is what the probe knows of a group.
type hello struct {
	heard uint64    // at the last probe
	asked time.Time // zero: not asked since
}

// judge decides about a connection that has heard so many messages: to ask it, or that it is deaf. patience is for how long
// an answer may be on its way.
func (h *hello) judge(heard uint64, now time.Time, patience time.Duration) (ask, deaf bool) {
	switch {
	case heard != h.heard:
		*h = hello{heard: heard}
		return false, false
	case h.asked.IsZero():
		return true, false
	}
	return false, now.Sub(h.asked) > patience
}

// hellos asks the connections that have heard nothing, and ends those that are deaf.
func (p *prober) hellos(ctx context.Context) {
	b := p.bridge
	seen := map[*group]bool{}
	for i, l := range b.lanes {
		g := l.group.Load()
		if g == nil || seen[g] || !l.listening.Load() {
			continue
		}
		seen[g] = true
		ask, deaf := g.hello.judge(g.heard.Load(), time.Now(), 4*b.cfg.Ping)
		switch {
		case deaf:
			b.failed(errDeaf)
			g.end()
		case ask:
			if err := b.store.hello(ctx, i); err != nil {
				b.failed(fmt.Errorf("publish a hello: %w", err))
			} else {
				g.hello.asked = time.Now()
			}
		}
	}
}

// hello publishes one into the channel of a lane.
func (s *store) hello(ctx context.Context, lane int) error {
	timed, cancel := context.WithTimeout(ctx, s.cfg.CallMax)
	defer cancel()
	if s.cluster != nil {
		return s.cluster.SPublish(timed, s.names.channel(lane), helloPayload).Err()
	}
	return s.client.Publish(timed, s.names.channel(lane), helloPayload).Err()
}
