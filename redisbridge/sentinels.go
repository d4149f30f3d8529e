package redisbridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// sentinels finds the master. It asks all sentinels at the same time. The answer of the majority counts, because one sentinel
// may be cut off from the others. Without a majority the last valid answer stays valid, as long as at least one sentinel still
// gives it.
type sentinels struct {
	name    string
	clients []*redis.SentinelClient
	last    atomic.Pointer[string]
}

func newSentinels(a *Address, cfg *Config) *sentinels {
	s := &sentinels{name: a.Master}
	for _, host := range a.Hosts {
		s.clients = append(s.clients, redis.NewSentinelClient(&redis.Options{
			Addr: host, Username: a.SentinelUsername, Password: a.SentinelPassword, TLSConfig: a.TLS, Protocol: 2, DisableIdentity: true,
			ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1, PoolSize: 1,
			DialTimeout: dialTimeout, ReadTimeout: cfg.CallMax, WriteTimeout: cfg.CallMax, PoolTimeout: cfg.CallMax,
			MaintNotificationsConfig: quiet,
		}))
	}
	return s
}

// master returns the address of the master.
func (s *sentinels) master(ctx context.Context) (string, error) {
	type word struct {
		addr string
		err  error
	}
	words := make(chan word, len(s.clients))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, c := range s.clients {
		go func() {
			v, err := c.GetMasterAddrByName(ctx, s.name).Result()
			if err == nil && len(v) != 2 {
				err = errReply
			}
			if err != nil {
				words <- word{err: err}
				return
			}
			words <- word{addr: net.JoinHostPort(v[0], v[1])}
		}()
	}
	votes, best := map[string]int{}, ""
	var errs []error
	for range s.clients {
		w := <-words
		if w.err != nil {
			errs = append(errs, w.err)
			continue
		}
		votes[w.addr]++
		if votes[w.addr] > votes[best] {
			best = w.addr
		}
		if votes[best] > len(s.clients)/2 {
			break
		}
	}
	if best == "" {
		return "", fmt.Errorf("cannot get the address of the master %s from the sentinels: %w", s.name, errors.Join(errs...))
	}
	if last := s.last.Load(); last != nil && votes[best] <= len(s.clients)/2 && votes[*last] > 0 {
		best = *last
	}
	s.last.Store(&best)
	return best, nil
}

func (s *sentinels) close() {
	for _, c := range s.clients {
		_ = c.Close() // an error of Close does not matter
	}
}
