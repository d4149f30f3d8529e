package loop

import (
	"bytes"
	"errors"
	"time"
)

// ConnID names a connection on this node: loop, generation and slot. 0 is nobody.
type ConnID uint64

func makeID(loop int, gen, slot uint32) ConnID {
	return ConnID(uint64(loop)<<56 | uint64(gen&0xffffff)<<32 | uint64(slot))
}

// Loop is the index of the loop that the connection belongs to.
func (id ConnID) Loop() int { return int(id >> 56) }

func (id ConnID) slot() uint32 { return uint32(id) }

// ErrAgain is what Socket.Read returns when there is nothing to read now.
var ErrAgain = errors.New("nothing to read now")

// Socket is what a connection needs of its transport. All calls come from the loop's goroutine.
type Socket interface {
	// Open registers the socket with the poller; from then on Readable may be called.
	Open() error
	// Read reads what is there: n > 0, or ErrAgain, or io.EOF, or another error (the connection is gone).
	Read(p []byte) (n int, err error)
	// Send writes what the kernel takes at once and queues nothing: n < len(p) means that there is no more room. An
	// error means that the connection is gone; the transport reports that by Closed in its own time.
	Send(p []byte) (n int, err error)
	// AwaitRoom asks for a call of Loop.Writable as soon as there is room again.
	AwaitRoom()
	// Finished reports that the peer has closed its side or is gone: the transport may then close the socket as soon as
	// the loop returns to it, and what is not read by then is lost.
	Finished() bool
	// CloseWrite sends FIN.
	CloseWrite()
	// Shutdown ends both directions. The transport frees the socket later and calls Closed.
	Shutdown()
}

// Session is the protocol side of a connection. All calls come from the loop's goroutine.
type Session interface {
	// Input parses p and returns the bytes it consumed. Before each frame it asks MayParse and after each message it
	// calls Took. What it does not consume is kept and offered again: if MayParse still holds, only together with more.
	Input(p []byte) (n int)
	// Joined says that Join is done: from here on the member gets everything.
	Joined()
	// Kick asks the session to end the connection because it broke a limit; it calls Conn.Finish.
	Kick(why Why)
	// Ping asks for a ping: nothing was heard for a third of Config.MaxAge (only after Conn.WantPings).
	Ping()
}

// Peer is the one object that the server has per connection.
type Peer interface {
	Socket
	Session
}

// Why is the limit that a connection broke; also the reason label of dropped frames.
type Why uint8

// The reasons.
const (
	WhyLeft        Why = iota // the peer closed, reset, or vanished
	WhyClosed                 // ended by the session: close handshake, protocol error, drain
	WhyHandshake              // no whole handshake within HandshakeTimeout
	WhyHeartbeat              // no sign of life for MaxAge
	WhyFrame                  // half a frame without progress for FrameTimeout
	WhyBacklogHard            // backlog over HardBacklog
	WhyBacklogSoft            // backlog over SoftBacklog for BacklogTime
	WhyShed                   // the slowest, when the node was over BacklogTotal
	WhyRoomFull               // RoomMembers reached
	WhyNodeFull               // MaxRooms reached
	WhyBackend                // the bus could not deliver what it published (Node.Refuse)
	WhyDoubt                  // the bus does not know whether it delivered what it published (Node.Doubt)
	WhyGap                    // messages of its room may have passed it over (Node.Gap), and the server is set to end it for that
	numWhy
)

var whyNames = [numWhy]string{"left", "closed", "handshake_timeout", "heartbeat_missed", "frame_stalled", "backlog_hard",
	"backlog_soft", "shed", "room_full", "node_full",
	"backend_unavailable", "backend_doubtful", "gap"}

func (w Why) String() string { return whyNames[w] }

// Slow reports that the connection is a slow consumer.
func (w Why) Slow() bool { return w == WhyBacklogHard || w == WhyBacklogSoft || w == WhyShed }

// NumWhy is the number of reasons, for tables by reason.
const NumWhy = int(numWhy)

type state uint8

const (
	stateNew     state = iota // not adopted yet
	stateOpen                 // handshake or messages: the session knows which
	stateEnding               // parses no more; waits for its own publications in flight
	stateClosing              // last words said; reads and discards until EOF
	stateGone                 // left for good; waits for the transport to free the socket
)

type flags uint16

const (
	flagReady    flags = 1 << iota // on the ready list: has input that was not parsed yet
	flagPaused                     // on the paused list: may not parse because of back-pressure
	flagHeld                       // the session waits for something (Hold)
	flagEOF                        // nothing more will come from the socket
	flagFreed                      // the transport has closed the socket
	flagPings                      // WantPings
	flagPartial                    // inside a frame (SetPartial)
	flagArmed                      // in the wheel
	flagMarked                     // must go; swept at the end of the turn
	flagUpgraded                   // handshake done: MaxAge counts instead of HandshakeTimeout
)

