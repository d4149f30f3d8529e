package redisbridge

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
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
	key        [2]uint64 // of LaneOf
	meta       string
	lanes      []*lane
	listener   listener
	began      time.Time
	dir        deliverer
	rooms      *loop.Directory
	loops      loops
	done       chan struct{} // closed by Close
	cancel     context.CancelFunc
	wait       sync.WaitGroup

	// Any goroutine.
	stats   stats
	held    atomic.Int64 // bytes of publications that are queued or on their way
	full    atomic.Bool  // the loops were told to hold back
	proven  atomic.Int64 // when the last round trip began, since began
	trouble atomic.Pointer[string]
	misfit  atomic.Pointer[string]
	spoke   atomic.Int64 // when the last log line about trouble was written, since began
	once    sync.Once
}

// deliverer and loops are what a bridge needs of the core; the model test has its own.
type deliverer interface {
	Deliver(lane int, epoch, seq uint64, pubs []*loop.Publication)
}

type loops interface {
	Congested() int
	HoldBack(on bool)
	Refuse(p *loop.Publication)
	Lose(p *loop.Publication)
}

// stats only grow.
type stats struct {
	received, refilled, rejected, local, foreign atomic.Uint64
	published, batches                           atomic.Uint64
	gaps, lost, reconnects, minted               atomic.Uint64
}

// ErrDiffers says that this node is set up in another way than those that are there.
var ErrDiffers = errors.New("nodes of one system must agree")

// connectTimeout is how long Connect waits for Redis.
const connectTimeout = 5 * time.Second

// Connect finds Redis, and agrees with the other nodes about the lanes: who comes first writes it down.
func Connect(ctx context.Context, cfg Config, log *zap.Logger) (*Bridge, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	address, err := ParseAddress(cfg.URL)
	if err != nil {
		return nil, err
	}
	b := &Bridge{cfg: cfg, log: log, began: time.Now(), done: make(chan struct{}), node: nodeID(randomUint64() | 1), localEpoch: randomUint64()}
	b.store = newStore(&b.cfg, address)
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := b.agree(ctx, address); err != nil {
		_ = b.store.close() // the reason is err
		return nil, err
	}
	for i := range b.cfg.Lanes {
		b.lanes = append(b.lanes, newLane(b, i))
	}
	for _, l := range b.lanes {
		err := l.begin(
			func(c call) (answer, error) { return b.store.publish(ctx, c) },
			func(from uint64, count int) (page, error) { return b.store.read(ctx, l.index, from, count, true) })
		if err != nil {
			_ = b.store.close()
			return nil, fmt.Errorf("redis at %s: %w", address, err)
		}
	}
	return b, nil
}

// agree settles the lanes and the key of LaneOf: SETNX, and what stands there then holds for all.
func (b *Bridge) agree(ctx context.Context, address *Address) error {
	wanted := b.cfg.Lanes
	if b.cfg.Lanes == 0 {
		if b.cfg.Lanes = 16; address.Kind == Cluster {
			b.cfg.Lanes = 64
		}
	}
	b.store.names = &names{prefix: b.cfg.Prefix}
	ours := formatMeta(b.cfg.Lanes, [2]uint64{randomUint64(), randomUint64()})
	client, key := b.store.client, b.store.names.meta()
	if err := client.SetNX(ctx, key, ours, 0).Err(); err != nil {
		return fmt.Errorf("redis at %s: %w", address, err)
	}
	meta, err := client.Get(ctx, key).Result()
	if err != nil {
		return fmt.Errorf("redis at %s: %w", address, err)
	}
	version, lanes, hash, err := parseMeta(meta)
	switch {
	case err != nil:
		return fmt.Errorf("redis at %s: the key %s holds %.60q, which no node wrote; take another prefix: %w", address, key, meta, ErrDiffers)
	case version != batchVersion:
		return fmt.Errorf("redis at %s: the nodes under the prefix %s speak format %d, this one %d; take another prefix, or the same version of the program: %w", address, b.cfg.Prefix, version, batchVersion, ErrDiffers)
	case wanted != 0 && wanted != lanes:
		return fmt.Errorf("redis at %s: the nodes under the prefix %s have %d lanes, this one is set to %d; take %d or 0, or another prefix: %w", address, b.cfg.Prefix, lanes, wanted, lanes, ErrDiffers)
	}
	b.cfg.Lanes, b.key, b.meta = lanes, hash, meta
	b.store.names = newNames(b.cfg.Prefix, lanes)
	return nil
}

func formatMeta(lanes int, key [2]uint64) string {
	return fmt.Sprintf("v%d lanes=%d key=%016x%016x", batchVersion, lanes, key[0], key[1])
}

func parseMeta(text string) (version, lanes int, key [2]uint64, err error) {
	_, err = fmt.Sscanf(text, "v%d lanes=%d key=%16x%16x", &version, &lanes, &key[0], &key[1])
	if err == nil && (lanes < 1 || lanes > MaxLanes) {
		err = errReply
	}
	return version, lanes, key, err
}

