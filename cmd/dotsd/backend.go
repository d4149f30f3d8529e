package main

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"

	"go.uber.org/zap"

	"dotsconnect/redisbridge"
	"dotsconnect/server"
)

// bridgeConfig maps the settings to the bridge's.
func bridgeConfig(c server.Config) redisbridge.Config {
	b := redisbridge.Default()
	b.URL, b.Prefix, b.Lanes, b.BatchMessages = c.Redis, c.RedisPrefix, c.Lanes, c.RedisBatch
	b.Hold, b.Down = c.RedisHold, redisbridge.Policy(c.RedisDown)
	return b
}

// checkRedis says what is wrong with the address of Redis, by the rules of the bridge.
func checkRedis(c server.Config) error {
	if c.Redis == "" {
		return nil
	}
	if _, err := redisbridge.ParseAddress(c.Redis); err != nil {
		return &server.SettingError{Name: "redis", Text: err.Error()}
	}
	return nil
}

// connect joins the other nodes.
func connect(ctx context.Context, c server.Config, log *zap.Logger) (backend *server.Backend, stop func() error, err error) {
	b, err := redisbridge.Connect(ctx, bridgeConfig(c), log)
	if err != nil {
		return nil, nil, err
	}
	return &server.Backend{
		Bus: b, Lanes: b.Lanes(), Descriptors: b.Descriptors(), LaneOf: b.LaneOf, Start: b.Start, Yield: b.Yield, Flush: b.Flush, Ready: b.Ready, Refuses: b.Refuses, Members: b.Members,
		Stats: func() server.BackendStats { return backendStats(b.Stats()) },
	}, b.Close, nil
}

// redisHint says what to do about an error of Connect.
func redisHint(err error) string {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	switch text := err.Error(); {
	case errors.Is(err, redisbridge.ErrDiffers):
		return "" // it says so itself
	case errors.As(err, &authority):
		return "; if that is your Redis, name the file with the certificate of who signed its own in the variable SSL_CERT_FILE"
	case errors.As(err, &host):
		return "; write the host as its certificate has it"
	case strings.Contains(text, "WRONGPASS"), strings.Contains(text, "NOAUTH"), strings.Contains(text, "NOPERM"):
		return "; Redis is there: mend the user and password in --redis, or what the user may do"
	default:
		return "; start Redis there, or leave --redis out to serve alone"
	}
}

func backendStats(s redisbridge.Stats) server.BackendStats {
	return server.BackendStats{
		Lanes: s.Lanes, LanesDown: s.LanesDown, LanesListening: s.LanesListening, RoundTripAge: s.RoundTripAge, CallTimeout: s.CallTimeout, LogReach: s.LogReach,
		HeldBytes: s.HeldBytes, Published: s.Published, Batches: s.Batches, Calls: s.Calls, Failures: s.Failures, CallTime: s.CallTime,
		Received: s.Received, Refilled: s.Refilled, Gaps: s.Gaps, Lost: s.Lost, Rejected: s.Rejected, Local: s.Local,
		Reconnects: s.Reconnects, Epochs: s.Epochs,
	}
}