// Conn is one connection as the loop sees it. The server embeds it in its session, so that a connection is one object.
type Conn struct {
	// Immutable after Adopt.
	peer Peer
	loop *Loop

	// Owned by the loop.
	id      ConnID
	member  Member
	timer   timer
	in      *input   // bytes read and not parsed yet; nil for nearly everybody
	back    *backlog // what the socket did not take; nil for nearly everybody
	end     *ending  // how it ends; nil until Finish
	seen    uint32   // tick of the last sign of life, rounded up
	moved   uint32   // tick of the last bytes read, or of the handshake's begin, rounded up
	opened  uint32   // tick of its adoption
	due     uint32   // tick of the wheel's entry
	pending int32    // own publications with the bus
	flags   flags
	state   state
	variant Variant
}

// Init ties c to its peer. Before Adopt.
func (c *Conn) Init(p Peer) { c.peer = p }

// ID is 0 until the loop has adopted c.
func (c *Conn) ID() ConnID { return c.id }

// Loop returns the loop that c belongs to.
func (c *Conn) Loop() *Loop { return c.loop }

// Peer returns what Init was given.
func (c *Conn) Peer() Peer { return c.peer }

// Room is the name of its room, "" outside of any.
func (c *Conn) Room() string {
	if c.member.room == nil {
		return ""
	}
	return c.member.room.name
}

func (c *Conn) has(f flags) bool { return c.flags&f != 0 }

// Open reports that the connection still takes part: Finish was not called and the peer has not gone.
func (c *Conn) Open() bool { return c.state == stateOpen }

// Age is how long ago the loop adopted it, to a tick.
func (c *Conn) Age() time.Duration { return Tick * time.Duration(tickDown(c.loop.now)-c.opened) }

// Backlog is the bytes that wait for it here, those in the transport's queue included.
func (c *Conn) Backlog() int {
	if c.back == nil {
		return 0
	}
	return c.back.bytes
}

// Touch notes a sign of life. Lazy: the wheel finds out when the old deadline comes.
func (c *Conn) Touch(now time.Duration) {
	c.seen = tickUp(now)
}

// Upgraded says that the handshake is done, from which moment MaxAge counts.
func (c *Conn) Upgraded(now time.Duration) {
	c.flags |= flagUpgraded
	c.Touch(now)
	c.moved = c.seen
	c.loop.rearm(c)
}

// WantPings asks for Session.Ping at each third of MaxAge without a sign of life.
func (c *Conn) WantPings() {
	c.flags |= flagPings
	c.loop.rearm(c)
}

// SetPartial says whether c is inside a frame: then FrameTimeout counts, from now and from each byte that comes.
func (c *Conn) SetPartial(partial bool) {
	if partial == c.has(flagPartial) {
		return
	}
	c.flags ^= flagPartial
	if partial {
		c.moved = tickUp(c.loop.now)
		c.loop.rearm(c)
	}
}

// Publish accepts a message of c for its room. value is copied.
func (c *Conn) Publish(kind Kind, value []byte) {
	l := c.loop
	p := newPublication(&l.cfg.Encodings[c.variant], c.variant, c.member.room.name, c.id, kind, value)
	c.pending++
	l.stats.Accepted++
	l.node.bus.Publish(p)
}

// Control sends a whole control frame between batches, never inside one; frame is not kept. While c is blocked one control frame is kept
// (the newest) and the others are dropped: RFC 6455 5.5.3 lets an endpoint answer only the latest ping.
func (c *Conn) Control(frame []byte) {
	if c.state != stateOpen || c.has(flagEOF) {
		return
	}
	if c.back != nil {
		c.back.control = append(c.back.control[:0], frame...)
		return
	}
	if n, err := c.peer.Send(frame); err == nil && n < len(frame) {
		c.loop.block(c, bytes.Clone(frame[n:]), nil)
	}
}

// Join makes c a member of the room; Session.Joined is called when it is, perhaps before Join returns.
func (c *Conn) Join(room string, v Variant) {
	c.variant = v
	c.loop.join(c, room)
}

// deadline returns the tick of the earliest timeout of c and what it is. The pings up to tick after were sent. They are due at
// each third of MaxAge since the last sign of life, which is why nothing has to be kept about them.
func (c *Conn) deadline(after uint32) (at uint32, why Why, ping bool) {
	l := c.loop
	switch {
	case c.state >= stateEnding:
		return c.end.due, WhyClosed, false
	case !c.has(flagUpgraded):
		return c.moved + l.ticks.handshake, WhyHandshake, false
	}
	at, why = c.seen+l.ticks.maxAge, WhyHeartbeat
	if c.has(flagPartial) && c.moved+l.ticks.frame < at {
		at, why = c.moved+l.ticks.frame, WhyFrame
	}
	if c.has(flagPings) {
		silent := max(after, c.seen) - c.seen
		if next := c.seen + (silent/l.ticks.ping+1)*l.ticks.ping; next < at {
			return next, why, true
		}
	}
	return at, why, false
}
