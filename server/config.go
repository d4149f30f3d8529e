package server

import (
	"encoding"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"dotsconnect/server/websocket"
)

// Config is everything that can be set about a node, and the only place where a setting is written down: the tags carry
// its name, its environment variable, its default and its help. The command line, the configuration file, the help text
// and the table in SETTINGS.md are all made from them (see Settings), so this package needs no library to parse flags.
//
// The zero Config is not usable; start from Default and change what differs:
//
//	cfg := server.Default()
//	cfg.Listen = "127.0.0.1:0"
//	cfg.MaxAge = 6 * time.Second
//	if err := cfg.Validate(); err != nil { ... }
//
// Every timeout and limit is here, so that a test can run with a tenth of it.
type Config struct {
	Listen         string   `name:"listen" env:"DOTS_LISTEN" default:":8000" group:"Addresses and access" help:"Address for clients, as host:port. Without a host: all interfaces. Port 0: any free one."`
	Admin          string   `name:"admin" env:"DOTS_ADMIN" default:"127.0.0.1:8001" group:"Addresses and access" help:"Address for metrics, health, profiles and the API, as host:port. Empty: off."`
	AdminToken     string   `name:"admin-token" env:"DOTS_ADMIN_TOKEN" default:"" placeholder:"TOKEN" secret:"true" group:"Addresses and access" reload:"true" help:"Bearer token that the admin address asks for. Required when that address is not loopback. On the command line every local user can see it: prefer the variable or the file."`
	AdminTokenFile string   `name:"admin-token-file" env:"DOTS_ADMIN_TOKEN_FILE" default:"" placeholder:"FILE" group:"Addresses and access" reload:"true" help:"File that holds the admin token, in place of --admin-token."`
	Origins        []string `name:"origins" env:"DOTS_ORIGINS" placeholder:"PATTERN" group:"Addresses and access" reload:"true" help:"Web pages that may connect, as a list of patterns such as https://chat.example.org, http://localhost:5173 or https://*.example.org. A page that connects to the very host and port that it came from needs none if the host is an IP address, localhost or this machine's host name. * lets every page connect."`
	Subprotocols   []string `name:"subprotocols" env:"DOTS_SUBPROTOCOLS" placeholder:"NAME" group:"Addresses and access" reload:"true" help:"Names that are accepted in Sec-WebSocket-Protocol beside dots.v1, as a list. For clients that insist on one: it changes nothing else."`
	PublicReadyz   bool     `name:"public-readyz" env:"DOTS_PUBLIC_READYZ" default:"false" group:"Addresses and access" reload:"true" help:"Answer /readyz on the address for clients too, so that a load balancer needs only that one."`

	MaxMessage   ByteSize `name:"max-message" env:"DOTS_MAX_MESSAGE" default:"64KiB" group:"Limits" reload:"true" help:"Largest message of a client. A larger one closes its connection with 1009."`
	MaxHeader    ByteSize `name:"max-header" env:"DOTS_MAX_HEADER" default:"16KiB" group:"Limits" reload:"true" help:"Largest head of an HTTP request, cookies included. A larger one is refused with 431."`
	MaxFragments int      `name:"max-fragments" env:"DOTS_MAX_FRAGMENTS" default:"1024" group:"Limits" reload:"true" help:"Most frames that one message may be cut into. More close the connection with 1008."`
	MaxConns     int      `name:"max-conns" env:"DOTS_MAX_CONNS" default:"0" group:"Limits" reload:"true" help:"Most connections at a time. 0: as many as the limit of open files allows."`
	RoomMembers  int      `name:"room-members" env:"DOTS_ROOM_MEMBERS" default:"0" group:"Limits" reload:"true" help:"Most members of a room on this node. One more is closed with 4103. 0: no limit."`
	MaxRooms     int      `name:"max-rooms" env:"DOTS_MAX_ROOMS" default:"0" group:"Limits" reload:"true" help:"Most rooms on this node. A connection that needs one more is closed with 4103. 0: no limit."`
	ControlRate  int      `name:"control-rate" env:"DOTS_CONTROL_RATE" default:"100" group:"Limits" reload:"true" help:"Control frames, fragments and tiny raw messages that a connection may send per second over time. More close it with 1008."`
	ControlBurst int      `name:"control-burst" env:"DOTS_CONTROL_BURST" default:"2000" group:"Limits" reload:"true" help:"How many of these it may send at once after a quiet time."`
	Loops        int      `name:"loops" env:"DOTS_LOOPS" default:"0" group:"Limits" help:"Event loops. 0: one per CPU."`

	MaxAge           time.Duration `name:"max-age" env:"DOTS_MAX_AGE" default:"60s" group:"Timeouts" help:"A connection that shows no sign of life for so long is closed with 4100."`
	ChatLife         string        `name:"chat-life" env:"DOTS_CHAT_LIFE" default:"messages" group:"Timeouts" help:"What counts as a sign of life in a chat room. messages: messages and heartbeats. any: every frame, and the server sends pings, for clients that only answer those."`
	HandshakeTimeout time.Duration `name:"handshake-timeout" env:"DOTS_HANDSHAKE_TIMEOUT" default:"5s" group:"Timeouts" help:"Time for the whole HTTP request of a new connection."`
	FrameTimeout     time.Duration `name:"frame-timeout" env:"DOTS_FRAME_TIMEOUT" default:"10s" group:"Timeouts" help:"Time that half a frame may wait for its next byte. Longer closes the connection with 1008."`
	CloseTimeout     time.Duration `name:"close-timeout" env:"DOTS_CLOSE_TIMEOUT" default:"2s" group:"Timeouts" help:"Time for a peer to answer our close frame before the connection is cut."`

	SoftBacklog  ByteSize      `name:"backlog-soft" env:"DOTS_BACKLOG_SOFT" default:"64KiB" group:"Back-pressure" help:"Unsent bytes of a member from which on the publishers of its room are slowed down."`
	HardBacklog  ByteSize      `name:"backlog-hard" env:"DOTS_BACKLOG_HARD" default:"256KiB" group:"Back-pressure" help:"Unsent bytes of a member over which it is closed with 4101."`
	BacklogTime  time.Duration `name:"backlog-time" env:"DOTS_BACKLOG_TIME" default:"10s" group:"Back-pressure" help:"A member that stays over the soft limit for so long is closed with 4101 too."`
	BacklogTotal ByteSize      `name:"backlog-total" env:"DOTS_BACKLOG_TOTAL" default:"64MiB" group:"Back-pressure" help:"Unsent bytes of all members together, each frame counted once. Over it the slowest are closed first."`
	StallBudget  time.Duration `name:"stall-budget" env:"DOTS_STALL_BUDGET" default:"1s" group:"Back-pressure" help:"How long slow members may hold up a room's publishers in any 10 s, and what comes from other nodes for as long in any minute, five times that after an outage. 0: never."`
	UnsentLimit  ByteSize      `name:"unsent-limit" env:"DOTS_UNSENT_LIMIT" default:"128KiB" group:"Back-pressure" help:"Unsent bytes that the kernel takes for a connection before we count them ourselves (TCP_NOTSENT_LOWAT). 0: the kernel's default, up to 4 MB."`
	InboxLimit   ByteSize      `name:"inbox-limit" env:"DOTS_INBOX_LIMIT" default:"8MiB" group:"Back-pressure" help:"Bytes waiting for one loop over which all loops stop reading until it caught up."`

	Redis       string        `name:"redis" env:"DOTS_REDIS" default:"" placeholder:"URL" secret:"true" group:"Many nodes" help:"Redis that makes all nodes one system: redis://[user:password@]host:port[/db], rediss:// for TLS, redis+sentinel://host:port,host:port/master (with ?sentinel_user=USER&sentinel_password=PASSWORD where the sentinels ask for it) or redis+cluster://host:port,host:port. Users and passwords are percent-encoded. Empty: this node stands alone. On the command line every local user can see a password in it: prefer the variable or the file."`
	RedisPrefix string        `name:"redis-prefix" env:"DOTS_REDIS_PREFIX" default:"dots" group:"Many nodes" help:"Prefix of all keys and channels in Redis. Nodes with the same prefix are one system."`
	Lanes       int           `name:"lanes" env:"DOTS_LANES" default:"0" group:"Many nodes" help:"Shards of the rooms in Redis, the same on all nodes. 0: as the other nodes have it; the first one takes 16, or 64 on a Cluster."`
	RedisBatch  int           `name:"redis-batch" env:"DOTS_REDIS_BATCH" default:"512" group:"Many nodes" help:"Messages of a lane that one call to Redis takes at most; it takes those that came while the one before was on its way, and waits for none. 1: one call for each message, to measure what batches save. A smaller number lets other users of the same Redis in sooner."`
	RedisHold   time.Duration `name:"redis-hold" env:"DOTS_REDIS_HOLD" default:"10s" group:"Many nodes" help:"How long messages are held in order while Redis does not take them. Then --redis-down decides."`
	RedisDown   string        `name:"redis-down" env:"DOTS_REDIS_DOWN" default:"reject" group:"Many nodes" help:"What then becomes of messages. reject: their senders are closed with 4104. local: they reach the members on this node only, which gives up the order and the reach of a room over nodes: the members elsewhere never get them, and each node has an order of its own."`

	RedisReady time.Duration `name:"redis-ready-after" env:"DOTS_REDIS_READY_AFTER" default:"3s" group:"Many nodes" help:"Age of the last round trip through Redis from which on this node counts as cut off: with --redis-down=reject /readyz says 503 then, with local it says that the node serves alone."`
	OnGap      string        `name:"on-gap" env:"DOTS_ON_GAP" default:"ignore" group:"Many nodes" help:"What becomes of the members of a chat room that may have missed messages, because Redis lost them or a node was away for too long. ignore: they are not told. close: they are closed with 4105, over --drain-time, to come back and fetch what they need."`

	DrainDelay time.Duration `name:"drain-delay" env:"DOTS_DRAIN_DELAY" default:"0s" group:"Draining" help:"After SIGTERM: how long to be not ready but still accept, for load balancers to notice."`
	DrainTime  time.Duration `name:"drain-time" env:"DOTS_DRAIN_TIME" default:"5s" group:"Draining" help:"After that: the time over which the connections are closed with 4200, so that they do not all come back at once. Also that of --on-gap=close."`

	LogFormat string `name:"log-format" env:"DOTS_LOG_FORMAT" default:"auto" group:"Logging" help:"auto, json or console. auto: console on a terminal, json otherwise."`
	LogLevel  string `name:"log-level" env:"DOTS_LOG_LEVEL" default:"info" group:"Logging" reload:"true" help:"debug, info, warn or error."`
}

