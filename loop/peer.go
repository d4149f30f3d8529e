package loop

import "errors"

// ErrAgain is what Socket.Read returns when there is nothing to read now.
var ErrAgain = errors.New("nothing to read now")

// Socket is the transport of a connection. All calls come from the loop's goroutine.
type Socket interface {
	// Open registers the socket with the poller; from then on Readable may be called.
	Open() error
	// Read reads the bytes that are there: it returns n > 0, or ErrAgain, or io.EOF, or another error (the connection is gone).
	Read(p []byte) (n int, err error)
	// Send writes as much as the kernel takes at once and queues nothing: n < len(p) means that the kernel has no more space. An
	// error means that the connection is gone; the transport calls Closed later.
	Send(p []byte) (n int, err error)
	// AwaitRoom asks for a call of Loop.Writable as soon as the kernel has space again.
	AwaitRoom()
	// Finished reports that the peer has closed its side or is gone. The transport may then close the socket as soon as the loop
	// returns to the transport, and unread bytes are lost.
	Finished() bool
	// CloseWrite sends FIN.
	CloseWrite()
	// Shutdown ends both directions. The transport frees the socket later and calls Closed.
	Shutdown()
}

// Session is the protocol side of a connection. All calls come from the loop's goroutine.
type Session interface {
	// Input parses p and returns the number of bytes that it consumed. It asks MayParse before each frame, and calls Took after
	// each message. The loop keeps the remaining bytes and offers them again: together with more bytes if MayParse was true,
	// otherwise as soon as MayParse is true.
	Input(p []byte) (n int)
	// Joined tells the session that its join is done: from now on the member gets every publication of the room.
	Joined(room string)
	// NotJoined tells the session that the connection, which has many rooms, cannot be a member of this one: ReasonRoomFull or
	// ReasonNodeFull. A connection with one room is kicked instead.
	NotJoined(room string, why CloseReason)
	// AppendLive appends a frame that tells a member that was repeated to that it has everything up to at.
	AppendLive(dst []byte, room string, at ID, fenced Fenced) []byte
	// AppendGap appends a frame that tells a member that it lost this number of publications (-1: not known) and goes on behind at.
	// It is called for members that were repeated to, and for those that are not SlowKick.
	AppendGap(dst []byte, room string, at ID, pubs int, why GapReason) []byte
	// Ack tells the session that its publications into the room up to ref have their place in the order. All of the room up to at
	// was given to the member before; behind is true if that cannot be said, because something waits for the member.
	Ack(room string, ref uint64, at ID, behind bool)
	// Presence gives the session the state of the room, as Config.Presence has written it: who is there.
	Presence(room string, state []byte)
	// Refused tells the session that the bus will not deliver its publication p (ReasonBackend), or does not know whether it will
	// (ReasonDoubt). If it returns false, the connection is kicked.
	Refused(p *Publication, why CloseReason) (goOn bool)
	// Kick asks the session to end the connection because it broke a limit; Kick calls Conn.Finish.
	Kick(reason CloseReason)
	// Ping asks for a ping, because no sign of life came for a third of Config.MaxAge. It is called only after Conn.WantPings.
	Ping()
}

// Peer is a socket together with its session: the server has one such object for each connection, and the Conn is a part of it.
// A layer between session and socket (such as TLS) belongs to the Socket of that object; the loop does not see the layer. If
// socket and session were separate objects, each Conn would need 16 bytes for a second interface, without any gain.
type Peer interface {
	Socket
	Session
}
