package server

import (
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"dotsconnect/server/websocket"
)

// A SettingError is one mistake in a Config: the name of the setting, what is wrong, and the values that the setting takes.
type SettingError struct {
	Name string // as in a configuration file: "max-age"
	Text string
}

func (e *SettingError) Error() string { return "--" + e.Name + ": " + e.Text }

const (
	// tick is the resolution of every timeout. A timeout that is shorter than a tick cannot be kept.
	tick = 100 * time.Millisecond
	// maxFrameHeader is the longest header of a frame (RFC 6455 section 5.2): 2 bytes, 8 of length, 4 of mask.
	maxFrameHeader = 14

	largestMessage = 16 * MiB
	longestTimeout = 24 * time.Hour
	mostOfAnything = 1 << 30
)

// Validate returns all mistakes in c at once, as an errors.Join of *SettingError, or nil if a server can run with c.
func (c *Config) Validate() error {
	var m mistakes
	c.checkAccess(&m)
	c.checkLimits(&m)
	c.checkTimeouts(&m)
	c.checkPressure(&m)
	c.checkRedis(&m)
	c.checkDraining(&m)
	c.checkLogging(&m)
	if len(m) == 0 { // otherwise one mistake could be reported twice
		c.checkAlone(&m)
	}
	return errors.Join(m...)
}

func (c *Config) checkAccess(m *mistakes) {
	m.address("listen", c.Listen)
	if c.Admin != "" {
		m.address("admin", c.Admin)
		if sameAddress(c.Listen, c.Admin) {
			m.add("admin", "%s is already the address of --listen %s; choose another port, or switch the admin address off with --admin \"\"", c.Admin, c.Listen)
		}
	}
	if c.Admin == "" && (c.AdminToken != "" || c.AdminTokenFile != "") {
		m.add("admin-token", "a token has no effect while the admin address is off; set --admin, or leave the token out")
	}
	if c.AdminToken != "" && c.AdminTokenFile != "" {
		m.add("admin-token-file", "--admin-token is set too; set only one of the two")
	}
	if c.AdminToken == "" && c.AdminTokenFile == "" && !isLoopback(c.Admin) {
		m.add("admin", "%s can be reached from other machines, so it needs a token; set DOTS_ADMIN_TOKEN or --admin-token-file, or choose a loopback address such as 127.0.0.1:8001", c.Admin)
	}
	c.checkLists(m)
	m.oneOf("publish", c.Publish, "off", publishOpen)
	if strings.ContainsFunc(c.AdminToken, notBearer) {
		m.add("admin-token", "the token contains a character that is not allowed in a bearer token; use letters, digits and -._~+/=")
	}
}

// publishOpen is the value of --publish that lets everybody publish.
const publishOpen = "open"

// checkLists checks each entry of a list separately, so that the error names every mistake.
func (c *Config) checkLists(m *mistakes) {
	for _, pattern := range c.Origins {
		if _, err := websocket.NewOriginPolicy([]string{pattern}); err != nil {
			m.add("origins", "%v", err)
		}
	}
	for _, name := range c.Subprotocols {
		switch {
		case !websocket.ValidToken(name):
			m.add("subprotocols", "%q is not a subprotocol: use letters, digits and !#$%%&'*+-.^_|~", name)
		case isOtherVersion(name):
			m.add("subprotocols", "%q is reserved for a version of the protocol that this server does not speak; leave it out", name)
		}
	}
}

// isOtherVersion reports whether a subprotocol is a name of another version of PROTOCOL.md, present or future.
func isOtherVersion(name string) bool {
	version, ours := strings.CutPrefix(name, "dots.v")
	_, err := strconv.ParseUint(version, 10, 16)
	return ours && err == nil && name != subprotocolV1 && name != subprotocolV2
}

// leastHistory is one segment for each lane of a node without Redis.
const leastHistory = 16 * MiB

