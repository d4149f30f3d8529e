package redisbridge

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// slow is a client for calls that may take long. They queue here: in the pool of go-redis a call would wait for a connection
// within its own time limit, and fail because of others.
// within its own time limit, and fail because of others.
type slow struct {
	client *redis.Client
	turns  chan struct{}
}

// slowConnections is how many connections a link has in addition to itself. With the link itself and the connection of
// store.client, a node has four to a server.
const slowConnections = 2

// do makes a call when it is its turn.
func (s *slow) do(ctx context.Context, call func(server *redis.Client) error) error {
	select {
	case s.turns <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turns }()
	return call(s.client)
}

// pipeline makes several calls as one. add adds them, and returns a function to be called when the answers are there.
func (s *slow) pipeline(ctx context.Context, limit time.Duration, add func(ctx context.Context, p redis.Pipeliner) (then func())) error {
	return s.do(ctx, func(server *redis.Client) error {
		timed, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		var then func()
		_, err := server.Pipelined(timed, func(p redis.Pipeliner) error {
			then = add(timed, p)
			return nil
		})
		then()
		return err
	})
}
