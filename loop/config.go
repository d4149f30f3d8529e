package loop

import "time"

// Config is what the loops of a node have in common. Start from DefaultConfig. A zero takes the default in the numbers that no
// loop could work without (loops, lanes, reads, flushes, credits).
type Config struct {
	Loops int // 1 to MaxLoops
	Lanes int // of the directory; with more lanes, loops contend less

	// Ring wakes loop i, so that its goroutine calls Turn soon. It is called from any goroutine and must not block.
	Ring func(i int)
	// Encodings builds the frames of each variant.
	Encodings [MaxVariants]Encoding
	// LaneOf maps a room to a lane; nil takes a hash with a key of this process.
	LaneOf func(room string) int

	HandshakeTimeout time.Duration // from Adopt to Upgraded
	MaxAge           time.Duration // a connection without a sign of life for this long is kicked
	FrameTimeout     time.Duration // limit for the next byte inside a frame
	CloseTimeout     time.Duration // limit for ending, and again for closing

	ReadMessages int // most messages that a connection parses per turn
	ReadBytes    int // most bytes that it reads per turn, up to the next whole ReadBuffer
	ReadBuffer   int // bytes per read; one buffer per loop
	FlushFirst   int // writes of fan-out in a turn in which something was published; twice as many in each of the next turns
	FlushBudget  int // writes of fan-out in any turn
	FlushSlice   int // writes to one room before the next room has its turn

	InboxLimit   int64         // bytes of publications in a loop's inbox and batches; above this no connection is parsed
	RoomCredit   int64         // bytes of publications of a room not yet fanned out; above this its publishers wait
	SoftBacklog  int           // bytes for one member; above this it stalls its room
	HardBacklog  int           // bytes for one member; above this it is kicked
	BacklogTime  time.Duration // a member is kicked after this time over SoftBacklog
	BacklogTotal int64         // bytes of all backlogs of the node, shared frames counted once
	StallBudget  time.Duration // how long a room may be stalled in 10 s
	ParkedTotal  int64         // bytes of publications from other nodes that are deferred; above this they no longer wait

	RoomMembers int // members of a room on this node; 0: no limit
	MaxRooms    int // rooms with members on this node; 0: no limit
}

// DefaultConfig returns all defaults. The caller sets Ring and Encodings.
func DefaultConfig() Config {
	return Config{
		Loops: 1, Lanes: 64,
		HandshakeTimeout: 5 * time.Second, MaxAge: 60 * time.Second, FrameTimeout: 10 * time.Second, CloseTimeout: 2 * time.Second,
		ReadMessages: 64, ReadBytes: 256 << 10, ReadBuffer: 64 << 10, FlushFirst: 64, FlushBudget: 1024, FlushSlice: 256,
		InboxLimit: 8 << 20, RoomCredit: 64 << 10, SoftBacklog: 64 << 10, HardBacklog: 256 << 10, BacklogTime: 10 * time.Second,
		BacklogTotal: 64 << 20, StallBudget: time.Second, ParkedTotal: 32 << 20,
	}
}

// withDefaults replaces the zeros that no loop could work with.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	for _, f := range []struct{ field, value *int }{
		{&c.Loops, &d.Loops}, {&c.Lanes, &d.Lanes}, {&c.ReadMessages, &d.ReadMessages}, {&c.ReadBytes, &d.ReadBytes},
		{&c.ReadBuffer, &d.ReadBuffer}, {&c.FlushFirst, &d.FlushFirst}, {&c.FlushBudget, &d.FlushBudget}, {&c.FlushSlice, &d.FlushSlice},
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
	ticks struct{ handshake, maxAge, ping, frame, close, backlog uint32 }
}

func newSettings(cfg Config) *settings {
	s := &settings{cfg: cfg.withDefaults()}
	s.ticks.handshake = ticks(cfg.HandshakeTimeout)
	s.ticks.maxAge = ticks(cfg.MaxAge)
	s.ticks.ping = max(ticks(cfg.MaxAge/3), 1)
	s.ticks.frame = ticks(cfg.FrameTimeout)
	s.ticks.close = ticks(cfg.CloseTimeout)
	s.ticks.backlog = ticks(cfg.BacklogTime)
	return s
}
