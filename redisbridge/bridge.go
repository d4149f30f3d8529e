package redisbridge

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"dotsconnect/loop"
)

// Bridge implements loop.Bus over Redis.
//
// Connect first learns how the rooms are divided into lanes. Then the caller makes the loops, with Lanes and LaneOf. Then Start
// begins to deliver to them.
type Bridge struct {
	// Immutable after Start.
	cfg      Config
	store    *store
	node     nodeID
	accord   accord
	lanes    lanes
	homes    *homes
	presence presence
	eviction eviction
	life     life
	times
	core

	// Any goroutine.
	reports
	held held
	woke atomic.Bool // a lane that was idle has something to send; checked before a loop's goroutine waits
}

// newBridge makes a bridge that has no lanes, no store and no loops yet.
func newBridge(cfg Config, log *zap.Logger) *Bridge {
	b := &Bridge{cfg: cfg, node: nodeID(randomUint64() | 1)}
	b.times.began = time.Now()
	b.reports = reports{cfg: &b.cfg, log: log, journal: journal{log: log}, began: b.times.began}
	b.life.ctx, b.life.cancel = context.WithCancel(context.Background())
	b.pace.init(cfg.Silence, 4*cfg.Silence)
	b.presence.init(b)
	b.accord.lost = make(chan error, 1)
	b.held.limit, b.held.holdBack = cfg.MaxHeld, func(on bool) { b.loops.HoldBack(on) }
	return b
}

// life holds the goroutines of a bridge. They end when ctx is done.
type life struct {
	ctx    context.Context
	cancel context.CancelFunc
	wait   sync.WaitGroup
	once   sync.Once
}

// run calls f on a new goroutine.
func (l *life) run(f func(ctx context.Context)) { l.wait.Go(func() { f(l.ctx) }) }

// end ends the goroutines and waits for them.
func (l *life) end() {
	l.cancel()
	l.wait.Wait()
}

// core holds the loops of this node. Tests of the bridge replace them.
type core struct {
	dir   deliverer
	loops loops
	rooms *loop.Directory // nil until the bridge is attached to a node
}

// empty reports whether no room has a member on this node.
func (c *core) empty() bool { return c.rooms != nil && c.rooms.Rooms() == 0 }

// deliverer and loops are the interfaces through which a bridge uses the core; the model test implements them itself.
type deliverer interface {
	Name(lane int, room []byte) (name string, here bool)
	Deliver(lane int, pubs []*loop.Publication)
	DeliverLate(lane int, pubs []*loop.Publication)
}

type loops interface {
	Congested() int
	HoldBack(on bool)
	Refuse(p *loop.Publication)
	Doubt(p *loop.Publication)
	Lose(p *loop.Publication)
}

// Lanes is the number of lanes, for loop.Config.
func (b *Bridge) Lanes() int { return b.cfg.Lanes }

// Descriptors is the number of connections to Redis that may be open: four to each master (on a Cluster, up to 16 masters are
// counted), the connections with which the lanes start, and the connections to sentinels.
func (b *Bridge) Descriptors() int {
	masters := 1
	if b.store.cluster != nil {
		masters = min(b.cfg.Lanes, 16)
	}
	return 4*masters + min(b.cfg.Lanes, beginners) + 16
}

// LaneOf returns the lane of a room, for loop.Config. Any goroutine.
func (b *Bridge) LaneOf(room string) int {
	return laneOf(&b.accord.meta, room)
}

// Start begins to deliver to the node, which must have been made with Lanes and LaneOf.
func (b *Bridge) Start(node *loop.Node) {
	b.attach(node)
	b.run()
}

func (b *Bridge) attach(node *loop.Node) {
	b.rooms = node.Directory()
	node.PresenceAs(uint64(b.node))
	b.rooms.Watch() // the counts of members need it
	b.dir, b.loops = b.rooms, node
	for _, l := range b.lanes {
		l.mu.Lock()
		l.reached()
		l.mu.Unlock()
	}
}

func (b *Bridge) run() {
	b.link()
	b.life.run(b.count)
	b.life.run(b.presence.run)
	b.life.run(census{b}.run)
	b.life.run(func(ctx context.Context) { b.eviction.run(ctx, b.homes, b.log) })
}

// link starts the goroutine that makes the links, and the goroutine that watches them.
func (b *Bridge) link() {
	b.homes = newHomes(b)
	b.life.run(b.homes.run)
	b.life.run(b.watch)
}