// Default is the Config that runs when nothing is set. A test holds it equal to the defaults in the tags.
func Default() Config {
	return Config{
		Listen:           ":8000",
		Admin:            "127.0.0.1:8001",
		MaxMessage:       64 * KiB,
		MaxHeader:        16 * KiB,
		MaxFragments:     1024,
		ControlRate:      100,
		ControlBurst:     2000,
		MaxAge:           60 * time.Second,
		ChatLife:         "messages",
		HandshakeTimeout: 5 * time.Second,
		FrameTimeout:     10 * time.Second,
		CloseTimeout:     2 * time.Second,
		SoftBacklog:      64 * KiB,
		HardBacklog:      256 * KiB,
		BacklogTime:      10 * time.Second,
		BacklogTotal:     64 * MiB,
		StallBudget:      time.Second,
		UnsentLimit:      128 * KiB,
		InboxLimit:       8 * MiB,
		DrainTime:        5 * time.Second,
		RedisPrefix:      "dots",
		RedisBatch:       512,
		RedisHold:        10 * time.Second,
		RedisDown:        "reject",
		RedisReady:       3 * time.Second,
		OnGap:            "ignore",
		LogFormat:        "auto",
		LogLevel:         "info",
	}
}

// A SettingError is one mistake in a Config: which setting, what is wrong, and what it takes.
type SettingError struct {
	Name string // as in a configuration file: "max-age"
	Text string
}

