package redisbridge

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Policy decides about publications once Redis has been away for longer than Config.Hold.
type Policy string

// The policies.
const (
	Local  Policy = "local"  // the publications reach the members on this node, and are never sent to the other nodes
	Reject Policy = "reject" // the senders of the publications get close code 4104
)

// Config is the configuration of a bridge. Start from Default; only URL has no default.
type Config struct {
	URL    string      // see ParseAddress
	TLS    *tls.Config // for rediss: the trusted authorities and the certificate of the node; nil: authorities of the system or SSL_CERT_FILE
	Prefix string      // first part of the name of every key and channel
	Lanes  int         // 0: the number that the existing nodes use; the first node uses 1, or 64 on a Cluster
	Hold   time.Duration
	Down   Policy

	// MaxHeld limits the bytes of publications in flight through Redis. When half of the limit is used, the node stops reading
	// its connections until the use is down to a quarter: TCP slows the senders down, and no message is lost.
	MaxHeld int64
	// MaxWaiting limits the bytes that were received for a lane and not delivered yet because a loop must catch up. Batches
	// beyond the limit are discarded, and read from the log later.
	MaxWaiting int64
	// BatchMessages and BatchBytes limit the publications and the bytes of a batch.
	BatchMessages int
	BatchBytes    int
	// The log of a lane keeps at most LogBytes (0: a share of 64 MiB, at least 4 MiB) and, while messages are published, at most
	// the messages of 2 x LogAge. It keeps at least the messages of LogAge or half of LogBytes, whichever is less. A node can be
	// away without a gap for as long as the log reaches back.
	LogBytes int64
	LogAge   time.Duration

	Silence time.Duration // if an answer is overdue for this time, the connection counts as dead; longer if answers usually take long
	CallMax time.Duration // time limit of calls that may take long
	Beat    time.Duration // time between two checks of the connections and of all counters
	Stale   time.Duration // if the last round trip is older, the node is not ready, or serves alone under Local
	Look    time.Duration // time between two signs of life of a node; with each sign the node looks for the signs of the other nodes
	Gone    time.Duration // a node without a sign of life for this time is gone, and its members no longer count
	Keep    time.Duration // how long Redis keeps the keys of a node that has gone
	Alone   time.Duration // if a node finds no agreement in Redis, how long it waits for other nodes before it starts a new system
	Upgrade time.Duration // the nodes write the newest format once they have seen no node of an older program for this time

	// OnGap is called for every gap, from any goroutine; it must not block.
	OnGap func(Gap)
}

// Gap says which publications did not reach the members on this node, or may not have reached them.
type Gap struct {
	Lane   int
	Lost   uint64   // batches known to be missing; 0: unknown
	Missed uint64   // messages that did not come, or that have another place in the order on other nodes; 0: unknown
	Rooms  []string // affected rooms that have members here; nil: all rooms of the lane
	Reason string
}

// Default returns a Config with all defaults.
func Default() Config {
	return Config{
		Prefix: "dots", Hold: 10 * time.Second, Down: Reject,
		MaxHeld: 16 << 20, MaxWaiting: 8 << 20, BatchMessages: 512, BatchBytes: 256 << 10, LogAge: time.Minute,
		Silence: time.Second, CallMax: 2 * time.Second, Beat: time.Second,
		Stale: 3 * time.Second, Look: time.Second, Gone: 8 * time.Second, Keep: 10 * time.Minute, Alone: 3 * time.Second, Upgrade: 10 * time.Minute,
	}
}

// MaxLanes limits the numbers of keys and subscriptions.
const MaxLanes = 1024

// Validate returns an error about the first setting of c that is wrong.
func (c *Config) Validate() error {
	if _, err := ParseAddress(c.URL); err != nil {
		return err
	}
	switch {
	case c.Prefix == "" || len(c.Prefix) > 64 || strings.Trim(c.Prefix, prefixLetters) != "":
		return fmt.Errorf("%q is not a prefix; write 1 to 64 letters, digits and the characters -_.: in any order", c.Prefix)
	case c.Lanes < 0 || c.Lanes > MaxLanes:
		return fmt.Errorf("%d lanes are out of range; write a value from 0 to %d", c.Lanes, MaxLanes)
	case c.Down != Local && c.Down != Reject:
		return fmt.Errorf("%q is not a policy; write local or reject", c.Down)
	case c.Hold < 0 || c.MaxHeld <= 0 || c.MaxWaiting <= 0 || c.BatchMessages <= 0 || c.BatchBytes <= 0 || c.LogBytes < 0 || c.LogAge < time.Second:
		return errors.New("a limit is not set; start from redisbridge.Default")
	case c.Silence <= 0 || c.CallMax <= 0 || c.Beat <= 0 || c.Stale <= 0 || c.Look <= 0 || c.Gone < 2*c.Look || c.Keep < c.Gone || c.Alone < 0 || c.Upgrade < 0:
		return errors.New("a time is not set; start from redisbridge.Default")
	}
	return nil
}

const prefixLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:"
