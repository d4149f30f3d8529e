package redisbridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// store is every command that goes to Redis, but the subscriptions.
//
// Of go-redis's options these matter: ContextTimeoutEnabled, or a call with a deadline of 250 ms returns after 4 s;
// MaxRetries -1, because the sender tries again by its own rules; one dial a call.
type store struct {
	client  redis.UniversalClient
	cluster *redis.ClusterClient // nil if it is none
	names   *names               // nil until the number of lanes is known
	cfg     *Config
	pace    pace
	send    string // PUBLISH or SPUBLISH

	calls, failures, nanos atomic.Uint64 // of publish
}

// dialTimeout is short: a hidden reconnect of go-redis makes a dead subscription wait for it before it says so.
const dialTimeout = time.Second

// beQuiet switches go-redis's own log off: what goes wrong comes back as an error, and the bridge says it once. It is a
// setting of the whole process there.
var beQuiet = sync.OnceFunc(logging.Disable)

func newStore(cfg *Config, a *Address) *store {
	beQuiet()
	s := &store{cfg: cfg, send: "PUBLISH"}
	s.pace.init(cfg.CallMin, cfg.CallMax)
	quiet := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	const poolSize = 128 // at most one call a lane, and a few
	switch a.Kind {
	case Sentinel:
		s.client = redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: a.Master, SentinelAddrs: a.Hosts, Username: a.Username, Password: a.Password, TLSConfig: a.TLS,
			SentinelUsername: a.SentinelUsername, SentinelPassword: a.SentinelPassword,
			Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
			DialTimeout: dialTimeout, ReadTimeout: cfg.CallMax, WriteTimeout: cfg.CallMax, PoolTimeout: cfg.CallMax, PoolSize: poolSize,
		})
	case Cluster:
		s.send = "SPUBLISH"
		s.cluster = redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: a.Hosts, Username: a.Username, Password: a.Password, TLSConfig: a.TLS, MaxRedirects: 3,
			Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
			DialTimeout: dialTimeout, ReadTimeout: cfg.CallMax, WriteTimeout: cfg.CallMax, PoolTimeout: cfg.CallMax, PoolSize: poolSize,
			MaintNotificationsConfig: quiet,
		})
		s.client = s.cluster
	case Standalone:
		s.client = redis.NewClient(&redis.Options{
			Addr: a.Hosts[0], DB: a.DB, Username: a.Username, Password: a.Password, TLSConfig: a.TLS,
			Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
			DialTimeout: dialTimeout, ReadTimeout: cfg.CallMax, WriteTimeout: cfg.CallMax, PoolTimeout: cfg.CallMax, PoolSize: poolSize,
			MaintNotificationsConfig: quiet,
		})
	}
	return s
}

// pace is the timeout of a call: eight times what calls take, doubled by each that ran out, within limits.
type pace struct {
	low, high time.Duration
	now       atomic.Int64
	mean      atomic.Int64 // of what calls took
}

func (p *pace) init(low, high time.Duration) {
	p.low, p.high = low, high
	p.now.Store(int64(low))
}

func (p *pace) timeout() time.Duration { return time.Duration(p.now.Load()) }

func (p *pace) took(d time.Duration, err error) {
	if err != nil {
		if timedOut(err) {
			p.now.Store(min(2*p.now.Load(), int64(p.high)))
		}
		return
	}
	mean := p.mean.Load()
	mean += (int64(d) - mean) / 8
	p.mean.Store(mean)
	p.now.Store(int64(p.usual()))
}

// usual is the timeout of a call before any ran out.
func (p *pace) usual() time.Duration {
	return min(max(8*time.Duration(p.mean.Load()), p.low), p.high)
}

// timedOut reports that an answer did not come in time. Mostly the socket says so, which takes its deadline from the context.
func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// publish makes the one call for a batch.
func (s *store) publish(ctx context.Context, c call) (answer, error) {
	timed, cancel := context.WithTimeout(ctx, s.pace.timeout())
	defer cancel()
	began := time.Now()
	keys := []string{s.names.state(c.lane), s.names.log(c.lane), s.names.channel(c.lane)}
	reply, err := publishScript.Run(timed, s.client, keys, c.id.node.String(), c.id.n, c.top.epoch, c.top.seq, c.random, c.batch,
		s.cfg.LogBytes/2, int(s.cfg.LogAge/time.Second), s.send).Slice()
	took := time.Since(began)
	s.pace.took(took, err)
	s.calls.Add(1)
	s.nanos.Add(uint64(took))
	if err != nil {
		s.failures.Add(1)
		return answer{}, fmt.Errorf("publish: %w", err)
	}
	return parseAnswer(reply)
}

