package loop

import "time"

// Config is what the loops of a node have in common. Start from DefaultConfig; of the numbers that no
// loop could work without (loops, lanes, reads, flushes, credits) a zero takes the default as well.
type Config struct {
	Loops int // 1 to MaxLoops
	Lanes int // of the directory; more lanes, less contention between loops

	// Ring wakes loop i: its goroutine calls Turn soon. Any goroutine; it must not block.
	Ring func(i int)
	// Encodings builds the frames of each variant.
	Encodings [MaxVariants]Encoding
	// LaneOf maps a room to a lane; nil takes a hash with a key of this process.
	LaneOf func(room string) int

	HandshakeTimeout time.Duration // from Adopt to Upgraded
	MaxAge           time.Duration // without a sign of life
	FrameTimeout     time.Duration // inside a frame without a byte
	CloseTimeout     time.Duration // each of ending and closing

	ReadMessages int // a connection parses at most so many a turn
	ReadBytes    int // and reads at most so many bytes, to the next whole ReadBuffer
	ReadBuffer   int // bytes read at once, one buffer per loop
	FlushBudget  int // writes of fan-out in a turn
	FlushSlice   int // of them to one room before the next has its turn

	InboxLimit   int64         // bytes of publications in a loop's inbox and batches; above, nobody parses
	RoomCredit   int64         // bytes of publications of a room not yet fanned out; above, its publishers wait
	SoftBacklog  int           // bytes
	HardBacklog  int           // bytes
	BacklogTime  time.Duration // over SoftBacklog
	BacklogTotal int64         // bytes of all backlogs of the node, shared frames counted once
	StallBudget  time.Duration // per room, in 10 s
	ParkedTotal  int64         // bytes of publications from elsewhere that wait for their rooms; above, they no longer do

	RoomMembers int // members of a room on this node; 0: no limit
	MaxRooms    int // rooms with members on this node; 0: no limit
}

// DefaultConfig has every default; Ring and Encodings are the caller's.
func DefaultConfig() Config {
	return Config{
		Loops: 1, Lanes: 64,
		HandshakeTimeout: 5 * time.Second, MaxAge: 60 * time.Second, FrameTimeout: 10 * time.Second, CloseTimeout: 2 * time.Second,
		ReadMessages: 64, ReadBytes: 256 << 10, ReadBuffer: 64 << 10, FlushBudget: 1024, FlushSlice: 256,
		InboxLimit: 8 << 20, RoomCredit: 64 << 10, SoftBacklog: 64 << 10, HardBacklog: 256 << 10, BacklogTime: 10 * time.Second,
		BacklogTotal: 64 << 20, StallBudget: time.Second, ParkedTotal: 32 << 20,
	}
}

// withDefaults replaces the zeros that no loop could work with.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	for _, f := range []struct{ field, value *int }{
		{&c.Loops, &d.Loops}, {&c.Lanes, &d.Lanes}, {&c.ReadMessages, &d.ReadMessages}, {&c.ReadBytes, &d.ReadBytes},
		{&c.ReadBuffer, &d.ReadBuffer}, {&c.FlushBudget, &d.FlushBudget}, {&c.FlushSlice, &d.FlushSlice},
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

// settings are what New makes of a Config: the same for all loops of a node, and never changed.
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
