package redisbridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"dotsconnect/redisbridge/internal/resp"
)

// store holds the clients for the data that the nodes share in Redis. It makes every command except those of the links.
//
// These options of go-redis matter. ContextTimeoutEnabled is true: without it, a call with a deadline of 250 ms returns only
// after 4 s. MaxRetries is -1, because the bridge retries by its own rules. A call dials at most once. PipelinePoolSize is -1:
// with any other value there would be ten more connections.
type store struct {
	address   *Address
	client    redis.UniversalClient // for the keys that belong to no lane
	cluster   *redis.ClusterClient  // the same client as client; nil without a Cluster
	sentinels *sentinels            // nil without sentinels
	names     *names                // nil until the number of lanes is known
	cfg       *Config

	// Arguments of publish.lua that are the same in each call.
	random, generation, age, send string
}

// dialTimeout is short, because the next attempt may reach another server.
const dialTimeout = time.Second

// beQuiet switches off go-redis's own log: errors are returned, and the bridge reports each of them once. go-redis has this
// setting only for the whole process.
var beQuiet = sync.OnceFunc(logging.Disable)

var quiet = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}

func newStore(cfg *Config, a *Address) *store {
	beQuiet()
	s := &store{cfg: cfg, address: a, send: "PUBLISH", random: fmt.Sprintf("%05x", randomUint64()>>44)}
	s.age = strconv.FormatInt(int64(cfg.LogAge/time.Second), 10)
	s.shareLog(1)
	if a.Kind == Cluster {
		s.send = "SPUBLISH"
	}
	if a.Kind == Sentinel {
		s.sentinels = newSentinels(a, cfg)
	}
	s.client = s.open(1)
	s.cluster, _ = s.client.(*redis.ClusterClient)
	return s
}

// shareLog divides the memory for logs among the given number of lanes.
func (s *store) shareLog(lanes int) {
	bytes := s.cfg.LogBytes
	if bytes == 0 {
		bytes = max(allLogs/int64(lanes), leastLog)
	}
	s.generation = strconv.FormatInt(bytes/2, 10)
}

// Values that are used if Config.LogBytes is 0.
const (
	allLogs  = 64 << 20
	leastLog = 4 << 20
)

// open makes a client that finds its server by itself, with the given number of connections to each server.
func (s *store) open(connections int) redis.UniversalClient {
	a, cfg := s.address, s.cfg
	switch a.Kind {
	case Sentinel:
		return redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: a.Master, SentinelAddrs: a.Hosts, Username: a.Username, Password: a.Password, TLSConfig: a.TLS,
			SentinelUsername: a.SentinelUsername, SentinelPassword: a.SentinelPassword,
			Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1, ConnMaxLifetime: connectionAge,
			DialTimeout: dialTimeout, ReadTimeout: cfg.CallMax, WriteTimeout: cfg.CallMax, PoolTimeout: cfg.CallMax, PoolSize: connections, PipelinePoolSize: -1,
		})
	case Cluster:
		return redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: a.Hosts, Username: a.Username, Password: a.Password, TLSConfig: a.TLS, MaxRedirects: 3,
			Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1, ConnMaxLifetime: connectionAge,
			DialTimeout: dialTimeout, ReadTimeout: cfg.CallMax, WriteTimeout: cfg.CallMax, PoolTimeout: cfg.CallMax, PoolSize: connections, PipelinePoolSize: -1,
			MaintNotificationsConfig: quiet,
		})
	}
	return s.openServer(a.Hosts[0], connections, connectionAge)
}

// connectionAge is how long store.client keeps a connection. With each new connection, the beat can notice that the address now
// leads to another server.
const connectionAge = 3 * time.Second

// openServer makes a client of one server. Each of its connections lives at most for age; 0: no limit.
func (s *store) openServer(addr string, connections int, age time.Duration) *redis.Client {
	a, cfg := s.address, s.cfg
	return redis.NewClient(&redis.Options{
		Addr: addr, DB: a.DB, Username: a.Username, Password: a.Password, TLSConfig: a.TLS,
		Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1, ConnMaxLifetime: age,
		DialTimeout: dialTimeout, ReadTimeout: cfg.CallMax, WriteTimeout: cfg.CallMax, PoolTimeout: cfg.CallMax, PoolSize: connections, PipelinePoolSize: -1,
		MaintNotificationsConfig: quiet,
	})
}

// timedOut reports whether err means that an answer did not come in time. Usually the error comes from the socket, which takes
// its deadline from the context.
func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// atKey adds the names of the keys and some advice to an error, if Redis complains about the type of a key.
func atKey(err error, keys ...string) error {
	if err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		return err
	}
	return fmt.Errorf("%w: %s has the wrong type; delete it with DEL %s, and the nodes write it again", err, strings.Join(keys, " or "), strings.Join(keys, " "))
}

// publish publishes one batch of a lane that has no link yet.
func (s *store) publish(ctx context.Context, client redis.UniversalClient, c call) (answer, error) {
	timed, cancel := context.WithTimeout(ctx, s.cfg.CallMax)
	defer cancel()
	now, err := client.Time(timed).Result()
	if err != nil {
		return answer{}, fmt.Errorf("cannot read the time: %w", err)
	}
	calls := []call{c}
	var args []any
	for _, a := range s.argsOf(calls, now.Add(c.left).UnixMilli()) {
		args = append(args, a)
	}
	reply, err := publishScript.Run(timed, client, s.keysOf(calls), args...).Slice()
	if err != nil {
		return answer{}, fmt.Errorf("cannot publish: %w", err)
	}
	v := resp.Value{Kind: '*'}
	for _, text := range reply {
		v.List = append(v.List, resp.Value{Kind: '$', Text: fmt.Append(nil, text)})
	}
	answers, err := parseAnswers(&v, 1)
	if err != nil {
		return answer{}, err
	}
	return answers[0], nil
}

var errReply = errors.New("redis gave an answer that this program does not understand")

// read reads a page of a lane's log. Each page begins with two known batches, at the cursor and before it. So a page of only
// two batches would have no new batch and look like the end of the log.
func (s *store) read(ctx context.Context, server redis.Scripter, lane int, q question) (page, error) {
	timed, cancel := context.WithTimeout(ctx, s.cfg.CallMax)
	defer cancel()
	q.count = max(q.count, 3)
	reply, err := readScript.Run(timed, server, []string{s.names.state(lane), s.names.log(lane)}, q.from, q.count, q.nodes, q.epoch, q.ended).Slice()
	if err != nil {
		return page{}, fmt.Errorf("cannot read the log: %w", atKey(err, s.names.state(lane), s.names.log(lane)))
	}
	return parsePage(reply)
}

func parsePage(reply []any) (p page, err error) {
	if len(reply) != 5 {
		return page{}, errReply
	}
	epoch, _ := reply[0].(string)
	seq, _ := reply[1].(string)
	entries, _ := reply[2].([]any)
	nodes, _ := reply[3].([]any)
	old, _ := reply[4].(int64)
	p.old = old == 1
	if p.at, err = parsePlace([]byte(epoch), []byte(seq)); err != nil {
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
		p.entries = append(p.entries, entry{n, []byte(batch)})
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

func (s *store) close() error {
	if s.sentinels != nil {
		s.sentinels.close()
	}
	return s.client.Close()
}