// watch advances the awake clock, and lets the lanes and links check their deadlines against it.
func (b *Bridge) watch(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		b.awake.wind(time.Now())
		now := b.awake.read()
		for _, l := range b.lanes {
			l.watch(now)
		}
		for _, k := range b.homes.all() {
			k.watch(now)
		}
		b.relieved(b.proven())
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// pause waits for d or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// Flush waits until no publication of this node is in flight, or until ctx is done.
func (b *Bridge) Flush(ctx context.Context) error {
	for b.held.bytes.Load() > 0 {
		if ctx.Err() != nil {
			return fmt.Errorf("%d bytes of publications are still in flight through Redis: %w", b.held.bytes.Load(), ctx.Err())
		}
		pause(ctx, firstPause)
	}
	return nil
}

// Close stops everything. Publications that are not sent yet are lost, so call Flush first.
func (b *Bridge) Close() error {
	var err error
	b.life.once.Do(func() {
		b.closed.Store(true)
		b.life.end()
		if b.homes != nil {
			ctx, cancel := context.WithTimeout(context.Background(), b.cfg.Silence)
			b.presence.resign(ctx)
			cancel()
		}
		err = b.store.close()
		b.journal.flush()
	})
	return err
}

// Publish implements loop.Bus.
func (b *Bridge) Publish(p *loop.Publication) {
	b.rooms.Reserve(p)
	if p.Kind == loop.KindFence && b.format() == 1 { // nodes of the older version would not understand it
		b.loops.Refuse(p)
		return
	}
	if b.accord.broken.Load() { // the other nodes have another agreement, and would look for p in another lane
		b.reject(p)
		return
	}
	if ofPresence(p) && b.format() == 1 { // nodes of version 1 of the program do not know it
		b.loops.Lose(p)
		return
	}
	b.lanes[b.LaneOf(p.Room)].publish(p)
}

// Yield lets a goroutine that sends to Redis run before the goroutine of a loop waits for the kernel, if the sending goroutine was
// idle and now has something to send. The Go scheduler does not see that wait, so without Yield it would wake another thread for the
// sending goroutine, which takes 0.1 ms on an idle machine. A loop's goroutine calls Yield between two events.
func (b *Bridge) Yield() {
	if b.woke.Load() && b.woke.Swap(false) {
		runtime.Gosched()
	}
}

// Join implements loop.Bus. The bridge is subscribed to every lane anyway, so it need not ask Redis.
func (b *Bridge) Join(room string, l *loop.Loop) { b.rooms.Join(room, l) }

// Leave implements loop.Bus.
func (b *Bridge) Leave(e *loop.Entry, l *loop.Loop) { b.rooms.Leave(e, l) }

// Refuses reports whether a publication into the room would be rejected now. Any goroutine.
func (b *Bridge) Refuses(room string) bool {
	return b.cfg.Down == Reject && b.lanes[b.LaneOf(room)].isDown()
}

// reject tells the sender of p that its message will not be delivered. Any goroutine.
func (b *Bridge) reject(p *loop.Publication) {
	b.stats.rejected.Add(1)
	b.loops.Refuse(p)
}

// settleLost gives up batches that Redis took and lost before they came back. Under the policy Reject it tells the senders of
// their messages. The caller announces the gap.
func (b *Bridge) settleLost(lost []*flight) {
	for _, f := range lost {
		b.held.release(f.bytes)
		b.stats.lost.Add(uint64(len(f.pubs)))
		for _, p := range f.pubs {
			if b.cfg.Down == Reject {
				b.stats.rejected.Add(1)
				b.loops.Doubt(p)
			} else {
				b.loops.Lose(p)
			}
		}
	}
}

func (b *Bridge) minted(lane int, a answer) {
	b.stats.minted.Add(1)
	b.presence.ring()
	if a.minted != "no counter" || a.at.seq != 1 {
		b.journal.write(note{level: zap.WarnLevel, message: "redis: lanes have a new epoch", reason: a.minted}, lane)
	}
}

func randomUint64() uint64 {
	var r [8]byte
	_, _ = rand.Read(r[:]) // its documentation says that it never fails
	return binary.BigEndian.Uint64(r[:])
}

func isNil(err error) bool { return errors.Is(err, redis.Nil) }
