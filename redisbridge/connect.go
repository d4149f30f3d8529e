package redisbridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// ErrDiffers is the error if this node is configured differently from the existing nodes.
var ErrDiffers = errors.New("nodes of one system must agree")

// connectTimeout is how long Connect waits for Redis.
const connectTimeout = 5 * time.Second

// Connect finds Redis, and agrees with the other nodes about the lanes: the first node writes the agreement.
func Connect(ctx context.Context, cfg Config, log *zap.Logger) (*Bridge, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	address, err := ParseAddress(cfg.URL)
	if err != nil {
		return nil, err
	}
	b := newBridge(cfg, log)
	if address.TLS != nil && cfg.TLS != nil {
		name := address.TLS.ServerName
		if address.TLS = cfg.TLS.Clone(); address.TLS.ServerName == "" {
			address.TLS.ServerName = name
		}
	}
	b.store = newStore(&b.cfg, address)
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := b.agree(ctx); err != nil {
		_ = b.store.close() // err has the reason that the caller needs
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

// beginners is the number of lanes that begin at the same time. If they began one after the other, 64 lanes would take a minute
// over a connection with a round trip of 200 ms.
const beginners = 64

// begin sets every lane to the current position of that lane in Redis. The first calls may take longer than later calls,
// because there is no connection yet and Redis does not know the scripts. So begin repeats them until ctx is done.
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
				func(q question) (p page, err error) {
					err = persist(ctx, func() error { p, err = b.store.read(ctx, client, l.index, q); return err })
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

// persist calls f again while f times out, until ctx is done. It returns any other error at once.
func persist(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil || !timedOut(err) || ctx.Err() != nil {
			return err
		}
	}
}