func (e *SettingError) Error() string { return "--" + e.Name + ": " + e.Text }

const (
	// tick is the resolution of every timeout: a shorter one could not be told from none.
	tick = 100 * time.Millisecond
	// maxFrameHeader is the longest header of a frame (RFC 6455 section 5.2): 2 bytes, 8 of length, 4 of mask.
	maxFrameHeader = 14

	largestMessage = 16 * MiB
	longestTimeout = 24 * time.Hour
	mostOfAnything = 1 << 30
)

// Validate reports everything that is wrong with c at once: an errors.Join of *SettingError, nil if c can be served.
// The patterns of Origins are checked where they are compiled.
func (c *Config) Validate() error {
	var m mistakes
	c.checkAccess(&m)
	c.checkLimits(&m)
	c.checkTimeouts(&m)
	c.checkBacklog(&m)
	c.checkRedis(&m)
	if len(m) == 0 { // or one mistake would be told twice
		c.checkAlone(&m)
	}
	m.oneOf("log-format", c.LogFormat, "auto", "json", "console")
	m.oneOf("log-level", c.LogLevel, "debug", "info", "warn", "error")
	return errors.Join(m...)
}

func (c *Config) checkAccess(m *mistakes) {
	m.address("listen", c.Listen)
	if c.Admin != "" {
		m.address("admin", c.Admin)
		if sameAddress(c.Listen, c.Admin) {
			m.add("admin", "%s is taken by --listen %s; take another port, or none to switch it off: --admin \"\"", c.Admin, c.Listen)
		}
	}
	if c.Admin == "" && (c.AdminToken != "" || c.AdminTokenFile != "") {
		m.add("admin-token", "--admin is off, so nothing asks for a token: set --admin, or leave the token out")
	}
	if c.AdminToken != "" && c.AdminTokenFile != "" {
		m.add("admin-token-file", "--admin-token is set as well; take one of them")
	}
	if c.AdminToken == "" && c.AdminTokenFile == "" && !isLoopback(c.Admin) {
		m.add("admin", "%s can be reached from other machines, so it needs a token; set DOTS_ADMIN_TOKEN or --admin-token-file, or take a loopback address such as 127.0.0.1:8001", c.Admin)
	}
	for _, name := range c.Subprotocols {
		if !websocket.ValidToken(name) {
			m.add("subprotocols", "%q is not a subprotocol: want letters, digits and !#$%%&'*+-.^_|~", name)
		}
	}
	if strings.ContainsFunc(c.AdminToken, notBearer) {
		m.add("admin-token", "holds a character that no bearer token can have; take letters, digits and -._~+/=")
	}
}

