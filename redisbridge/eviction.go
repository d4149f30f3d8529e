package redisbridge

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// A Redis that evicts keys may delete the counter of a lane, or a batch that some node has not read yet. The nodes notice and
// announce such a loss, but cannot prevent it. So the operator is warned before anything is lost.

// eviction is the state of the goroutine that looks for servers that evict keys.
type eviction struct {
	policy  atomic.Pointer[string] // eviction policy of a server that has one, with its address; nil: none found
	evicted atomic.Uint64          // keys evicted by all Redis servers that have a lane
	refused bool                   // the Redis user may not call INFO; only the goroutine uses it
}

// Warning returns a text that an operator should read although the node is ready, or "" if there is none. Any goroutine.
func (b *Bridge) Warning() string {
	if policy := b.eviction.policy.Load(); policy != nil {
		return *policy
	}
	return ""
}

// evictionLook is the time between two looks at the servers.
const evictionLook = time.Minute

// run is the goroutine that looks at the servers.
func (e *eviction) run(ctx context.Context, h *homes, log *zap.Logger) {
	for ctx.Err() == nil {
		links := slices.DeleteFunc(h.all(), func(k *link) bool { return !k.serve.Load() })
		if len(links) == 0 {
			pause(ctx, restPause)
			continue
		}
		e.look(ctx, links, log)
		pause(ctx, evictionLook)
	}
}

// look asks each Redis server that has a lane, if its link is connected.
func (e *eviction) look(ctx context.Context, links []*link, log *zap.Logger) {
	var policy string
	var evicted uint64
	all := true // all servers were asked and have answered
	for _, k := range links {
		var p string
		var n uint64
		err := k.slow.do(ctx, func(c *redis.Client) (err error) {
			p, n, err = k.bridge.store.info(ctx, c)
			return err
		})
		if err != nil {
			if strings.HasPrefix(err.Error(), "NOPERM") && !e.refused {
				e.refused = true
				log.Info("redis: the user may not call INFO, so there is no warning if this Redis evicts keys; make sure that its maxmemory-policy is noeviction")
			}
			all = false
			continue
		}
		if evicted += n; p != "noeviction" && p != "" {
			policy = fmt.Sprintf("%s has maxmemory-policy %s and has evicted %d keys: with this policy Redis may evict messages and counters; set noeviction", k.addr, p, n)
		}
	}
	if all {
		e.evicted.Store(evicted)
	}
	if policy == "" {
		if all {
			e.policy.Store(nil)
		}
		return
	}
	if e.policy.Swap(&policy) == nil {
		log.Warn("redis: " + policy)
	}
}

// info returns the eviction policy of a server, and the number of keys that it has evicted since its start.
func (s *store) info(ctx context.Context, server *redis.Client) (policy string, evicted uint64, err error) {
	timed, cancel := context.WithTimeout(ctx, s.cfg.CallMax)
	defer cancel()
	for _, section := range []string{"memory", "stats"} {
		text, err := server.Info(timed, section).Result()
		if err != nil {
			return "", 0, err
		}
		for line := range strings.Lines(text) {
			switch name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); name {
			case "maxmemory_policy":
				policy = value
			case "evicted_keys":
				evicted, _ = strconv.ParseUint(value, 10, 64) // a missing value counts as 0
			}
		}
	}
	return policy, evicted, nil
}
