package loop

import "time"

// Config is the configuration that the loops of a node share. Start from DefaultConfig. In fields in which a loop could not
// work with 0 (loops, lanes, reads, flushes, credits), 0 means the default.
type Config struct {
	Loops int // number of loops, 1 to MaxLoops
	Lanes int // number of lanes of the directory; with more lanes, loops contend less

	// Ring wakes the goroutine of loop i, so that it calls Turn soon. Ring is called from any goroutine and must not block.
	Ring func(i int)
	// Encodings builds the frames of each variant.
	Encodings [MaxVariants]Encoding
	// Presence writes what watchers are told: it becomes the value of a publication of KindPresence, or goes to Session.Presence.
	Presence func(e *PresenceEvent) []byte
	// LaneOf maps a room to a lane; nil takes a hash with a key of this process.
	LaneOf func(room string) int

	HandshakeTimeout time.Duration // time from Adopt to Upgraded
	MaxAge           time.Duration // a connection without a sign of life for this long is kicked
	FrameTimeout     time.Duration // inside a frame, the next byte must come within this time
	CloseTimeout     time.Duration // time limit of the state ending, and again of the state closing

	ReaderPing time.Duration // Session.Ping is called this often for a connection that only reads
	ReaderAge  time.Duration // such a connection is kicked if it takes nothing for this long

	ReadMessages int // how many messages a connection may parse per turn
	ReadBytes    int // how many bytes a connection may read per turn, rounded up to a multiple of ReadBuffer
	ReadBuffer   int // bytes per read; one buffer per loop
	FlushFirst   int // writes of the fan-out in a turn with new publications; each following turn without new publications may do twice as many
	FlushBudget  int // most writes of the fan-out in any turn
	FlushSlice   int // writes to one room before the next room has its turn

	InboxLimit   int64         // bytes of publications in a loop's inbox and batches; above this no connection is parsed
	RoomCredit   int64         // bytes of a room's publications that are not fanned out yet; above this the publishers of the room wait
	SoftBacklog  int           // bytes that wait for one member; above this the member stalls its room
	HardBacklog  int           // bytes that wait for one member; above this the member is kicked
	BacklogTime  time.Duration // a member whose backlog is over SoftBacklog for this time is kicked
	BacklogTotal int64         // bytes of all backlogs of the node, each shared frame counted once; above this the slowest are shed
	StallBudget  time.Duration // how long slow members may stall the publishers of a room in 10 s
	ParkedTotal  int64         // bytes of deferred publications from other nodes; above this the node delivers the oldest ones

	HistoryBytes int64         // memory of the histories of all lanes together; 0: none are kept
	HistoryAge   time.Duration // publications older than this are not kept; 0: no limit

	// OnFence is called on every node with the value of each fence (fence.go), from any goroutine and under locks: it must not block,
	// nor call back. nil: nobody wants to know.
	OnFence  func(value []byte)
	FenceAge time.Duration // how long a fence is remembered: longer than a bus may take for a publication

	PresenceBudget int // deliveries of events of presence in a second, of all rooms together (presences.go)

	RoomMembers int // members of a room on this node; 0: no limit
	MaxRooms    int // rooms with members on this node; 0: no limit
}

// DefaultConfig returns all defaults. The caller sets Ring and Encodings.
func DefaultConfig() Config {
	return Config{
		Loops: 1, Lanes: 64,
		HandshakeTimeout: 5 * time.Second, MaxAge: 60 * time.Second, FrameTimeout: 10 * time.Second, CloseTimeout: 2 * time.Second,
		ReaderPing: 15 * time.Second, ReaderAge: 60 * time.Second,
		ReadMessages: 64, ReadBytes: 256 << 10, ReadBuffer: 64 << 10, FlushFirst: 64, FlushBudget: 1024, FlushSlice: 256,
		InboxLimit: 8 << 20, RoomCredit: 64 << 10, SoftBacklog: 64 << 10, HardBacklog: 256 << 10, BacklogTime: 10 * time.Second,
		BacklogTotal: 64 << 20, StallBudget: time.Second, ParkedTotal: 32 << 20,
		HistoryBytes: 64 << 20, HistoryAge: 5 * time.Minute, FenceAge: time.Minute, PresenceBudget: presenceBudget,
	}
}

// withDefaults puts the default into each field in which no loop could work with 0.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	for _, f := range []struct{ field, value *int }{
		{&c.Loops, &d.Loops}, {&c.Lanes, &d.Lanes}, {&c.ReadMessages, &d.ReadMessages}, {&c.ReadBytes, &d.ReadBytes},
		{&c.ReadBuffer, &d.ReadBuffer}, {&c.FlushFirst, &d.FlushFirst}, {&c.FlushBudget, &d.FlushBudget}, {&c.FlushSlice, &d.FlushSlice},
		{&c.PresenceBudget, &d.PresenceBudget},
	} {
		if *f.field == 0 {
			*f.field = *f.value
		}
	}
	if c.InboxLimit == 0 {
		c.InboxLimit = d.InboxLimit
	}
	if c.RoomCredit == 0 {
		c.RoomCredit = d.RoomCredit
	}
	return c
}

// settings are derived from a Config by New. They are the same for all loops of a node and never change.
type settings struct {
	cfg   Config
	ticks struct{ handshake, maxAge, ping, readerAge, readerPing, frame, close, backlog uint32 }
}

func newSettings(cfg Config) *settings {
	s := &settings{cfg: cfg.withDefaults()}
	s.ticks.handshake = ticks(cfg.HandshakeTimeout)
	s.ticks.maxAge = ticks(cfg.MaxAge)
	s.ticks.ping = max(ticks(cfg.MaxAge/3), 1)
	s.ticks.readerAge = ticks(cfg.ReaderAge)
	s.ticks.readerPing = max(ticks(cfg.ReaderPing), 1)
	s.ticks.frame = ticks(cfg.FrameTimeout)
	s.ticks.close = ticks(cfg.CloseTimeout)
	s.ticks.backlog = ticks(cfg.BacklogTime)
	return s
}
