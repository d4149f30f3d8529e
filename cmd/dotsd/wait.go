package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"dotsconnect/redisbridge"
	"dotsconnect/server"
)

// Pauses between two attempts to reach Redis. The longest pause is short, because clients wait for the end of an outage.
const (
	shortestPause = 250 * time.Millisecond
	longestPause  = 2 * time.Second
)

// sayAgain is the time after which the log repeats the same reason.
const sayAgain = time.Minute

// errEnded means that a signal ended the node while it waited for Redis.
var errEnded = errors.New("a signal stopped the node while it waited for Redis")

// awaitRedis joins the other nodes as soon as Redis is available. Until then, waiting answers clients with the reason for the
// delay.
func awaitRedis(ctx context.Context, c server.Config, log *zap.Logger, waiting *server.Waiting) (o *others, err error) {
	w := &redisWait{
		patience: time.Duration(c.RedisWait), because: waiting.Because,
		log: log.With(zap.String("address", waiting.Addr()), zap.String("admin", waiting.AdminAddr())),
	}
	err = w.until(ctx, func() (err error) {
		o, err = connectUnless(ctx, c, log)
		return err
	})
	return o, err
}

// connectUnless does the same as connect, but returns as soon as ctx is done. go-redis uses only the deadline of a context, not
// its cancellation. So without connectUnless a Redis that does not answer would delay the end of the process.
func connectUnless(ctx context.Context, c server.Config, log *zap.Logger) (*others, error) {
	type result struct {
		o   *others
		err error
	}
	came := make(chan result)
	go func() {
		o, err := connect(ctx, c, log)
		select {
		case came <- result{o, err}:
		case <-ctx.Done():
			if err == nil {
				_ = o.stop() // no node has used the connection
			}
		}
	}()
	select {
	case r := <-came:
		return r.o, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// redisWait repeats an attempt to connect until Redis is available.
type redisWait struct {
	patience time.Duration
	log      *zap.Logger
	because  func(reason string) // is called with each reason for waiting
	said     map[string]time.Time
}

// until calls try until try succeeds or fails in a way that waiting cannot fix, until the patience is over, or until ctx is done.
// An attempt that began before the end of the patience may finish.
func (w *redisWait) until(ctx context.Context, try func() error) error {
	began, pause := time.Now(), shortestPause
	for {
		err := try()
		waited := time.Since(began)
		switch {
		case err == nil:
			if w.said != nil {
				w.log.Info("connected to Redis", zap.Duration("after", waited))
			}
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", errEnded, err)
		case !redisbridge.MayPass(err):
			return fmt.Errorf("--redis: %w%s", err, redisHint(err))
		case waited >= w.patience && w.patience > 0:
			return fmt.Errorf("--redis: %w, for %v (--redis-wait)%s", err, w.patience, redisHint(err))
		case waited >= w.patience:
			return fmt.Errorf("--redis: %w%s", err, redisHint(err))
		}
		reason := ownPort.ReplaceAllString(oneLine(err), "")
		w.because(reason)
		w.say(reason, waited)
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errEnded, err)
		case <-time.After(min(pause, w.patience-waited)):
		}
		pause = min(2*pause, longestPause)
	}
}

// ownPort matches our own port in the error of a connection. Our port is removed from the error, because it differs at each
// attempt.
var ownPort = regexp.MustCompile(`\S+->`)

// say logs a reason if it is new, or if it was not logged for a minute.
func (w *redisWait) say(reason string, waited time.Duration) {
	words := strings.Fields(strings.ReplaceAll(reason, ";", " ")) // sentinels answer in a different order each time
	slices.Sort(words)
	key, now := strings.Join(words, " "), time.Now()
	if last, ok := w.said[key]; ok && now.Sub(last) < sayAgain {
		return
	}
	if w.said == nil || len(w.said) > 100 { // the limit is for reasons whose text differs at each attempt
		w.said = map[string]time.Time{}
	}
	w.said[key] = now
	w.log.Warn("waiting for Redis", zap.String("reason", reason), zap.Duration("waited", waited), zap.Stringer("limit", server.Patience(w.patience)))
}
