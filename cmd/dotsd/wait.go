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

// Between two tries to reach Redis. The longest is short: clients wait for its end.
const (
	shortestPause = 250 * time.Millisecond
	longestPause  = 2 * time.Second
)

// sayAgain is how often the log has the same reason.
const sayAgain = time.Minute

// errEnded says that the node was told to end.
var errEnded = errors.New("told to end while it waited for Redis")

// awaitRedis joins the other nodes, as soon as Redis lets it. Meanwhile waiting knows the reason why not.
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

// connectUnless is connect, but for that it returns as soon as ctx is done: go-redis takes a deadline from it and nothing else, so that
// a Redis that says nothing would hold the end of the process up.
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
				_ = o.stop() // nobody has used it
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

// redisWait tries until Redis is there.
type redisWait struct {
	patience time.Duration
	log      *zap.Logger
	because  func(reason string) // is told each reason why it waits
	said     map[string]time.Time
}

// until calls try until it succeeds, or fails in a way that waiting does not mend, or the patience is over, or ctx is done. A try that
// has begun before the patience was over may end.
func (w *redisWait) until(ctx context.Context, try func() error) error {
	began, pause := time.Now(), shortestPause
	for {
		err := try()
		waited := time.Since(began)
		switch {
		case err == nil:
			if w.said != nil {
				w.log.Info("Redis is there", zap.Duration("after", waited))
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

// ownPort is how an error of a connection names our end of it, which is another one each time.
var ownPort = regexp.MustCompile(`\S+->`)

// say logs a reason that is new, or was not in the log for a minute.
func (w *redisWait) say(reason string, waited time.Duration) {
	words := strings.Fields(strings.ReplaceAll(reason, ";", " ")) // sentinels answer in another order each time
	slices.Sort(words)
	key, now := strings.Join(words, " "), time.Now()
	if last, ok := w.said[key]; ok && now.Sub(last) < sayAgain {
		return
	}
	if w.said == nil || len(w.said) > 100 { // a reason that always changes
		w.said = map[string]time.Time{}
	}
	w.said[key] = now
	w.log.Warn("waiting for Redis", zap.String("reason", reason), zap.Duration("waited", waited), zap.Stringer("limit", server.Patience(w.patience)))
}
