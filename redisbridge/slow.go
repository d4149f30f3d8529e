package redisbridge

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// slow is a client for calls that may take long. A call waits here for its turn before its time limit begins. If it waited in
// the pool of go-redis instead, the wait for a connection would count against its time limit, and it could fail because of
// other calls.
type slow struct {
	client *redis.Client
	turns  chan struct{}
}

// slowConnections is the number of connections that a link has in addition to its own. Together with the link's own connection
// and that of store.client, a node has four connections to a server.
const slowConnections = 2

// do waits until fewer than slowConnections calls are in progress, and then makes the call.
func (s *slow) do(ctx context.Context, call func(server *redis.Client) error) error {
	select {
	case s.turns <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turns }()
	return call(s.client)
}

// pipeline makes several calls as one. add adds the calls, and returns a function that pipeline calls when the answers have come.
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