func (c *Config) checkLimits(m *mistakes) {
	inRange(m, "max-message", c.MaxMessage, 1, largestMessage)
	inRange(m, "max-header", c.MaxHeader, KiB, 64*KiB)
	inRange(m, "max-fragments", c.MaxFragments, 1, 1<<20)
	inRange(m, "max-conns", c.MaxConns, 0, mostOfAnything)
	inRange(m, "room-members", c.RoomMembers, 0, mostOfAnything)
	inRange(m, "max-rooms", c.MaxRooms, 0, mostOfAnything)
	inRange(m, "control-rate", c.ControlRate, 1, mostOfAnything)
	inRange(m, "control-burst", c.ControlBurst, 1, mostOfAnything)
	inRange(m, "loops", c.Loops, 0, 64)
}

func (c *Config) checkTimeouts(m *mistakes) {
	inRange(m, "max-age", c.MaxAge, 2*tick, longestTimeout)
	m.oneOf("chat-life", c.ChatLife, "messages", "any")
	inRange(m, "handshake-timeout", c.HandshakeTimeout, tick, longestTimeout)
	inRange(m, "frame-timeout", c.FrameTimeout, tick, longestTimeout)
	inRange(m, "close-timeout", c.CloseTimeout, tick, longestTimeout)
	inRange(m, "drain-delay", c.DrainDelay, 0, longestTimeout)
	inRange(m, "drain-time", c.DrainTime, 0, longestTimeout)
}

