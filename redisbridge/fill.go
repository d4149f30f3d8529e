package redisbridge

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"dotsconnect/loop"
)

// A node that begins to keep a history (loop/history.go) fills it from the logs in Redis, so that a client that comes to a new node can
// resume there. The live batches are not held up: the filling goroutine reads the log beside them, and the new history is put in
// place when it has what the cursor of the lane has.

// longestFill is how long a node tries to fill its histories.
const longestFill = 10 * time.Second

// Fill fills the histories of all lanes. It does not block.
func (b *Bridge) Fill() {
	b.life.run(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, longestFill)
		defer cancel()
		for _, l := range b.lanes {
			l.fill(ctx)
		}
	})
}

// fill fills the history of the lane, or abandons that when ctx is done.
func (l *lane) fill(ctx context.Context) {
	f := l.bridge.rooms.Fill(l.index)
	if f == nil {
		return
	}
	find := func(name []byte) (string, bool) { return f.Name(name), true }
	for ctx.Err() == nil {
		next := f.Next()
		done, err := l.fillPage(ctx, f, find)
		switch {
		case done:
			return
		case err != nil:
			l.bridge.failed(err)
			pause(ctx, firstPause)
		case f.Next() == next: // the cursor is ahead of the log that was read
			pause(ctx, firstPause)
		}
	}
	f.Abandon()
}

// logged is a batch of the log.
type logged struct {
	seq  uint64
	pubs []*loop.Publication
}

// fillPage adds a page of the log, and reports whether the history is complete.
func (l *lane) fillPage(ctx context.Context, f *loop.Fill, find finder) (done bool, err error) {
	server := l.server()
	if server == nil {
		return false, errAway
	}
	var p page
	if err := server.do(ctx, func(c *redis.Client) (err error) {
		p, err = l.bridge.store.read(ctx, c, l.index, question{from: f.Next(), count: pageSize})
		return err
	}); err != nil {
		return false, err
	}
	var batches []logged
	for _, e := range p.entries {
		all, err := parseBatch(e.batch, find)
		if err != nil {
			continue // the history begins behind it
		}
		batches = append(batches, logged{e.seq, all.pubs})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.cur.at
	tag := l.tagIn(at.epoch)
	if p.at.epoch == at.epoch {
		for _, b := range batches {
			if b.seq >= f.Next() && b.seq <= at.seq {
				f.Add(b.seq, tag, b.pubs)
			}
		}
	}
	return f.Done(loop.ID{Seq: at.seq, Tag: tag}), nil
}
