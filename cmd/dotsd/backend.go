package main

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"

	"go.uber.org/zap"

	"dotsconnect/loop"
	"dotsconnect/redisbridge"
	"dotsconnect/server"
)

// bridgeConfig translates the settings into the configuration of the bridge.
func bridgeConfig(c server.Config) redisbridge.Config {
	b := redisbridge.Default()
	b.URL, b.Prefix, b.Lanes, b.BatchMessages = c.Redis, c.RedisPrefix, c.Lanes, c.RedisBatch
	b.Upgrade = c.RedisUpgrade
	b.Hold, b.Down, b.Stale = c.RedisHold, redisbridge.Policy(c.RedisDown), c.RedisReady
	return b
}

// checkRedis returns an error if the bridge does not accept the address of Redis.
func checkRedis(c server.Config) error {
	if c.Redis == "" {
		return nil
	}
	if _, err := redisbridge.ParseAddress(c.Redis); err != nil {
		return &server.SettingError{Name: "redis", Text: err.Error()}
	}
	return nil
}

// others is the connection of this node to the other nodes.
type others struct {
	backend *server.Backend
	lost    <-chan error // gets an error when the other nodes no longer have this node's agreement: this node must be restarted
	stop    func() error
}

// connect joins the other nodes.
func connect(ctx context.Context, c server.Config, log *zap.Logger) (*others, error) {
	var gap func(lane int, rooms []string) // Start sets this function; there are no gaps before Start
	cfg := bridgeConfig(c)
	cfg.OnGap = func(g redisbridge.Gap) { gap(g.Lane, g.Rooms) }
	b, err := redisbridge.Connect(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	backend := &server.Backend{
		Bus: b, Lanes: b.Lanes(), Descriptors: b.Descriptors(), LaneOf: b.LaneOf, Yield: b.Yield, Fill: b.Fill, Flush: b.Flush, Ready: b.Ready, Alone: b.Alone, Warning: b.Warning, Refuses: b.Refuses, Members: b.Members,
		Start: func(node *loop.Node, onGap func(lane int, rooms []string)) {
			gap = onGap
			b.Start(node)
		},
	}
	for _, m := range b.Metrics() {
		backend.Metrics = append(backend.Metrics, server.BackendMetric(m))
	}
	return &others{backend, b.Lost(), b.Close}, nil
}

// redisHint returns advice about an error of Connect, or "" if there is none.
func redisHint(err error) string {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	switch text := err.Error(); {
	case errors.Is(err, redisbridge.ErrDiffers):
		return "" // the text of the error already contains advice
	case errors.As(err, &authority):
		return "; if this server is your Redis, set the environment variable SSL_CERT_FILE to the file with the certificate of its authority (CA)"
	case errors.As(err, &host):
		return "; in --redis, write the host name of Redis exactly as in its certificate"
	case strings.Contains(text, "WRONGPASS"), strings.Contains(text, "NOAUTH"), strings.Contains(text, "NOPERM"):
		return "; Redis refused the login: check user, password and ACL in --redis"
	case strings.Contains(text, "MOVED"), strings.Contains(text, "CLUSTERDOWN"):
		return "; this server belongs to a Redis Cluster: begin the address with redis+cluster://"
	case strings.Contains(text, "unknown command"):
		return "; this server does not have a command that a node needs: use Redis 6.2 or later (for a Cluster, 7 or later)"
	default:
		return "; start Redis at this address, or leave --redis out to run a single node without Redis"
	}
}
