package redisbridge

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"dotsconnect/loop"
)

// Members over all nodes. Each node has a lease, and for each lane with members a hash: room -> members on this node. The
// lease and the hashes have the same time to live and are refreshed together, so that a node that is gone takes its counts
// with it. Rooms are fields, never keys.
//
// Every second the node compares the rooms with what it last wrote, lane by lane, and writes what differs. That is a visit
// to every room; it holds a lane's mutex for some 50 ns a room in it. A lane's hash is made anew when its keys may be gone or
// old: a command failed, the lane has a new epoch (so it always is when Redis has lost something), or the hash expired
// because this process stood still. The lanes do not wait for each other: on a Cluster one may be out of reach. The lease is
// written by the probe.

const (
	countsPerCommand = 512
	refreshesALease  = 3
	countsAtOnce     = 16 // lanes
)

// counter is the goroutine's state: what Redis has been told, by lane.
type counter struct {
	bridge  *Bridge
	written []map[string]int
	epochs  []string  // of the lanes when their hashes were made
	due     time.Time // of the next refresh
}

// count is the goroutine.
func (b *Bridge) count(ctx context.Context) {
	c := &counter{bridge: b, written: make([]map[string]int, len(b.lanes)), epochs: make([]string, len(b.lanes))}
	ticker := time.NewTicker(b.cfg.Lease / 15)
	defer ticker.Stop()
	for {
		if err := c.once(ctx); err != nil {
			b.failed(fmt.Errorf("write the counts of members: %w", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// rooms sorts the node's rooms by lane.
func (c *counter) rooms() []map[string]int {
	now := make([]map[string]int, len(c.written))
	c.bridge.rooms.Each(func(e *loop.Entry) {
		members := e.Members()
		if members == 0 {
			return
		}
		i := c.bridge.LaneOf(e.Name)
		if now[i] == nil {
			now[i] = make(map[string]int, len(c.written[i]))
		}
		now[i][e.Name] = members
	})
	return now
}

func (c *counter) once(ctx context.Context) error {
	refresh := !time.Now().Before(c.due)
	now := c.rooms()
	slots, errs := make(chan struct{}, countsAtOnce), make([]error, len(now), len(now)+1)
	var wait sync.WaitGroup
	for i := range now {
		slots <- struct{}{}
		wait.Go(func() {
			if errs[i] = c.write(ctx, i, now[i], refresh); errs[i] != nil {
				c.written[i] = nil // all of it next time
			}
			<-slots
		})
	}
	wait.Wait()
	if refresh {
		c.due = time.Now().Add(c.bridge.cfg.Lease / refreshesALease)
		errs = append(errs, c.bridge.checkMeta(ctx))
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// write brings one lane's hash up to date.
func (c *counter) write(ctx context.Context, lane int, now map[string]int, refresh bool) error {
	epoch := c.bridge.lanes[lane].position().epoch
	if epoch != c.epochs[lane] {
		c.written[lane] = nil
	}
	before := c.written[lane]
	set, gone := changes(before, now)
	anew := before == nil
	if !anew && len(set) == 0 && len(gone) == 0 && (!refresh || len(now) == 0) {
		return nil
	}
	kept, err := c.bridge.store.writeCounts(ctx, lane, c.bridge.node.String(), set, gone, anew)
	if err == nil && !kept && len(before) > 0 { // the hash was gone
		set, _ = changes(nil, now)
		_, err = c.bridge.store.writeCounts(ctx, lane, c.bridge.node.String(), set, nil, true)
	}
	if err != nil {
		return err
	}
	if now == nil {
		now = map[string]int{}
	}
	c.written[lane], c.epochs[lane] = now, epoch
	return nil
}

// changes is what makes now of before.
func changes(before, now map[string]int) (set []any, gone []string) {
	for room, n := range now {
		if old, had := before[room]; !had || old != n {
			set = append(set, room, n)
		}
	}
	for room := range before {
		if _, has := now[room]; !has {
			gone = append(gone, room)
		}
	}
	return set, gone
}

// writeCounts writes what changed and gives the hash its time to live. kept: it was there.
func (s *store) writeCounts(ctx context.Context, lane int, node string, set []any, gone []string, anew bool) (kept bool, err error) {
	timed, cancel := context.WithTimeout(ctx, s.cfg.CallMax)
	defer cancel()
	key := s.names.counts(lane, node)
	var was *redis.BoolCmd
	_, err = s.client.Pipelined(timed, func(p redis.Pipeliner) error {
		was = p.PExpire(timed, key, s.cfg.Lease)
		if anew {
			p.Del(timed, key)
		}
		for len(gone) > 0 {
			n := min(len(gone), countsPerCommand)
			p.HDel(timed, key, gone[:n]...)
			gone = gone[n:]
		}
		for len(set) > 0 {
			n := min(len(set), 2*countsPerCommand)
			p.HSet(timed, key, set[:n]...)
			set = set[n:]
		}
		p.PExpire(timed, key, s.cfg.Lease)
		return nil
	})
	return was.Val(), err
}

// renew gives the node its lease for another time.
func (s *store) renew(ctx context.Context, node string) error {
	timed, cancel := context.WithTimeout(ctx, s.cfg.CallMax)
	defer cancel()
	_, err := s.client.Pipelined(timed, func(p redis.Pipeliner) error {
		p.Set(timed, s.names.lease(node), 1, s.cfg.Lease)
		p.SAdd(timed, s.names.nodes(), node)
		return nil
	})
	return err
}

// resign takes the node's lease and counts away: it leaves in good order.
func (s *store) resign(ctx context.Context, node string) {
	_, _ = s.client.Pipelined(ctx, func(p redis.Pipeliner) error { // else they vanish with their time to live
		p.Del(ctx, s.names.lease(node))
		p.SRem(ctx, s.names.nodes(), node)
		for i := range s.names.tags {
			p.Del(ctx, s.names.counts(i, node))
		}
		return nil
	})
}

// Members is the number of members of a room on all nodes whose lease runs. Any goroutine.
func (b *Bridge) Members(ctx context.Context, room string) (int, error) {
	s := b.store
	timed, cancel := context.WithTimeout(ctx, s.cfg.CallMax)
	defer cancel()
	nodes, err := s.client.SMembers(timed, s.names.nodes()).Result()
	if err != nil {
		return 0, fmt.Errorf("list the nodes: %w", err)
	}
	leases, counts := make([]*redis.IntCmd, len(nodes)), make([]*redis.StringCmd, len(nodes))
	lane := b.LaneOf(room)
	_, err = s.client.Pipelined(timed, func(p redis.Pipeliner) error {
		for i, node := range nodes {
			leases[i] = p.Exists(timed, s.names.lease(node))
			counts[i] = p.HGet(timed, s.names.counts(lane, node), room)
		}
		return nil
	})
	if err != nil && !isNil(err) {
		return 0, fmt.Errorf("read the counts: %w", err)
	}
	total := 0
	for i, node := range nodes {
		if err := errors.Join(leases[i].Err(), unlessNil(counts[i].Err())); err != nil { // the pipeline tells only of the first
			return 0, fmt.Errorf("read the counts: %w", err)
		}
		if leases[i].Val() == 0 {
			_ = s.client.SRem(timed, s.names.nodes(), node).Err() // gone; somebody else may do it as well
			continue
		}
		if n, err := strconv.Atoi(counts[i].Val()); err == nil {
			total += n
		}
	}
	return total, nil
}

// unlessNil lets only real errors pass: that a node has nobody there is none.
func unlessNil(err error) error {
	if isNil(err) {
		return nil
	}
	return err
}
