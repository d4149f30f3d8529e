package redisbridge

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"dotsconnect/loop"
)

// Counting members over all nodes. For each lane in which it has members, a node has a hash in Redis: room -> members on this
// node. The node keeps refreshing the expiry of the hash. So the hash of a node that is gone expires some time later; until
// then no node reads it (presence.go). Rooms are fields of hashes, never keys.
//
// Every second the node writes, lane by lane, the rooms whose count has changed since the last pass: the directory has marked
// them (loop/countchanges.go), so the cost of a pass depends on the number of changes, not of rooms. The node does not remember
// the counts that it wrote: HSET and HDEL write the current counts, whatever Redis had. A lane's hash is rebuilt from all rooms
// of the lane only if counts of other rooms in it may be wrong too. There are four cases: a write failed; the lane has a new
// epoch (as it always has after Redis lost data); the hash expired because this process stood still; or the directory dropped
// its list of changed rooms. The lanes do not wait for each other, because on a Cluster the server of one of them may be out of
// reach.

const (
	countsPerCommand = 512
	countsPerCall    = 32 * countsPerCommand // limited, because a call has a time limit and other clients wait for it
	refreshEvery     = 5                     // number of passes after which a deleted hash has been noticed
	countsAtOnce     = 16                    // number of lanes that are written at the same time
)

// counter is the state of the goroutine that writes the counts.
type counter struct {
	bridge *Bridge
	lanes  []countedLane
	due    time.Time // time of the next refresh
}

// countedLane is the state of a lane's hash, as far as the counter knows.
type countedLane struct {
	epoch string // epoch of the lane when the hash was made
	whole bool   // Redis has taken all writes since the hash was made, so it is enough to write the changes
	there bool   // the hash has fields, so it exists
}

func newCounter(b *Bridge) *counter {
	return &counter{bridge: b, lanes: make([]countedLane, len(b.lanes))}
}

// count is the goroutine that writes the counts.
func (b *Bridge) count(ctx context.Context) {
	c := newCounter(b)
	ticker := time.NewTicker(b.cfg.Look)
	defer ticker.Stop()
	for {
		if err := c.once(ctx); err != nil {
			b.failed(fmt.Errorf("cannot write the counts of members: %w", err))
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
	slots, errs := make(chan struct{}, countsAtOnce), make([]error, len(c.lanes))
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
		c.due = time.Now().Add(refreshEvery * c.bridge.cfg.Look)
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
	kept, there, err := c.bridge.writeCounts(ctx, lane, changed, false)
	switch {
	case err != nil:
		l.whole = false // it is unknown which of the writes Redis took
		return err
	case l.there && !kept:
		return c.anew(ctx, lane)
	}
	l.there = there
	return nil
}

// anew rebuilds a lane's hash from all rooms of the lane, but only if Redis answers a small call first. Otherwise each second
// without Redis would cost a visit to all rooms.
func (c *counter) anew(ctx context.Context, lane int) error {
	l, b := &c.lanes[lane], c.bridge
	l.whole = false
	if _, _, err := b.writeCounts(ctx, lane, nil, false); err != nil {
		return err
	}
	_, there, err := b.writeCounts(ctx, lane, b.rooms.All(lane, nil), true)
	if err != nil {
		return err
	}
	l.whole, l.there = true, there
	return nil
}

// writeCounts writes the counts (0 for a room that is gone), and sets the expiry of the hash. The result kept reports whether
// the hash existed before, and the result there whether it exists now.
func (b *Bridge) writeCounts(ctx context.Context, lane int, counts []loop.RoomCount, anew bool) (kept, there bool, err error) {
	server, key := b.lanes[lane].server(), b.store.names.counts(lane, b.node.String())
	if server == nil {
		return false, false, errAway
	}
	n := min(len(counts), countsPerCall)
	kept, there, err = b.store.writeSome(ctx, server, key, counts[:n], anew)
	for some := range slices.Chunk(counts[n:], countsPerCall) {
		if err == nil {
			_, there, err = b.store.writeSome(ctx, server, key, some, false)
		}
	}
	return kept, there, err
}

// writeSome writes some of the counts in one call.
func (s *store) writeSome(ctx context.Context, server *slow, key string, counts []loop.RoomCount, anew bool) (kept, there bool, err error) {
	set, gone := split(counts)
	err = server.pipeline(ctx, s.cfg.CallMax, func(ctx context.Context, p redis.Pipeliner) func() {
		was := p.PExpire(ctx, key, s.cfg.Keep)
		if anew {
			p.Del(ctx, key)
		}
		for some := range slices.Chunk(gone, countsPerCommand) { // before HSet, because a room that vanished and came back is in both lists
			p.HDel(ctx, key, some...)
		}
		for some := range slices.Chunk(set, 2*countsPerCommand) {
			p.HSet(ctx, key, some...)
		}
		is := p.PExpire(ctx, key, s.cfg.Keep)
		return func() { kept, there = was.Val(), is.Val() }
	})
	return kept, there, atKey(err, key)
}

// split separates the rooms with members, in the form that HSET takes, from the rooms without members.
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
