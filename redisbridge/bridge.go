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
// Connect finds out how the rooms are cut into lanes; then the loops are made, with Lanes and LaneOf; then Start begins.
type Bridge struct {
	// Immutable after Start.
	cfg        Config
	log        *zap.Logger
	store      *store
	node       nodeID
	localEpoch uint64
	accord     accord
	lanes      []*lane
	homes      *homes
	presence   presence
	eviction   eviction
	awake      awake
	pace       pace
	life       context.Context // ends with Close
	began      time.Time
	dir        deliverer
	rooms      *loop.Directory
	loops      loops
	cancel     context.CancelFunc
	wait       sync.WaitGroup

	// Any goroutine.
	brake
	troubles
	stats   stats
	journal journal
	once    sync.Once
	closed  atomic.Bool
	woke    atomic.Bool // a sender has something to do, and a loop's goroutine may be about to wait
}

// deliverer and loops are what a bridge needs of the core; the model test has its own.
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

// stats only grow.
type stats struct {
	received, refilled, rejected, local, foreign atomic.Uint64
	published, batches                           atomic.Uint64
	gaps, lost, reconnects, minted               atomic.Uint64
}

// Lanes is how many lanes there are, for loop.Config.
func (b *Bridge) Lanes() int { return b.cfg.Lanes }

// Descriptors is how many connections to Redis may be open: four to each master (of a Cluster that has up to 16), those with which the lanes
// begin, and those to sentinels.
func (b *Bridge) Descriptors() int {
	masters := 1
	if b.store.cluster != nil {
		masters = min(b.cfg.Lanes, 16)
	}
	return 4*masters + min(b.cfg.Lanes, beginners) + 16
}

// LaneOf is the lane of a room, for loop.Config. Any goroutine.
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
	b.rooms.Watch() // for the counts
	b.dir, b.loops = b.rooms, node
}

func (b *Bridge) run() {
	b.link()
	b.wait.Go(func() { b.count(b.life) })
	b.wait.Go(func() { b.presence.run(b.life) })
	b.wait.Go(func() { b.eviction.run(b.life, b.homes, b.log) })
}

// link begins to make links, and to watch over them.
func (b *Bridge) link() {
	b.homes = newHomes(b)
	b.wait.Go(func() { b.homes.run(b.life) })
	b.wait.Go(func() { b.watch(b.life) })
}

// watch winds the clock, and has all who wait look at it.
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
		b.relieved()
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

// Flush waits until nothing that was published here is on its way any more, or until ctx is done.
func (b *Bridge) Flush(ctx context.Context) error {
	for b.held.Load() > 0 {
		if ctx.Err() != nil {
			return fmt.Errorf("%d bytes of publications are still on their way through Redis: %w", b.held.Load(), ctx.Err())
		}
		pause(ctx, firstPause)
	}
	return nil
}

// Close stops everything. What has not been sent yet is lost; Flush first.
func (b *Bridge) Close() error {
	var err error
	b.once.Do(func() {
		b.closed.Store(true)
		b.cancel()
		b.wait.Wait()
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
	b.rooms.Charge(p)
	if b.accord.broken.Load() { // the others would look for it in another lane
		b.reject(p)
		return
	}
	b.lanes[b.LaneOf(p.Room)].publish(p)
}

// Yield lets a sender that was idle and has something to do now run before the goroutine of a loop waits for the kernel. There
// the scheduler does not see it waiting, and would wake another thread for the sender, which takes 0.1 ms on a machine that
// is idle. To be called by a loop's goroutine between two events.
func (b *Bridge) Yield() {
	if b.woke.Load() && b.woke.Swap(false) {
		runtime.Gosched()
	}
}

// Join implements loop.Bus: every lane is subscribed anyhow, so there is nobody to ask.
func (b *Bridge) Join(room string, l *loop.Loop) { b.rooms.Join(room, l) }

// Leave implements loop.Bus.
func (b *Bridge) Leave(e *loop.Entry, l *loop.Loop) { b.rooms.Leave(e, l) }

// Refuses reports that a publication into the room would be rejected now. Any goroutine.
func (b *Bridge) Refuses(room string) bool {
	return b.cfg.Down == Reject && b.lanes[b.LaneOf(room)].isDown()
}

// reject tells the sender that its message will not be delivered. Any goroutine.
func (b *Bridge) reject(p *loop.Publication) {
	b.stats.rejected.Add(1)
	b.loops.Refuse(p)
}

// settleLost gives up batches that Redis took and lost before they came back: under the policy reject their senders are
// told. The gap is announced by who found it.
func (b *Bridge) settleLost(lost []*flight) {
	for _, f := range lost {
		b.release(f.bytes)
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

// gap announces that something may not have reached the members here. Any goroutine.
func (b *Bridge) gap(g Gap) {
	b.stats.gaps.Add(1)
	b.stats.lost.Add(g.Lost)
	b.journal.write(note{
		level: zap.WarnLevel, message: "redis: a gap, members here may have missed something", reason: g.Reason, unit: "batches_lost", count: g.Lost,
	}, g.Lane)
	if b.cfg.OnGap != nil {
		b.cfg.OnGap(g)
	}
}

func (b *Bridge) minted(lane int, a answer) {
	b.stats.minted.Add(1)
	b.presence.ring()
	if a.minted != "no counter" || a.at.seq != 1 {
		b.journal.write(note{level: zap.WarnLevel, message: "redis: lanes were numbered again", reason: a.minted}, lane)
	}
}

func (b *Bridge) laneDown(lane, unsettled int, err error) {
	reason := "the hold time of " + b.cfg.Hold.String() + " is over, --redis-down=" + string(b.cfg.Down) + " decides"
	if err != nil {
		reason += ": " + err.Error()
	}
	b.journal.write(note{level: zap.WarnLevel, message: "redis: lanes are down", reason: reason, unit: "publications", count: uint64(unsettled)}, lane)
}

// laneBack says that Redis takes the lane's publications again; local is how many were delivered on this node alone.
func (b *Bridge) laneBack(lane int, local uint64) {
	b.journal.write(note{level: zap.InfoLevel, message: "redis: lanes are back", unit: "delivered_here_alone", count: local}, lane)
}

func randomUint64() uint64 {
	var r [8]byte
	_, _ = rand.Read(r[:]) // never fails, says its documentation
	return binary.BigEndian.Uint64(r[:])
}

func isNil(err error) bool { return errors.Is(err, redis.Nil) }
