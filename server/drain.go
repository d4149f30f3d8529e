package server

import (
	"context"
	"time"

	"go.uber.org/zap"

	"dotsconnect/loop"
)

// Draining, step by step: not ready, so that load balancers send nobody new; after a delay no more accepting; then every
// connection is ended in good order with 4200, spread over DrainTime so that they do not all come back elsewhere in the
// same second; then wait until the last one is gone.

// drainStep is how often a part of the connections is ended.
const drainStep = 20 * time.Millisecond

// Drain takes the node out of service. It returns when everybody was told and is gone, or with ctx's error when that is
// done; Close then cuts the rest.
func (s *Server) Drain(ctx context.Context, delay time.Duration) error {
	s.phase.CompareAndSwap(phaseReady, phaseDraining)
	if err := pause(ctx, delay); err != nil {
		return err
	}
	if err := s.acceptor.stop(); err != nil {
		s.log.Warn("close the listener", zap.Error(err))
	}
	began, total := time.Now(), s.connections()
	for {
		passed := time.Since(began)
		for _, l := range s.node.Loops() {
			leaveSome(l, passed, s.cfg.DrainTime)
		}
		if s.connections() == 0 {
			break
		}
		if err := pause(ctx, drainStep); err != nil {
			return err
		}
	}
	if err := s.flushBackend(ctx); err != nil {
		return err
	}
	s.log.Info("drained", zap.Int("connections", total), zap.Duration("took", time.Since(began).Round(time.Millisecond)))
	return nil
}

// leaveSome ends so many connections of the loop that by the end of DrainTime all are ended.
func leaveSome(l *loop.Loop, passed, limit time.Duration) {
	l.Call(func(l *loop.Loop) {
		open := 0
		l.Each(func(c *loop.Conn) bool {
			if c.Open() {
				open++
			}
			return true
		})
		quota := open
		if left := int((limit - passed) / drainStep); left > 0 {
			quota = (open + left) / (left + 1)
		}
		l.Each(func(c *loop.Conn) bool {
			if quota > 0 && c.Open() {
				c.Peer().(*session).leave()
				quota--
			}
			return quota > 0
		})
	})
}

// pause waits for d or until ctx is done.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