func (c *Config) checkBacklog(m *mistakes) {
	inRange(m, "backlog-soft", c.SoftBacklog, 1, 1*GiB)
	inRange(m, "backlog-hard", c.HardBacklog, 1, 1*GiB)
	inRange(m, "backlog-time", c.BacklogTime, tick, longestTimeout)
	inRange(m, "stall-budget", c.StallBudget, 0, 10*time.Second)
	inRange(m, "unsent-limit", c.UnsentLimit, 0, 1*GiB)
	if c.SoftBacklog > c.HardBacklog {
		m.add("backlog-soft", "%v is above --backlog-hard %v; take a smaller soft or a larger hard limit", c.SoftBacklog, c.HardBacklog)
	}
	if c.BacklogTotal < c.HardBacklog {
		m.add("backlog-total", "%v is below --backlog-hard %v, which one member may use alone; take a larger total or a smaller hard limit", c.BacklogTotal, c.HardBacklog)
	}
	if c.MaxMessage > largestMessage {
		return // and the next two would only follow from that
	}
	frame := c.MaxMessage + maxFrameHeader
	if c.HardBacklog < frame {
		m.add("backlog-hard", "%v cannot hold one message of --max-message %v with its header; take at least %v, or a smaller message", c.HardBacklog, c.MaxMessage, wholeKiB(frame))
	}
	if c.InboxLimit < frame {
		m.add("inbox-limit", "%v cannot hold one message of --max-message %v; take at least %v, or a smaller message", c.InboxLimit, c.MaxMessage, wholeKiB(frame))
	}
}

// checkRedis checks what can be checked without knowing Redis; its address is read by who connects.
func (c *Config) checkRedis(m *mistakes) {
	if c.RedisPrefix == "" || len(c.RedisPrefix) > 64 || strings.ContainsFunc(c.RedisPrefix, notPrefix) {
		m.add("redis-prefix", "%q is no prefix; it takes 1 to 64 letters, digits and -_.:", c.RedisPrefix)
	}
	inRange(m, "lanes", c.Lanes, 0, 1024)
	inRange(m, "redis-batch", c.RedisBatch, 1, 4096)
	inRange(m, "redis-hold", c.RedisHold, 0, 10*time.Minute)
	m.oneOf("redis-down", c.RedisDown, "local", "reject")
	inRange(m, "redis-ready-after", c.RedisReady, 2*time.Second, 10*time.Minute) // there is one each second
	m.oneOf("on-gap", c.OnGap, "ignore", "close")
}

// checkAlone finds settings that have no effect without --redis: whoever sets one believes to have many nodes.
func (c *Config) checkAlone(m *mistakes) {
	if c.Redis != "" {
		return
	}
	d := Default()
	for _, row := range []struct {
		name string
		set  bool
	}{
		{"redis-prefix", c.RedisPrefix != d.RedisPrefix}, {"lanes", c.Lanes != d.Lanes}, {"redis-batch", c.RedisBatch != d.RedisBatch},
		{"redis-hold", c.RedisHold != d.RedisHold}, {"redis-down", c.RedisDown != d.RedisDown},
		{"redis-ready-after", c.RedisReady != d.RedisReady}, {"on-gap", c.OnGap != d.OnGap},
	} {
		if row.set {
			m.add(row.name, "has no effect without --redis: this node stands alone; set --redis, or leave --%s out", row.name)
		}
	}
}

func wholeKiB(b ByteSize) ByteSize { return (b + KiB - 1) / KiB * KiB }

// LoadAdminToken reads AdminTokenFile, if one is set, into AdminToken and clears its name. White space around the token,
// such as the newline that an editor leaves, does not count.
func (c *Config) LoadAdminToken() error {
	if c.AdminTokenFile == "" {
		return nil
	}
	text, err := os.ReadFile(c.AdminTokenFile)
	if err != nil {
		return &SettingError{"admin-token-file", err.Error()}
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsFunc(token, notBearer) {
		return &SettingError{"admin-token-file", c.AdminTokenFile + " holds no bearer token; write one line of letters, digits and -._~+/= into it"}
	}
	c.AdminToken, c.AdminTokenFile = token, ""
	return nil
}

// mistakes gathers what Validate found. Each of its methods states one rule about one setting.
type mistakes []error

func (m *mistakes) add(name, format string, args ...any) {
	*m = append(*m, &SettingError{name, fmt.Sprintf(format, args...)})
}

func (m *mistakes) address(name, address string) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		m.add(name, "%q is no address; it takes host:port, such as :8000 or 127.0.0.1:8000", address)
	}
}

