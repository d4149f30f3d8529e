package redisbridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

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
	b := &Bridge{cfg: cfg, log: log, journal: journal{log: log}, began: time.Now(), done: make(chan struct{}), node: nodeID(randomUint64() | 1), localEpoch: randomUint64()}
	b.life, b.cancel = context.WithCancel(context.Background())
	b.pace.init(cfg.Silence, 4*cfg.Silence)
	b.presence.init(b)
	if address.TLS != nil && cfg.TLS != nil {
		name := address.TLS.ServerName
		if address.TLS = cfg.TLS.Clone(); address.TLS.ServerName == "" {
			address.TLS.ServerName = name
		}
	}
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
	if err := b.begin(ctx); err != nil {
		_ = b.store.close()
		return nil, fmt.Errorf("redis at %s: %w", address, err)
	}
	return b, nil
}

// beginners is how many lanes begin at once: one after the other, 64 of them would take a minute over a link of 200 ms.
const beginners = 64

// begin puts every lane where Redis is now. The first calls may take longer than later ones: there is no connection yet,
// and Redis does not know the scripts. So they are tried until ctx is done.
func (b *Bridge) begin(ctx context.Context) error {
	client := b.store.open(beginners)
	defer func() { _ = client.Close() }()
	slots, errs := make(chan struct{}, beginners), make([]error, len(b.lanes))
	var wait sync.WaitGroup
	for i, l := range b.lanes {
		wait.Go(func() {
			slots <- struct{}{}
			errs[i] = l.begin(
				func(c call) (a answer, err error) {
					err = persist(ctx, func() error { a, err = b.store.publish(ctx, client, c); return err })
					return a, err
				},
				func(from uint64, count int) (p page, err error) {
					err = persist(ctx, func() error { p, err = b.store.read(ctx, client, l.index, from, count, true); return err })
					return p, err
				})
			<-slots
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// persist calls f until it no longer runs out of time, or ctx is done. Any other error is the answer.
func persist(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil || !timedOut(err) || ctx.Err() != nil {
			return err
		}
	}
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
	var meta string
	err := persist(ctx, func() error { return client.SetNX(ctx, key, ours, 0).Err() })
	if err == nil {
		err = persist(ctx, func() (err error) { meta, err = client.Get(ctx, key).Result(); return err })
	}
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
	b.store.names.db = address.DB
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
