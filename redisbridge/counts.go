package redisbridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
// Every second the node writes the rooms whose count has changed since, lane by lane: the directory has marked them
// (loop/marks.go), so a pass costs what has changed and not what is there. Nothing is remembered of what was written: HSET and
// HDEL say what holds now, whatever Redis had. Only when that may not be the truth of the other rooms too is a lane's hash
// made anew, from all its rooms: a write failed, the lane has a new epoch (so it always is when Redis has lost something),
// the hash expired because this process stood still, or the directory lost count. The lanes do not wait for each other: on a
// Cluster one may be out of reach. The lease is written by the probe.

const (
	countsPerCommand = 512
	countsPerCall    = 32 * countsPerCommand // a call has a time limit, and Redis does other things between two
	refreshesALease  = 3
	countsAtOnce     = 16 // lanes
)

// counter is the goroutine's state.
type counter struct {
	bridge *Bridge
	lanes  []countedLane
	due    time.Time // of the next refresh
}

// countedLane is what the counter knows of a lane's hash.
type countedLane struct {
	epoch string // of the lane when the hash was made
	whole bool   // Redis has taken everything since: changes are enough
	there bool   // the hash has fields, and so exists
}

func newCounter(b *Bridge) *counter {
	return &counter{bridge: b, lanes: make([]countedLane, len(b.lanes))}
}

// count is the goroutine.
func (b *Bridge) count(ctx context.Context) {
	c := newCounter(b)
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

func (c *counter) once(ctx context.Context) error {
	refresh := !time.Now().Before(c.due)
	slots, errs := make(chan struct{}, countsAtOnce), make([]error, len(c.lanes), len(c.lanes)+1)
	var wait sync.WaitGroup
	for i := range c.lanes {
		slots <- struct{}{}
		wait.Go(func() {
			errs[i] = c.write(ctx, i, refresh)
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
func (c *counter) write(ctx context.Context, lane int, refresh bool) error {
	l := &c.lanes[lane]
	if epoch := c.bridge.lanes[lane].position().epoch; epoch != l.epoch {
		l.epoch, l.whole = epoch, false
	}
	if !l.whole {
		return c.anew(ctx, lane)
	}
	changed, ok := c.bridge.rooms.Changed(lane, nil)
	switch {
	case !ok:
		return c.anew(ctx, lane)
	case len(changed) == 0 && (!refresh || !l.there):
		return nil
	}
	kept, there, err := c.bridge.store.writeCounts(ctx, lane, c.bridge.node.String(), changed, false)
	switch {
	case err != nil:
		l.whole = false // nobody knows what Redis took
		return err
	case l.there && !kept:
		return c.anew(ctx, lane)
	}
	l.there = there
	return nil
}

// anew makes a lane's hash of all its rooms, if Redis answers: else a second without Redis would cost a visit to all of them.
func (c *counter) anew(ctx context.Context, lane int) error {
	l, s, node := &c.lanes[lane], c.bridge.store, c.bridge.node.String()
	l.whole = false
	if _, _, err := s.writeCounts(ctx, lane, node, nil, false); err != nil {
		return err
	}
	_, there, err := s.writeCounts(ctx, lane, node, c.bridge.rooms.All(lane, nil), true)
	if err != nil {
		return err
	}
	l.whole, l.there = true, there
	return nil
}

// writeCounts writes counts, 0 for a room that is gone, and gives the hash its time to live. kept: it was there before;
// there: it is now.
func (s *store) writeCounts(ctx context.Context, lane int, node string, counts []loop.RoomCount, anew bool) (kept, there bool, err error) {
	key := s.names.counts(lane, node)
	n := min(len(counts), countsPerCall)
	kept, there, err = s.writeSome(ctx, key, counts[:n], anew)
	for some := range slices.Chunk(counts[n:], countsPerCall) {
		if err == nil {
			_, there, err = s.writeSome(ctx, key, some, false)
		}
	}
	return kept, there, err
}

// writeSome is one call.
func (s *store) writeSome(ctx context.Context, key string, counts []loop.RoomCount, anew bool) (kept, there bool, err error) {
	timed, cancel := context.WithTimeout(ctx, s.cfg.CallMax)
	defer cancel()
	set, gone := split(counts)
	var was, is *redis.BoolCmd
	_, err = s.client.Pipelined(timed, func(p redis.Pipeliner) error {
		was = p.PExpire(timed, key, s.cfg.Lease)
		if anew {
			p.Del(timed, key)
		}
		for some := range slices.Chunk(gone, countsPerCommand) { // first: a room may have vanished and come back
			p.HDel(timed, key, some...)
		}
		for some := range slices.Chunk(set, 2*countsPerCommand) {
			p.HSet(timed, key, some...)
		}
		is = p.PExpire(timed, key, s.cfg.Lease)
		return nil
	})
	return was.Val(), is.Val(), err
}

// split sorts rooms with members, as HSET takes them, from those without.
func split(counts []loop.RoomCount) (set []any, gone []string) {
	for _, c := range counts {
		if c.Members > 0 {
			set = append(set, c.Room, c.Members)
		} else {
			gone = append(gone, c.Room)
		}
	}
	return set, gone
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