func (m *mistakes) oneOf(name, got string, names ...string) {
	for _, n := range names {
		if got == n {
			return
		}
	}
	last := len(names) - 1
	m.add(name, "%q is unknown; it takes %s or %s", got, strings.Join(names[:last], ", "), names[last])
}

func inRange[T int | ByteSize | time.Duration](m *mistakes, name string, got, low, high T) {
	if got < low || got > high {
		m.add(name, "%s is out of range; it takes %s to %s", text(got), text(low), text(high))
	}
}

// sameAddress tells whether two listeners would get in each other's way. Port 0 is a free one each time.
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

// isLoopback tells whether only this machine can reach an address; one that is off or malformed counts as such.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err != nil || host == "localhost" || net.ParseIP(host).IsLoopback()
}

// notBearer tells the characters that RFC 6750 section 2.1 keeps out of a token.
func notBearer(r rune) bool {
	letterOrDigit := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	return !letterOrDigit && !strings.ContainsRune("-._~+/=", r)
}

// notPrefix tells the characters that a prefix of keys cannot have: braces would decide where a Cluster keeps them.
func notPrefix(r rune) bool {
	letterOrDigit := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	return !letterOrDigit && !strings.ContainsRune("-_.:", r)
}

// A Setting is one field of Config as people meet it.
type Setting struct {
	Name    string // in a configuration file: "max-age"
	Flag    string // "--max-age"
	Env     string // "DOTS_MAX_AGE"
	Default string // in the form that the setting takes: "60s"
	Takes   string // "a time with its unit, such as 60s, 500ms or 2m"
	Group   string
	Help    string
	Secret  bool // its value must not be printed
	Reload  bool // it may change in a running server

	field int
}

// Settings lists the fields of Config in their order.
func Settings() []Setting {
	t := reflect.TypeFor[Config]()
	settings := make([]Setting, t.NumField())
	for i := range settings {
		f := t.Field(i)
		settings[i] = Setting{
			Name:    f.Tag.Get("name"),
			Flag:    "--" + f.Tag.Get("name"),
			Env:     f.Tag.Get("env"),
			Default: f.Tag.Get("default"),
			Takes:   takes(f.Type),
			Group:   f.Tag.Get("group"),
			Help:    f.Tag.Get("help"),
			Secret:  f.Tag.Get("secret") == "true",
			Reload:  f.Tag.Get("reload") == "true",
			field:   i,
		}
	}
	return settings
}

// Get returns the setting's field of c.
func (s Setting) Get(c Config) any { return reflect.ValueOf(c).Field(s.field).Interface() }

// copy sets the setting's field of dst to that of src.
func (s Setting) copy(dst, src *Config) {
	reflect.ValueOf(dst).Elem().Field(s.field).Set(reflect.ValueOf(src).Elem().Field(s.field))
}

// Value is the setting's value in c as a text, in the form that the setting takes.
func (s Setting) Value(c Config) string { return text(s.Get(c)) }

// SettingsMarkdown is the table of all settings in SETTINGS.md.
func SettingsMarkdown() string {
	var b strings.Builder
	b.WriteString("| flag | environment | default | SIGHUP | what it does |\n|---|---|---|---|---|\n")
	for _, s := range Settings() {
		value := "empty"
		if s.Default != "" {
			value = "`" + s.Default + "`"
		}
		changes := "restart"
		if s.Reload {
			changes = "taken"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s |\n", s.Flag, s.Env, value, changes, strings.ReplaceAll(s.Help, "|", `\|`))
	}
	return b.String()
}

func takes(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a time with its unit, such as 60s, 500ms or 2m"
	case reflect.TypeFor[ByteSize]():
		return "a size such as 64KiB, 1MB or 512"
	case reflect.TypeFor[int]():
		return "a whole number, such as 100"
	case reflect.TypeFor[bool]():
		return "true or false"
	case reflect.TypeFor[[]string]():
		return "a list, such as [https://a.example.org, https://b.example.org]"
	default:
		return "a text"
	}
}

func text(value any) string {
	switch v := value.(type) {
	case time.Duration:
		return formatDuration(v)
	case encoding.TextMarshaler:
		b, _ := v.MarshalText() // ours never fail
		return string(b)
	case []string:
		return strings.Join(v, ",")
	default:
		return fmt.Sprint(v)
	}
}