var errReply = errors.New("redis gave an answer that this program does not know")

func parseAnswer(reply []any) (a answer, err error) {
	if len(reply) != 4 {
		return answer{}, errReply
	}
	fresh, ok := reply[0].(int64)
	epoch, _ := reply[1].(string)
	seq, _ := reply[2].(string)
	a.minted, _ = reply[3].(string)
	if a.at, err = parsePlace(epoch, seq); err != nil || !ok || epoch == "" {
		return answer{}, errReply
	}
	a.fresh = fresh == 1
	return a, nil
}

// parsePlace reads a counter; there is none if epoch is "".
func parsePlace(epoch, seq string) (place, error) {
	if epoch == "" {
		return place{}, nil
	}
	n, err := strconv.ParseUint(seq, 10, 53)
	if err != nil || !validEpoch(epoch) {
		return place{}, errReply
	}
	return place{epoch, n}, nil
}

// read reads a page of a lane's log; nodes asks for the last batch of every node too. A page begins with the batch at the
// cursor itself, so that one of a single batch would have nothing new, and look like the end of the log.
func (s *store) read(ctx context.Context, lane int, from uint64, count int, nodes bool) (page, error) {
	timed, cancel := context.WithTimeout(ctx, s.cfg.CallMax)
	defer cancel()
	all := "0"
	if nodes {
		all = "1"
	}
	if count == 1 {
		count = 2
	}
	reply, err := readScript.Run(timed, s.client, []string{s.names.state(lane), s.names.log(lane)}, from, count, all).Slice()
	if err != nil {
		return page{}, fmt.Errorf("read the log: %w", err)
	}
	return parsePage(reply)
}

func parsePage(reply []any) (p page, err error) {
	if len(reply) != 4 {
		return page{}, errReply
	}
	epoch, _ := reply[0].(string)
	seq, _ := reply[1].(string)
	entries, _ := reply[2].([]any)
	nodes, _ := reply[3].([]any)
	if p.at, err = parsePlace(epoch, seq); err != nil {
		return page{}, err
	}
	for _, e := range entries {
		pair, _ := e.([]any)
		if len(pair) != 2 {
			return page{}, errReply
		}
		id, _ := pair[0].(string)
		fields, _ := pair[1].([]any)
		var n uint64
		if _, err := fmt.Sscanf(id, "%d-0", &n); err != nil || len(fields) != 2 {
			return page{}, errReply
		}
		batch, _ := fields[1].(string)
		p.entries = append(p.entries, entry{n, batch})
	}
	p.nodes = map[nodeID]uint64{}
	for i := 0; i+1 < len(nodes); i += 2 {
		name, _ := nodes[i].(string)
		last, _ := nodes[i+1].(string)
		node, err1 := strconv.ParseUint(name, 16, 64)
		n, err2 := strconv.ParseUint(last, 10, 64)
		if err1 == nil && err2 == nil {
			p.nodes[nodeID(node)] = n
		}
	}
	return p, nil
}

// counters reads where all lanes are, in one pipeline. A lane that did not answer has its error in errs. reach is how far
// the log of a lane that answered reaches back, the least of them.
func (s *store) counters(ctx context.Context) (at []place, errs []error, reach time.Duration) {
	timed, cancel := context.WithTimeout(ctx, s.cfg.CallMax)
	defer cancel()
	lanes := len(s.names.tags)
	at, errs = make([]place, lanes), make([]error, lanes)
	cmds := make([]*redis.SliceCmd, lanes)
	var clock *redis.TimeCmd
	_, err := s.client.Pipelined(timed, func(p redis.Pipeliner) error {
		for i := range cmds {
			cmds[i] = p.HMGet(timed, s.names.state(i), "e", "s", "o")
		}
		clock = p.Time(timed) // the servers of a Cluster agree about it well enough
		return nil
	})
	oldest := int64(0)
	for i, cmd := range cmds {
		v, e := cmd.Result()
		switch {
		case e != nil:
			errs[i] = e
		case len(v) != 3: // the pipeline never came so far
			errs[i] = errors.Join(errReply, err)
		default:
			epoch, _ := v[0].(string)
			seq, _ := v[1].(string)
			at[i], errs[i] = parsePlace(epoch, seq)
			since, _ := v[2].(string)
			if n, err := strconv.ParseInt(since, 10, 64); err == nil {
				oldest = max(oldest, n)
			}
		}
	}
	if now := clock.Val(); oldest > 0 && !now.IsZero() {
		reach = max(now.Sub(time.Unix(oldest, 0)), 0)
	}
	return at, errs, reach
}

func (s *store) close() error { return s.client.Close() }
