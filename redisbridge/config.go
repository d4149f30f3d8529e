package redisbridge

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Policy says what happens to publications while Redis is away for longer than Config.Hold.
type Policy string

// The policies.
const (
	Local  Policy = "local"  // they reach the members on this node, and are never sent to the other nodes
	Reject Policy = "reject" // their senders are closed with 4104
)

// Config is the configuration of a bridge. Start from Default; only URL has no default.
type Config struct {
	URL    string      // see ParseAddress
	TLS    *tls.Config // for rediss: trusted authorities and our certificate; nil: the system's authorities, or those of SSL_CERT_FILE
	Prefix string      // of every key and channel
	Lanes  int         // 0: as many as the existing nodes use; for the first node 1, or 64 on a Cluster
	Hold   time.Duration
	Down   Policy

	// MaxHeld limits the bytes of publications in flight through Redis. When half of it is used, no connection of the node is
	// read any further until usage is down to a quarter: TCP slows the senders down, and nothing is lost.
	MaxHeld int64
	// MaxWaiting limits the bytes received for a lane and not delivered yet because a loop catches up. Batches beyond it are
	// discarded and read from the log later.
	MaxWaiting int64
	// A batch is cut at this many publications or bytes.
	BatchMessages int
	BatchBytes    int
	// The log of a lane keeps at most LogBytes (0: a part of 64 MiB, at least 4 MiB), and while something is published at most 2
	// x LogAge. It keeps at least half of the bytes or LogAge, whichever is reached first. A node can be away without a gap for
	// as long as the log reaches back.
	LogBytes int64
	LogAge   time.Duration

	Silence time.Duration // a connection on which an answer is overdue for this long is dead; longer if answers take long
	CallMax time.Duration // limit of a call that may take long
	Beat    time.Duration // how often the connections and all counters are checked
	Stale   time.Duration // if the last round trip is older, the node is not ready, or serves alone under Local
	Look    time.Duration // how often a node shows that it is alive, and looks for the others
	Gone    time.Duration // a node that has not shown itself for this long is gone, and its members with it
	Keep    time.Duration // after this time Redis forgets the keys of a node
	Alone   time.Duration // a node that finds nothing in Redis waits this long for others before it starts a new system
	Upgrade time.Duration // the newest format is written when no node of an older program was seen for this long

	// OnGap is called for every gap, from any goroutine; it must not block.
	OnGap func(Gap)
}

// Gap says that publications of a lane did not reach the members on this node, or may not have.
type Gap struct {
	Lane   int
	Lost   uint64   // batches that are known to be missing; 0: unknown
	Missed uint64   // messages that did not come, or have another place in the order than here; 0: unknown
	Rooms  []string // affected rooms with members here; nil: all rooms of the lane
	Reason string
}

// Default returns all defaults.
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

// Validate reports the first thing that is wrong with c.
func (c *Config) Validate() error {
	if _, err := ParseAddress(c.URL); err != nil {
		return err
	}
	switch {
	case c.Prefix == "" || len(c.Prefix) > 64 || strings.Trim(c.Prefix, prefixLetters) != "":
		return fmt.Errorf("%q is not a prefix; it takes 1 to 64 letters, digits and -_.:", c.Prefix)
	case c.Lanes < 0 || c.Lanes > MaxLanes:
		return fmt.Errorf("%d lanes are out of range; it takes 0 to %d", c.Lanes, MaxLanes)
	case c.Down != Local && c.Down != Reject:
		return fmt.Errorf("%q is not a policy; it takes local or reject", c.Down)
	case c.Hold < 0 || c.MaxHeld <= 0 || c.MaxWaiting <= 0 || c.BatchMessages <= 0 || c.BatchBytes <= 0 || c.LogBytes < 0 || c.LogAge < time.Second:
		return errors.New("a limit is not set; start from redisbridge.Default")
	case c.Silence <= 0 || c.CallMax <= 0 || c.Beat <= 0 || c.Stale <= 0 || c.Look <= 0 || c.Gone < 2*c.Look || c.Keep < c.Gone || c.Alone < 0 || c.Upgrade < 0:
		return errors.New("a time is not set; start from redisbridge.Default")
	}
	return nil
}

const prefixLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:"
