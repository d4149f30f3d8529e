package server

import (
	"context"
	"time"

	"go.uber.org/zap"

	"dotsconnect/loop"
)

// Draining has four steps. The node reports that it is not ready, so that load balancers send no new clients. After a delay it
// stops accepting connections. Then it ends every connection with 4200, spread over DrainTime, so that the clients do not all
// reconnect to other nodes in the same second. Then it waits until the last connection is gone.

// drainStep is the interval between two steps; each step ends a part of the connections.
const drainStep = 20 * time.Millisecond

// Drain takes the node out of service. It returns when all clients were told and all connections are gone, or with the error of
// ctx when ctx is done. Close then cuts the connections that are left.
func (s *Server) Drain(ctx context.Context, delay time.Duration) error {
	s.phase.CompareAndSwap(phaseReady, phaseDraining)
	if err := pause(ctx, delay); err != nil {
		return err
	}
	if err := s.acceptor.stop(); err != nil {
		s.log.Warn("cannot close the listener", zap.Error(err))
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

// leaveSome ends the connections of the loop that are due after the time passed, so that all connections have been ended at the
// time limit.
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
