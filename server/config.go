package server

import (
	"os"
	"strings"
	"time"
)

// Config has all settings of a node. The tags of a field hold the name of the setting, its environment variable, its default and
// its help. The command line, the configuration file, the help text and the table in SETTINGS.md are made from the tags (see
// Settings), so this package needs no library to parse flags. validate.go decides which values are refused; CONTRIBUTING.md has
// the steps to add a setting.
//
// The zero Config is not usable; start from Default and change the fields that should differ:
//
//	cfg := server.Default()
//	cfg.Listen = "127.0.0.1:0"
//	cfg.MaxAge = 6 * time.Second
//	if err := cfg.Validate(); err != nil { ... }
//
// Every timeout and limit is a field here, so that a test can run with a tenth of it.
type Config struct {
	Listen         string   `name:"listen" env:"DOTS_LISTEN" default:":8000" group:"Addresses and access" help:"Address for clients, as host:port. Without a host: all interfaces. Port 0: any free port."`
	Admin          string   `name:"admin" env:"DOTS_ADMIN" default:"127.0.0.1:8001" group:"Addresses and access" help:"Address for metrics, health, profiles and the API, as host:port. Empty: off."`
	AdminToken     string   `name:"admin-token" env:"DOTS_ADMIN_TOKEN" default:"" placeholder:"TOKEN" secret:"true" group:"Addresses and access" reload:"true" help:"Bearer token for requests to the admin address. You must set a token if that address is not loopback. Every local user can see a token on the command line: prefer the environment variable or the file."`
	AdminTokenFile string   `name:"admin-token-file" env:"DOTS_ADMIN_TOKEN_FILE" default:"" placeholder:"FILE" group:"Addresses and access" reload:"true" help:"File with the admin token, instead of --admin-token."`
	Origins        []string `name:"origins" env:"DOTS_ORIGINS" placeholder:"PATTERN" group:"Addresses and access" reload:"true" help:"Web pages that may connect, as a list of patterns such as https://chat.example.org, http://localhost:5173 or https://*.example.org. A page that connects to the host and port it was loaded from needs no entry if that host is an IP address, localhost or this machine's host name. * lets every page connect. Requests for /sse/ and /chat/ that name no page must be for one of those hosts, or for a host of the list."`
	Subprotocols   []string `name:"subprotocols" env:"DOTS_SUBPROTOCOLS" placeholder:"NAME" group:"Addresses and access" reload:"true" help:"Names that the server accepts in Sec-WebSocket-Protocol in addition to dots.v1, as a list. Only clients that insist on a subprotocol need this setting; the names have no other effect."`
	Publish        string   `name:"publish" env:"DOTS_PUBLISH" default:"off" group:"Addresses and access" reload:"true" help:"Who may publish with POST /chat/ROOM/ on the address for clients. off: nobody. open: every program, and every page that --origins allows."`
	PublicReadyz   bool     `name:"public-readyz" env:"DOTS_PUBLIC_READYZ" default:"false" group:"Addresses and access" reload:"true" help:"Answer /readyz on the address for clients too, so that a load balancer needs only that address."`

	MaxMessage     ByteSize `name:"max-message" env:"DOTS_MAX_MESSAGE" default:"64KiB" group:"Limits" reload:"true" help:"Maximum size of a message from a client. A larger message closes the connection with 1009."`
	MaxHeader      ByteSize `name:"max-header" env:"DOTS_MAX_HEADER" default:"16KiB" group:"Limits" reload:"true" help:"Maximum size of the head of an HTTP request, cookies included. A request with a larger head is refused with 431."`
	MaxFragments   int      `name:"max-fragments" env:"DOTS_MAX_FRAGMENTS" default:"1024" group:"Limits" reload:"true" help:"Maximum number of frames into which one message may be split. A message of more frames closes the connection with 1008."`
	MaxConns       int      `name:"max-conns" env:"DOTS_MAX_CONNS" default:"0" group:"Limits" reload:"true" help:"Maximum number of connections at a time. 0: as many as the limit of open files allows."`
	RoomMembers    int      `name:"room-members" env:"DOTS_ROOM_MEMBERS" default:"0" group:"Limits" reload:"true" help:"Maximum number of members of a room on this node. Further connections to a full room are closed with 4103. 0: no limit."`
	MaxRooms       int      `name:"max-rooms" env:"DOTS_MAX_ROOMS" default:"0" group:"Limits" reload:"true" help:"Maximum number of rooms on this node. A connection that would create another room is closed with 4103. 0: no limit."`
	RoomsPerSocket int      `name:"rooms-per-socket" env:"DOTS_ROOMS_PER_SOCKET" default:"128" group:"Limits" reload:"true" help:"Maximum number of rooms that a connection to /ws/?v=2 may be in. A request to join one more is answered with error 4103."`
	ControlRate    int      `name:"control-rate" env:"DOTS_CONTROL_RATE" default:"100" group:"Limits" reload:"true" help:"Maximum number of control frames, fragments and tiny raw messages, counted together, that a connection may send per second on average. A connection that sends more is closed with 1008."`
	ControlBurst   int      `name:"control-burst" env:"DOTS_CONTROL_BURST" default:"2000" group:"Limits" reload:"true" help:"Maximum number of control frames, fragments and tiny raw messages that a connection may send at once after a quiet time (see --control-rate)."`
	Loops          int      `name:"loops" env:"DOTS_LOOPS" default:"0" group:"Limits" help:"Number of event loops. 0: one per CPU."`

	MaxAge           time.Duration `name:"max-age" env:"DOTS_MAX_AGE" default:"60s" group:"Timeouts" help:"Longest time without a sign of life from a connection. After that the connection is closed with 4100."`
	ChatLife         string        `name:"chat-life" env:"DOTS_CHAT_LIFE" default:"messages" group:"Timeouts" help:"Frames that count as a sign of life in a chat room. messages: only messages and heartbeats. any: every frame; the server then also sends pings, for clients that only answer pings."`
	HandshakeTimeout time.Duration `name:"handshake-timeout" env:"DOTS_HANDSHAKE_TIMEOUT" default:"5s" group:"Timeouts" help:"Time within which the whole HTTP request of a new connection must arrive."`
	FrameTimeout     time.Duration `name:"frame-timeout" env:"DOTS_FRAME_TIMEOUT" default:"10s" group:"Timeouts" help:"Longest wait for the next byte of a frame that has begun. After that the connection is closed with 1008."`
	CloseTimeout     time.Duration `name:"close-timeout" env:"DOTS_CLOSE_TIMEOUT" default:"2s" group:"Timeouts" help:"Time for a client to answer a close frame of the server before the server closes the TCP connection."`

	SoftBacklog  ByteSize      `name:"backlog-soft" env:"DOTS_BACKLOG_SOFT" default:"64KiB" group:"Back-pressure" help:"Soft limit for the backlog of a member, which is the bytes that wait in the server because the member's socket accepts no more. While a member is above this limit, the publishers of its room are slowed down."`
	HardBacklog  ByteSize      `name:"backlog-hard" env:"DOTS_BACKLOG_HARD" default:"256KiB" group:"Back-pressure" help:"Hard limit for the backlog of a member. A member above this limit is closed with 4101."`
	BacklogTime  time.Duration `name:"backlog-time" env:"DOTS_BACKLOG_TIME" default:"10s" group:"Back-pressure" help:"Longest time that the backlog of a member may stay above --backlog-soft. After that the member is closed with 4101."`
	BacklogTotal ByteSize      `name:"backlog-total" env:"DOTS_BACKLOG_TOTAL" default:"64MiB" group:"Back-pressure" help:"Limit for the backlogs of all members together; a frame that waits for several members counts once. Above this limit members are closed with 4101, the slowest first."`
	StallBudget  time.Duration `name:"stall-budget" env:"DOTS_STALL_BUDGET" default:"1s" group:"Back-pressure" help:"Slow members may pause the publishers of their room for at most this time in any 10 s. Messages from other nodes may wait for at most this time in any minute, and for five times as long after an outage. 0: no pause."`
	UnsentLimit  ByteSize      `name:"unsent-limit" env:"DOTS_UNSENT_LIMIT" default:"128KiB" group:"Back-pressure" help:"Maximum number of unsent bytes that the kernel buffers for a connection (TCP_NOTSENT_LOWAT). Further bytes stay in the server and count as the backlog of the member. 0: the kernel's own limit, up to 4 MB."`
	InboxLimit   ByteSize      `name:"inbox-limit" env:"DOTS_INBOX_LIMIT" default:"8MiB" group:"Back-pressure" help:"Maximum number of bytes of messages that may wait in one event loop. If more bytes wait, all loops stop reading from clients until that loop has caught up."`

	HistoryBytes ByteSize      `name:"history-bytes" env:"DOTS_HISTORY_BYTES" default:"64MiB" group:"Limits" help:"Memory for the latest messages of all rooms together, so that clients of version 2 get the messages that they missed. It is used from the first client of version 2 on, at least 256 KiB for each of the lanes (64 without Redis). 0: clients get no missed messages."`
	HistoryAge   time.Duration `name:"history-age" env:"DOTS_HISTORY_AGE" default:"5m" group:"Limits" help:"Age at which messages are dropped from that memory, even if it has space. 0s: no limit."`

	Redis       string        `name:"redis" env:"DOTS_REDIS" default:"" placeholder:"URL" secret:"true" group:"Many nodes" help:"Address of the Redis that connects all nodes into one system: redis://[user:password@]host:port[/db], rediss:// for TLS, redis+sentinel://host:port,host:port/master (with ?sentinel_user=USER&sentinel_password=PASSWORD if the sentinels require it) or redis+cluster://host:port,host:port. Users and passwords are percent-encoded. Empty: this node runs alone. Every local user can see a password on the command line: prefer the environment variable or the file."`
	RedisPrefix string        `name:"redis-prefix" env:"DOTS_REDIS_PREFIX" default:"dots" group:"Many nodes" help:"Prefix of all keys and channels in Redis. Nodes with the same prefix form one system."`
	Lanes       int           `name:"lanes" env:"DOTS_LANES" default:"0" group:"Many nodes" help:"Number of lanes (shards of the rooms) in Redis, the same on all nodes. 0: the number that the other nodes use; the first node uses 1, or 64 on a Cluster. More lanes give more throughput if Redis is far away, because each lane has at most one call under way."`
	RedisBatch  int           `name:"redis-batch" env:"DOTS_REDIS_BATCH" default:"512" group:"Many nodes" help:"Maximum number of messages of a lane in one call to Redis. A call takes the messages that arrived while the previous call was under way, and never waits for more. With a smaller number, other users of the same Redis wait less. 1: one call per message, to measure how much batching saves."`
	RedisHold   time.Duration `name:"redis-hold" env:"DOTS_REDIS_HOLD" default:"10s" group:"Many nodes" help:"How long messages are kept, in order, while Redis does not accept them. After that --redis-down decides what happens to them."`
	RedisWait   Patience      `name:"redis-wait" env:"DOTS_REDIS_WAIT" default:"forever" group:"Many nodes" help:"How long a node that starts waits for a Redis that it cannot reach; after that the node exits. While the node waits, it is alive but not ready, and answers 503. 0s: one try. The node exits at once after an error that waiting cannot fix: a refused login, a missing permission, an unknown certificate, or nodes that disagree."`
	RedisDown   string        `name:"redis-down" env:"DOTS_REDIS_DOWN" default:"reject" group:"Many nodes" help:"Handling of messages that Redis has not accepted within --redis-hold. reject: their senders are closed with 4104. local: the messages reach only members on this node; members on other nodes never get them, and each node then has an order of its own."`

	RedisReady   time.Duration `name:"redis-ready-after" env:"DOTS_REDIS_READY_AFTER" default:"3s" group:"Many nodes" help:"If this time has passed since the last round trip through Redis, the node counts as cut off from Redis. Then /readyz answers 503 (with --redis-down=reject) or says that the node serves alone (with --redis-down=local)."`
	RedisUpgrade time.Duration `name:"redis-upgrade-after" env:"DOTS_REDIS_UPGRADE_AFTER" default:"10m" group:"Many nodes" help:"Time without any node of version 0.1.0 after which the nodes switch to the newer message format. After the switch a node of version 0.1.0 can no longer join."`
	OnGap        string        `name:"on-gap" env:"DOTS_ON_GAP" default:"ignore" group:"Many nodes" help:"Handling of members of a chat room that may have missed messages, because Redis lost them or a node was away for too long. Members of version 2 get the event gap. Members of version 1: ignore: they are not told. close: they are closed with 4105, spread over --drain-time, so that their clients reconnect and fetch the state of the room."`

	DrainDelay time.Duration `name:"drain-delay" env:"DOTS_DRAIN_DELAY" default:"0s" group:"Draining" help:"Time after SIGTERM in which the node reports that it is not ready but still accepts connections, so that load balancers notice the drain before the port closes."`
	DrainTime  time.Duration `name:"drain-time" env:"DOTS_DRAIN_TIME" default:"5s" group:"Draining" help:"Time over which a drain closes the connections with 4200, after --drain-delay, so that not all clients reconnect at the same time. --on-gap=close spreads its closes over the same time."`

	LogFormat string `name:"log-format" env:"DOTS_LOG_FORMAT" default:"auto" group:"Logging" help:"Format of the log: auto, json or console. auto: console on a terminal, json otherwise."`
	LogLevel  string `name:"log-level" env:"DOTS_LOG_LEVEL" default:"info" group:"Logging" reload:"true" help:"Lowest level that is logged: debug, info, warn or error."`
}

// Default returns the Config in which every setting has the default of its tag.
func Default() (c Config) {
	for _, s := range Settings() {
		if s.Default == "" {
			continue
		}
		if err := s.Set(&c, s.Default); err != nil {
			panic("server: the default of " + s.Name + ": " + err.Error())
		}
	}
	return c
}

// LoadAdminToken reads the file AdminTokenFile, if one is set, into AdminToken, and clears AdminTokenFile. White space around the
// token, such as the newline that an editor adds, is ignored.
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
		return &SettingError{"admin-token-file", c.AdminTokenFile + " does not contain a bearer token; write one line of letters, digits and -._~+/= into this file"}
	}
	c.AdminToken, c.AdminTokenFile = token, ""
	return nil
}
