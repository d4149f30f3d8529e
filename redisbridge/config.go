package redisbridge

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Policy says what becomes of publications while Redis is away for longer than Config.Hold.
type Policy string

// The policies.
const (
	Local  Policy = "local"  // they reach the members on this node, and are never sent to the others
	Reject Policy = "reject" // their senders are told with 4104
)

// Config is everything about a bridge. Start from Default; URL is the one thing that has none.
type Config struct {
	URL    string      // see ParseAddress
	TLS    *tls.Config // for rediss: whom to trust and who we are; nil: the certificates of the system, or of SSL_CERT_FILE
	Prefix string      // of every key and channel
	Lanes  int         // 0: as many as the nodes before us took, else 1, or 64 on a Cluster
	Hold   time.Duration
	Down   Policy

	// MaxHeld is the bytes of publications that may be on their way through Redis. From half of it on no connection of
	// the node is read any further, until a quarter is left: TCP slows the senders down, and nothing is lost.
	MaxHeld int64
	// MaxWaiting is the bytes received for a lane and not delivered yet, because a loop catches up. What comes beyond is
	// let go and read from the log later.
	MaxWaiting int64
	// A batch is cut at so many publications or bytes.
	BatchMessages int
	BatchBytes    int
	// The log of a lane keeps at most LogBytes (0: a part of 64 MiB, at least 4 MiB), and while something is published at most 2 x LogAge; at least half of the
	// bytes or LogAge, whichever is reached first. What it reaches back is what a node can be away for without a gap.
	LogBytes int64
	LogAge   time.Duration

	Silence time.Duration // a connection on which an answer is overdue for so long is dead; longer where answers take long
	CallMax time.Duration // limit of a call that may take long
	Beat    time.Duration // how often the connections and all counters are looked after
	Stale   time.Duration // if the last round trip is older, the node is not ready, or serves alone under Local
	Look    time.Duration // how often a node shows that it lives, and looks for the others
	Gone    time.Duration // a node that has not shown for so long is gone, and its members with it
	Keep    time.Duration // after which Redis forgets what it has of a node
	Alone   time.Duration // a node that finds nothing in Redis waits so long for others to show before it begins on its own
	Upgrade time.Duration // the newest format is written when no node of an older program was seen for so long

	// OnGap is told of every gap, from any goroutine; it must not block.
	OnGap func(Gap)
}

// Gap says that publications of a lane did not reach the members on this node, or may not have.
type Gap struct {
	Lane   int
	Lost   uint64   // batches that are known to be missing; 0: nobody knows
	Missed uint64   // messages that did not come, or stand in another place than here; 0: nobody knows
	Rooms  []string // that it concerns, of those with members here; nil: all of the lane
	Reason string
}

// Default has every default.
func Default() Config {
	return Config{
		Prefix: "dots", Hold: 10 * time.Second, Down: Reject,
		MaxHeld: 16 << 20, MaxWaiting: 8 << 20, BatchMessages: 512, BatchBytes: 256 << 10, LogAge: time.Minute,
		Silence: time.Second, CallMax: 2 * time.Second, Beat: time.Second,
		Stale: 3 * time.Second, Look: time.Second, Gone: 8 * time.Second, Keep: 10 * time.Minute, Alone: 3 * time.Second, Upgrade: 10 * time.Minute,
	}
}

// MaxLanes keeps the numbers of goroutines and keys sane.
const MaxLanes = 1024

// Validate reports the first thing that is wrong with c.
func (c *Config) Validate() error {
	if _, err := ParseAddress(c.URL); err != nil {
		return err
	}
	switch {
	case c.Prefix == "" || len(c.Prefix) > 64 || strings.Trim(c.Prefix, prefixLetters) != "":
		return fmt.Errorf("the prefix %q takes 1 to 64 of letters, digits, dash, dot, colon and underscore", c.Prefix)
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
