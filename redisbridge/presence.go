package redisbridge

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// presence knows which nodes there are. Each node increments a number of its own in Redis once a second and reads the numbers of
// the others: a node whose number has not changed for Config.Gone is gone. Only time in which Redis answered counts, so an outage
// makes no node disappear. A node that has watched the others for less than Config.Gone considers all of them present. The keys
// have an expiry only so that keys of old nodes do not stay in Redis.
//
// The number of a node of format 1 is always 1, and its key has a lease of 15 s: the node is present as long as the key exists.
type presence struct {
	bridge  *Bridge
	number  uint64        // the node's own number; only the goroutine uses it
	bell    chan struct{} // rings when the agreement may be gone from Redis
	old     time.Duration // time since a node of an older program was seen; only the goroutine uses it
	written atomic.Uint64 // the last number that Redis took

	mu    sync.Mutex
	nodes map[string]*sighting // by name; guarded by mu

	gone map[string]bool // nodes that went while this node ran; only the goroutine uses it
}

// sighting is the last number that was seen of a node.
type sighting struct {
	number string
	still  time.Duration // for how long the number has not changed, while Redis answered
}

// oldLease is the lease of a node of version 1 of the program.
const oldLease = 15 * time.Second

// Numbers with a meaning.
const (
	numberOld  = "1" // the node knows only format 1
	numberGone = "0" // the node has left
)

func (p *presence) init(b *Bridge) {
	p.bridge, p.number, p.nodes, p.bell = b, 1, map[string]*sighting{}, make(chan struct{}, 1)
	p.gone = map[string]bool{}
}

// run is the goroutine of presence.
func (p *presence) run(ctx context.Context) {
	ticker := time.NewTicker(p.bridge.cfg.Look)
	defer ticker.Stop()
	var last time.Time // time of the last look, if it was answered
	for {
		err := p.show(ctx)
		if err == nil {
			now := time.Now()
			since := min(now.Sub(last), 2*p.bridge.cfg.Look)
			if err = p.look(ctx, since, !last.IsZero()); err == nil {
				if last.IsZero() {
					since = 0
				}
				last = now
				err = p.agree(ctx, since)
			} else {
				last = time.Time{}
			}
		}
		p.bridge.failed(err)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-p.bell:
			pause(ctx, restPause) // many lanes ring at the same time
		}
	}
}

// ring makes the goroutine check the agreement at once. Any goroutine.
func (p *presence) ring() {
	select {
	case p.bell <- struct{}{}:
	default:
	}
}

// agree checks the agreement of the nodes. since is the time since the last look that Redis answered.
func (p *presence) agree(ctx context.Context, since time.Duration) error {
	b := p.bridge
	p.old += since
	p.mu.Lock()
	for _, n := range p.nodes {
		if n.number == numberOld {
			p.old = 0
		}
	}
	p.mu.Unlock()
	timed, cancel := context.WithTimeout(ctx, b.cfg.CallMax)
	defer cancel()
	return b.accord.tend(timed, b.store, b.log, p.old >= b.cfg.Upgrade)
}