// checkMeta writes the agreement again if Redis has lost it, and notices if other nodes have made another one since.
func (b *Bridge) checkMeta(ctx context.Context) error {
	timed, cancel := context.WithTimeout(ctx, b.cfg.CallMax)
	defer cancel()
	key := b.store.names.meta()
	if err := b.store.client.SetNX(timed, key, b.meta, 0).Err(); err != nil {
		return err
	}
	meta, err := b.store.client.Get(timed, key).Result()
	if err != nil {
		return err
	}
	if meta == b.meta {
		b.misfit.Store(nil)
		return nil
	}
	text := "other nodes cut the rooms into lanes in another way, since Redis lost its data: restart this node"
	if b.misfit.Swap(&text) == nil {
		b.log.Error("redis: " + text)
	}
	return nil
}

// Lanes is how many lanes there are, for loop.Config.
func (b *Bridge) Lanes() int { return b.cfg.Lanes }

// LaneOf is the lane of a room, for loop.Config. Any goroutine.
func (b *Bridge) LaneOf(room string) int {
	return int(sipHash(b.key[0], b.key[1], room) % uint64(b.cfg.Lanes))
}

// Start begins to deliver to the node, which must have been made with Lanes and LaneOf.
func (b *Bridge) Start(node *loop.Node) {
	b.attach(node)
	b.run()
}

func (b *Bridge) attach(node *loop.Node) {
	b.rooms = node.Directory()
	b.dir, b.loops = b.rooms, node
}

func (b *Bridge) run() {
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	b.listener = listener{bridge: b, orphans: make(chan []*lane, len(b.lanes))}
	for _, l := range b.lanes {
		b.wait.Go(func() { l.send(ctx) })
		b.wait.Go(func() { l.receive(ctx) })
	}
	b.wait.Go(func() { b.listener.run(ctx) })
	b.wait.Go(func() { b.probe(ctx) })
	b.wait.Go(func() { b.count(ctx) })
}

// later calls f on a goroutine of its own that Close waits for. Only from the bridge's goroutines.
func (b *Bridge) later(f func(ctx context.Context)) {
	b.wait.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), b.cfg.CallMax)
		defer cancel()
		f(ctx)
	})
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
		close(b.done)
		if b.cancel != nil {
			b.cancel()
			b.wait.Wait()
			ctx, cancel := context.WithTimeout(context.Background(), b.cfg.CallMin)
			b.store.resign(ctx, b.node.String())
			cancel()
		}
		err = b.store.close()
	})
	return err
}

// Publish implements loop.Bus.
func (b *Bridge) Publish(p *loop.Publication) {
	b.rooms.Charge(p)
	b.lanes[b.LaneOf(p.Room)].publish(p)
}

// Join implements loop.Bus: every lane is subscribed anyhow, so there is nobody to ask.
func (b *Bridge) Join(room string, l *loop.Loop) { b.rooms.Join(room, l) }

// Leave implements loop.Bus.
func (b *Bridge) Leave(e *loop.Entry, l *loop.Loop) { b.rooms.Leave(e, l) }

// Refuses reports that a publication into the room would be rejected now. Any goroutine.
func (b *Bridge) Refuses(room string) bool {
	return b.cfg.Down == Reject && b.lanes[b.LaneOf(room)].isDown()
}

// hold counts bytes that are on their way; from half of the limit on the loops read no further.
func (b *Bridge) hold(n int64) {
	if b.held.Add(n) > b.cfg.MaxHeld/2 && b.full.CompareAndSwap(false, true) {
		b.loops.HoldBack(true)
	}
}

// release counts bytes that are settled; at a quarter of the limit the loops go on.
func (b *Bridge) release(n int64) {
	if b.held.Add(-n) <= b.cfg.MaxHeld/4 && b.full.CompareAndSwap(true, false) {
		b.loops.HoldBack(false)
	}
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
				b.reject(p)
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
	b.log.Warn("redis: a gap in a lane", zap.Int("lane", g.Lane), zap.Uint64("batches_lost", g.Lost), zap.String("reason", g.Reason))
	if b.cfg.OnGap != nil {
		b.cfg.OnGap(g)
	}
}

func (b *Bridge) minted(lane int, a answer) {
	b.stats.minted.Add(1)
	if a.minted != "no counter" || a.at.seq != 1 {
		b.log.Warn("redis: a lane was numbered anew", zap.Int("lane", lane), zap.String("why", a.minted))
	}
}

func (b *Bridge) laneDown(lane, unsettled int, err error) {
	b.log.Warn("redis: a lane is down", zap.Int("lane", lane), zap.Int("publications", unsettled), zap.String("policy", string(b.cfg.Down)), zap.Error(err))
}

// troubleLines is the time between two log lines about Redis being away.
const troubleLines = time.Second

// failed remembers the newest trouble for Ready, and says it in the log once a second.
func (b *Bridge) failed(err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	text := strings.ToValidUTF8(err.Error(), "?")
	b.trouble.Store(&text)
	now, last := int64(time.Since(b.began)), b.spoke.Load()
	if now-last > int64(troubleLines) && b.spoke.CompareAndSwap(last, now) {
		b.log.Warn("redis: trouble", zap.String("what", text))
	}
}

// random is 5 hexadecimal digits for an epoch.
func (b *Bridge) random() string { return fmt.Sprintf("%05x", randomUint64()>>44) }

func randomUint64() uint64 {
	var r [8]byte
	_, _ = rand.Read(r[:]) // never fails, says its documentation
	return binary.BigEndian.Uint64(r[:])
}

func isNil(err error) bool { return errors.Is(err, redis.Nil) }
