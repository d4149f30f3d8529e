package loop

import (
	"time"
)

// ConnID names a connection on this node: loop, generation and slot. 0 means no connection.
type ConnID uint64

func makeID(loop int, gen, slot uint32) ConnID {
	return ConnID(uint64(loop)<<56 | uint64(gen&0xffffff)<<32 | uint64(slot))
}

// Loop is the index of the loop that the connection belongs to.
func (id ConnID) Loop() int { return int(id >> 56) }

func (id ConnID) slot() uint32 { return uint32(id) }

type state uint8

const (
	stateNew     state = iota // not adopted yet
	stateOpen                 // handshake or messages: the session knows which
	stateEnding               // parses no more; waits for its own publications in flight
	stateClosing              // last words sent or queued; reads and discards until EOF
	stateGone                 // closed; waits for the transport to free the socket
)

type flags uint16

const (
	flagReady     flags = 1 << iota // on the ready list: has input that was not parsed yet
	flagPaused                      // on the paused list: may not parse because of back-pressure
	flagHeld                        // the session waits for something (Hold)
	flagEOF                         // nothing more will come from the socket
	flagFreed                       // the transport has closed the socket
	flagPings                       // WantPings
	flagPartial                     // inside a frame (SetPartial)
	flagArmed                       // in the wheel
	flagToClose                     // must be closed; sweep does it at the end of the turn
	flagUpgraded                    // handshake done: MaxAge applies instead of HandshakeTimeout
	flagAcked                       // acks.serve has found its latest acknowledgement, of a publication that has its place
	flagAckedHere                   // or of one that only members of this node got
	flagMany                        // Many.Begin
	flagGap                         // SlowGap, of a connection with one room
	flagLatest                      // SlowLatest, of a connection with one room
	flagReader                      // Plain.ReadsOnly: ReaderAge and ReaderPing apply
)

// Conn is one connection as the loop sees it. The server embeds it in its session, so that a connection is one object.
type Conn struct {
	withoutIDs // the methods that only a session with ids needs

	// Immutable after Adopt.
	peer Peer
	loop *Loop

	// Owned by the loop.
	id      ConnID
	member  Member
	timer   timer
	in      *input   // bytes read and not parsed yet; nil for nearly every connection
	backlog *backlog // bytes that the socket has not accepted; nil for nearly every connection
	end     *ending  // how the connection ends; nil until Finish
	ticksOf
	pending int32 // publications of this connection that the bus has not finished
	flags   flags
	state   state
	variant Variant
}

// ticksOf are the ticks at which something happened to a connection.
type ticksOf struct {
	seen   uint32 // the last sign of life, rounded up
	moved  uint32 // the last bytes read, or the start of the handshake, rounded up
	opened uint32 // the connection was adopted
	due    uint32 // the entry of the connection in the wheel
}

// Init ties c to its peer. Call it before Adopt.
func (c *Conn) Init(p Peer) { c.peer, c.member.conn = p, c }

// ID is 0 until the loop has adopted c.
func (c *Conn) ID() ConnID { return c.id }

// Loop returns the loop that c belongs to.
func (c *Conn) Loop() *Loop { return c.loop }

// Peer returns the peer given to Init.
func (c *Conn) Peer() Peer { return c.peer }

// Room is the name of its room, "" if it is in none, or has many.
func (c *Conn) Room() string {
	if c.member.room == nil {
		return ""
	}
	return c.member.room.name
}

// In reports whether c is in the room, or waits to join it.
func (c *Conn) In(room string) bool {
	return c.has(flagMany) && memberIn(c, room) != nil || room != "" && c.Room() == room
}

func (c *Conn) has(f flags) bool { return c.flags&f != 0 }

// Open reports whether the connection is still in use: Finish was not called and the peer has not gone.
func (c *Conn) Open() bool { return c.state == stateOpen }

// Age is the time since the loop adopted the connection, to a tick.
func (c *Conn) Age() time.Duration { return Tick * time.Duration(tickDown(c.loop.now)-c.opened) }

// Backlog is the number of bytes that wait here for the connection, including those in the transport's queue.
func (c *Conn) Backlog() int {
	if c.backlog == nil {
		return 0
	}
	return c.backlog.bytes
}