// show increments the node's number in Redis.
func (p *presence) show(ctx context.Context) error {
	s, node := p.bridge.store, p.bridge.node.String()
	timed, cancel := context.WithTimeout(ctx, s.cfg.CallMax)
	defer cancel()
	p.number++
	keep := s.cfg.Keep
	if p.bridge.format() == 1 {
		keep = oldLease // for nodes of version 1, a node is present while its lease exists
	}
	_, err := s.client.Pipelined(timed, func(q redis.Pipeliner) error {
		q.Set(timed, s.names.lease(node), p.number, keep)
		q.SAdd(timed, s.names.nodes(), node)
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot write the lease of this node: %w", atKey(err, s.names.nodes()))
	}
	p.written.Store(p.number)
	return nil
}

// look reads the numbers of the other nodes. since is the time since the last look; answered reports whether that look was
// answered.
func (p *presence) look(ctx context.Context, since time.Duration, answered bool) error {
	s := p.bridge.store
	timed, cancel := context.WithTimeout(ctx, s.cfg.CallMax)
	defer cancel()
	names, err := s.client.SMembers(timed, s.names.nodes()).Result()
	if err != nil {
		return fmt.Errorf("cannot list the nodes: %w", atKey(err, s.names.nodes()))
	}
	p.mu.Lock()
	for _, name := range names {
		if p.nodes[name] == nil {
			p.nodes[name] = &sighting{}
		}
	}
	names = names[:0]
	for name := range p.nodes {
		names = append(names, name)
	}
	p.mu.Unlock()
	leases := make([]*redis.StringCmd, len(names))
	_, err = s.client.Pipelined(timed, func(q redis.Pipeliner) error {
		for i, name := range names {
			leases[i] = q.Get(timed, s.names.lease(name))
		}
		return nil
	})
	if err != nil && !isNil(err) {
		return fmt.Errorf("cannot read the leases of the nodes: %w", err)
	}
	if !answered {
		since = 0
	}
	var gone []any
	p.mu.Lock()
	for i, name := range names {
		if e := leases[i].Err(); e != nil && !isNil(e) { // the pipeline itself returns only its first error
			err = fmt.Errorf("cannot read the lease of a node: %w", e)
		} else if p.nodes[name].see(leases[i].Val(), since, s.cfg.Gone) && name != p.bridge.node.String() {
			delete(p.nodes, name)
			gone = append(gone, name)
		}
	}
	p.mu.Unlock()
	p.noteGone(gone)
	if len(gone) > 0 {
		_ = s.client.SRem(timed, s.names.nodes(), gone...).Err() // other nodes do the same, so an error does not matter
	}
	return unlessNil(err)
}

// unlessNil returns err, unless it only means that a key is missing.
func unlessNil(err error) error {
	if isNil(err) {
		return nil
	}
	return err
}

// see notes a number ("": there is none), and reports whether the node is gone.
func (s *sighting) see(number string, since, gone time.Duration) bool {
	if number != s.number || number == numberOld {
		s.number, s.still = number, 0
	} else {
		s.still += since
	}
	return number == numberGone || s.still >= gone
}

// resign tells the other nodes that this node has left, and removes its counts.
func (p *presence) resign(ctx context.Context) {
	s, node := p.bridge.store, p.bridge.node.String()
	_, _ = s.client.Pipelined(ctx, func(q redis.Pipeliner) error { // if this fails, the other nodes find out by themselves
		q.Set(ctx, s.names.lease(node), numberGone, 8*s.cfg.Gone)
		q.SRem(ctx, s.names.nodes(), node)
		for i := range s.names.tags {
			q.Del(ctx, s.names.counts(i, node))
		}
		return nil
	})
}

// all returns the names of the nodes that are present.
func (p *presence) all() (names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range p.nodes {
		names = append(names, name)
	}
	return names
}

// Members returns the number of members of a room on all present nodes. Any goroutine.
func (b *Bridge) Members(ctx context.Context, room string) (int, error) {
	s, lane := b.store, b.LaneOf(room)
	server := b.lanes[lane].server()
	if server == nil {
		return 0, fmt.Errorf("cannot read the counts: %w", errAway)
	}
	nodes := b.presence.all()
	counts := make([]*redis.StringCmd, len(nodes))
	err := server.pipeline(ctx, s.cfg.CallMax, func(ctx context.Context, p redis.Pipeliner) func() {
		for i, node := range nodes {
			counts[i] = p.HGet(ctx, s.names.counts(lane, node), room)
		}
		return func() {}
	})
	if err != nil && !isNil(err) {
		return 0, fmt.Errorf("cannot read the counts: %w", err)
	}
	total := 0
	for _, c := range counts {
		if err := unlessNil(c.Err()); err != nil { // the pipeline itself returned only its first error
			return 0, fmt.Errorf("cannot read the counts: %w", err)
		}
		if n, err := strconv.Atoi(c.Val()); err == nil {
			total += n
		}
	}
	return total, nil
}