func (c *Config) checkLimits(m *mistakes) {
	inRange(m, "max-message", c.MaxMessage, 1, largestMessage)
	inRange(m, "max-header", c.MaxHeader, KiB, 64*KiB)
	inRange(m, "max-fragments", c.MaxFragments, 1, 1<<20)
	inRange(m, "max-conns", c.MaxConns, 0, mostOfAnything)
	inRange(m, "room-members", c.RoomMembers, 0, mostOfAnything)
	inRange(m, "max-rooms", c.MaxRooms, 0, mostOfAnything)
	inRange(m, "rooms-per-socket", c.RoomsPerSocket, 1, mostOfAnything)
	inRange(m, "control-rate", c.ControlRate, 1, mostOfAnything)
	inRange(m, "control-burst", c.ControlBurst, 1, mostOfAnything)
	inRange(m, "loops", c.Loops, 0, 64)
	inRange(m, "history-bytes", c.HistoryBytes, 0, 1024*GiB)
	if c.HistoryBytes > 0 && c.HistoryBytes < leastHistory {
		m.add("history-bytes", "%v is too small for the lanes, each of which keeps at least 256KiB; choose at least %v, or 0 for no history", c.HistoryBytes, leastHistory)
	}
	inRange(m, "history-age", c.HistoryAge, 0, longestTimeout)
}

func (c *Config) checkTimeouts(m *mistakes) {
	inRange(m, "max-age", c.MaxAge, 2*tick, longestTimeout)
	m.oneOf("chat-life", c.ChatLife, "messages", "any")
	inRange(m, "handshake-timeout", c.HandshakeTimeout, tick, longestTimeout)
	inRange(m, "frame-timeout", c.FrameTimeout, tick, longestTimeout)
	inRange(m, "close-timeout", c.CloseTimeout, tick, longestTimeout)
}

func (c *Config) checkPressure(m *mistakes) {
	inRange(m, "backlog-soft", c.SoftBacklog, 1, 1*GiB)
	inRange(m, "backlog-hard", c.HardBacklog, 1, 1*GiB)
	inRange(m, "backlog-time", c.BacklogTime, tick, longestTimeout)
	inRange(m, "stall-budget", c.StallBudget, 0, 10*time.Second)
	inRange(m, "unsent-limit", c.UnsentLimit, 0, 1*GiB)
	if c.SoftBacklog > c.HardBacklog {
		m.add("backlog-soft", "%v is above --backlog-hard %v; choose a smaller soft limit or a larger hard limit", c.SoftBacklog, c.HardBacklog)
	}
	if c.BacklogTotal < c.HardBacklog {
		m.add("backlog-total", "%v is below --backlog-hard %v, the limit for a single member; choose a larger total or a smaller hard limit", c.BacklogTotal, c.HardBacklog)
	}
	if c.MaxMessage > largestMessage {
		return // the next two mistakes would only be consequences of this one
	}
	frame := c.MaxMessage + maxFrameHeader
	if c.HardBacklog < frame {
		m.add("backlog-hard", "%v is too small for one message of --max-message %v with its header; choose at least %v, or a smaller --max-message", c.HardBacklog, c.MaxMessage, wholeKiB(frame))
	}
	if c.InboxLimit < frame {
		m.add("inbox-limit", "%v is too small for one message of --max-message %v; choose at least %v, or a smaller --max-message", c.InboxLimit, c.MaxMessage, wholeKiB(frame))
	}
}

// checkRedis checks everything that can be checked without a connection to Redis. The bridge parses the URL.
func (c *Config) checkRedis(m *mistakes) {
	if c.RedisPrefix == "" || len(c.RedisPrefix) > 64 || strings.ContainsFunc(c.RedisPrefix, notPrefix) {
		m.add("redis-prefix", "%q is not a valid prefix; a prefix has 1 to 64 letters, digits and -_.:", c.RedisPrefix)
	}
	inRange(m, "lanes", c.Lanes, 0, 1024)
	inRange(m, "redis-batch", c.RedisBatch, 1, 4096)
	inRange(m, "redis-hold", c.RedisHold, 0, 10*time.Minute)
	inRange(m, "redis-wait", c.RedisWait, 0, Patience(longestTimeout), Forever)
	m.oneOf("redis-down", c.RedisDown, "local", "reject")
	inRange(m, "redis-ready-after", c.RedisReady, 2*time.Second, 10*time.Minute)      // there is one round trip each second
	inRange(m, "redis-upgrade-after", c.RedisUpgrade, 15*time.Second, longestTimeout) // a node counts as seen for 15 s
	m.oneOf("on-gap", c.OnGap, "ignore", "close")
}

