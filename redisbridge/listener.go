package redisbridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// The listener keeps every lane subscribed. Lanes that live on the same Redis server share one connection, a group.
//
// Three habits of go-redis are kept out. PubSub.Channel is not used: it hides a hung Redis and drops messages behind a slow
// reader. A PubSub that had any error is closed and a new one made, because it would reconnect by itself and say nothing of
// what it missed; should it do so all the same, the Subscription that nobody asked for ends the group. And a timeout is
// never a part of normal life: it could fall into the middle of a message, and the rest would be taken for the next one.
// So pings keep the connection talking, and silence is an error.
//
// Every confirmed subscription makes its lane read the log from where it stands: what was published while nobody
// listened is there. A subscription can be confirmed, answer every ping and be deaf all the same, when it is with a master
// that was replaced: the probe finds out (hello.go) and ends its group. On a Cluster a lane whose slot moved away is told so (SUNSUBSCRIBE), and
// finds its new group.
type listener struct {
	bridge  *Bridge
	orphans chan []*lane // lanes whose group has ended
	wait    sync.WaitGroup
}

// restPause keeps a Redis that refuses from being asked without end.
const restPause = 50 * time.Millisecond

// run starts a group for lanes that have none, again and again.
func (n *listener) run(ctx context.Context) {
	defer n.wait.Wait()
	waiting := append([]*lane(nil), n.bridge.lanes...)
	for {
		waiting = n.regroup(ctx, waiting)
		if len(waiting) > 0 {
			pause(ctx, restPause)
			select {
			case more := <-n.orphans:
				waiting = append(waiting, more...)
			default:
			}
		} else {
			select {
			case waiting = <-n.orphans:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// regroup starts groups and returns the lanes for which no server is known now.
func (n *listener) regroup(ctx context.Context, lanes []*lane) (left []*lane) {
	groups := map[*redis.Client][]*lane{}
	for _, l := range lanes {
		client, err := n.bridge.store.serverOf(ctx, l.index)
		if err != nil {
			n.bridge.failed(err)
			left = append(left, l)
			continue
		}
		groups[client] = append(groups[client], l)
	}
	for client, members := range groups {
		g := &group{bridge: n.bridge, client: client, lanes: map[string]*lane{}, confirmed: map[string]bool{}, cut: make(chan struct{})}
		for _, l := range members {
			g.lanes[n.bridge.store.names.channel(l.index)] = l
		}
		n.wait.Go(func() {
			err := g.run(ctx)
			if ctx.Err() != nil {
				return
			}
			n.bridge.failed(err)
			n.bridge.stats.reconnects.Add(1)
			n.bridge.store.reload(ctx)
			pause(ctx, restPause)
			g.orphan(n, g.rest())
		})
	}
	return left
}

// serverOf is the server that has a lane.
func (s *store) serverOf(ctx context.Context, lane int) (*redis.Client, error) {
	if s.cluster == nil {
		return s.client.(*redis.Client), nil //nolint:errcheck // both other kinds are this type
	}
	timed, cancel := context.WithTimeout(ctx, s.cfg.CallMax)
	defer cancel()
	return s.cluster.MasterForKey(timed, s.names.channel(lane))
}

// reload asks a Cluster anew who has which slots.
func (s *store) reload(ctx context.Context) {
	if s.cluster != nil {
		s.cluster.ReloadState(ctx)
	}
}

// group is the lanes of one server and their connection. Its goroutine owns it.
type group struct {
	bridge    *Bridge
	client    *redis.Client
	lanes     map[string]*lane // by channel
	confirmed map[string]bool
	cut       chan struct{} // closed by whoever finds out that it is deaf
	once      sync.Once
	heard     atomic.Uint64 // messages, hellos too
	hello     hello         // the probe's
}

// end has the group's connection closed, and another one made. Any goroutine.
func (g *group) end() { g.once.Do(func() { close(g.cut) }) }

func (g *group) rest() []*lane {
	var all []*lane
	for _, l := range g.lanes {
		all = append(all, l)
	}
	return all
}

func (g *group) orphan(n *listener, lanes []*lane) {
	for _, l := range lanes {
		l.listening.Store(false)
	}
	select {
	case n.orphans <- lanes:
	case <-n.bridge.done:
	}
}

var errUnasked = errors.New("subscribe: the connection was changed behind our back")

// run listens until something goes wrong.
func (g *group) run(ctx context.Context) error {
	sub, err := g.subscribe(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { g.ping(ctx, sub) })
	wait.Go(func() { // Close is what ends a receive
		select {
		case <-ctx.Done():
		case <-g.cut:
		}
		_ = sub.Close()
	})
	defer wait.Wait()
	defer cancel()
	for {
		m, err := sub.ReceiveTimeout(ctx, 4*g.bridge.cfg.Ping)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		switch m := m.(type) {
		case *redis.Message:
			g.heard.Add(1)
			if l := g.lanes[m.Channel]; l != nil && m.Payload != helloPayload {
				l.heard.Add(1)
				l.incoming.put(m.Payload)
			}
		case *redis.Subscription:
			if err := g.subscribed(m); err != nil {
				return err
			}
		}
		if len(g.lanes) == 0 {
			return nil
		}
	}
}

// subscribe asks for all channels: on a Cluster one call each, for they have different slots.
func (g *group) subscribe(ctx context.Context) (*redis.PubSub, error) {
	if g.bridge.store.cluster == nil {
		sub := g.client.Subscribe(ctx)
		channels := make([]string, 0, len(g.lanes))
		for channel := range g.lanes {
			channels = append(channels, channel)
		}
		if err := sub.Subscribe(ctx, channels...); err != nil {
			_ = sub.Close()
			return nil, fmt.Errorf("subscribe: %w", err)
		}
		return sub, nil
	}
	sub := g.client.SSubscribe(ctx)
	for channel := range g.lanes {
		if err := sub.SSubscribe(ctx, channel); err != nil {
			_ = sub.Close()
			return nil, fmt.Errorf("subscribe: %w", err)
		}
	}
	return sub, nil
}

// subscribed handles what the server says about a subscription.
func (g *group) subscribed(m *redis.Subscription) error {
	l := g.lanes[m.Channel]
	switch {
	case l == nil:
	case m.Kind == "sunsubscribe":
		delete(g.lanes, m.Channel)
		g.bridge.stats.reconnects.Add(1)
		g.bridge.later(func(ctx context.Context) {
			g.bridge.store.reload(ctx)
			g.orphan(&g.bridge.listener, []*lane{l})
		})
	case g.confirmed[m.Channel], m.Kind != "subscribe" && m.Kind != "ssubscribe":
		return errUnasked
	default:
		g.confirmed[m.Channel] = true
		l.group.Store(g)
		l.listening.Store(true)
		l.incoming.poke()
	}
	return nil
}

// ping keeps the connection talking, until ctx is done.
func (g *group) ping(ctx context.Context, sub *redis.PubSub) {
	ticker := time.NewTicker(g.bridge.cfg.Ping)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = sub.Ping(ctx) // the receive loop finds out what is wrong
		}
	}
}