func (c *Config) checkDraining(m *mistakes) {
	inRange(m, "drain-delay", c.DrainDelay, 0, longestTimeout)
	inRange(m, "drain-time", c.DrainTime, 0, longestTimeout)
}

func (c *Config) checkLogging(m *mistakes) {
	m.oneOf("log-format", c.LogFormat, "auto", "json", "console")
	m.oneOf("log-level", c.LogLevel, "debug", "info", "warn", "error")
}

// checkAlone finds settings that have no effect without --redis. An operator who sets one of them expects to have many nodes.
func (c *Config) checkAlone(m *mistakes) {
	if c.Redis != "" {
		return
	}
	d := Default()
	for _, s := range Settings() {
		if s.Group == groupOfNodes && !reflect.DeepEqual(s.Get(*c), s.Get(d)) {
			m.add(s.Name, "has no effect without --redis, because this node runs alone; set --redis, or leave --%s out", s.Name)
		}
	}
}

// groupOfNodes is the group of the settings that have an effect only with --redis.
const groupOfNodes = "Many nodes"

func wholeKiB(b ByteSize) ByteSize { return (b + KiB - 1) / KiB * KiB }

// mistakes collects the mistakes that Validate finds. Each method checks one rule for one setting.
type mistakes []error

func (m *mistakes) add(name, format string, args ...any) {
	*m = append(*m, &SettingError{name, fmt.Sprintf(format, args...)})
}

func (m *mistakes) address(name, address string) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	switch {
	case errors.Is(err, strconv.ErrRange):
		m.add(name, "%q is not an address: write host:port with a port of at most 65535", address)
	case err != nil:
		m.add(name, "%q is not an address: write host:port, such as :8000 or 127.0.0.1:8000", address)
	}
}

func (m *mistakes) oneOf(name, got string, names ...string) {
	for _, n := range names {
		if got == n {
			return
		}
	}
	last := len(names) - 1
	m.add(name, "%q is unknown; write %s or %s", got, strings.Join(names[:last], ", "), names[last])
}

func inRange[T int | ByteSize | time.Duration | Patience](m *mistakes, name string, got, low, high T, or ...T) {
	if got >= low && got <= high || slices.Contains(or, got) {
		return
	}
	others := ""
	for _, o := range or {
		others += ", or " + text(o)
	}
	m.add(name, "%s is out of range; write a value from %s to %s%s", text(got), text(low), text(high), others)
}

// sameAddress reports whether two listeners would conflict. Two addresses with port 0 do not conflict, because each gets a
// different free port.
func sameAddress(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || isUnspecified(hostA) || isUnspecified(hostB)
}

func isUnspecified(host string) bool {
	return host == "" || net.ParseIP(host).IsUnspecified()
}

// isLoopback reports whether only this machine can reach an address. It is also true if the address is off or malformed.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err != nil || host == "localhost" || net.ParseIP(host).IsLoopback()
}

// notBearer reports whether a token may not contain r (RFC 6750 section 2.1).
func notBearer(r rune) bool {
	letterOrDigit := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	return !letterOrDigit && !strings.ContainsRune("-._~+/=", r)
}

// notPrefix reports whether a prefix of keys may not contain r. It may not contain braces, because they decide where a Cluster
// stores a key.
func notPrefix(r rune) bool {
	letterOrDigit := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	return !letterOrDigit && !strings.ContainsRune("-_.:", r)
}
