package loop

import "errors"

// ErrAgain is what Socket.Read returns when there is nothing to read now.
var ErrAgain = errors.New("nothing to read now")

// Socket is what a connection needs of its transport. All calls come from the loop's goroutine.
type Socket interface {
	// Open registers the socket with the poller; from then on Readable may be called.
	Open() error
	// Read reads what is there: n > 0, or ErrAgain, or io.EOF, or another error (the connection is gone).
	Read(p []byte) (n int, err error)
	// Send writes what the kernel takes at once and queues nothing: n < len(p) means that the kernel has no more room. An error
	// means that the connection is gone; the transport reports that by Closed later.
	Send(p []byte) (n int, err error)
	// AwaitRoom asks for a call of Loop.Writable as soon as the kernel has room again.
	AwaitRoom()
	// Finished reports that the peer has closed its side or is gone. The transport may then close the socket as soon as the loop
	// returns to it, and unread bytes are lost.
	Finished() bool
	// CloseWrite sends FIN.
	CloseWrite()
	// Shutdown ends both directions. The transport frees the socket later and calls Closed.
	Shutdown()
}

// Session is the protocol side of a connection. All calls come from the loop's goroutine.
type Session interface {
	// Input parses p and returns the number of bytes it consumed. Before each frame it asks MayParse and after each message it
	// calls Took. The rest is kept and offered again: if MayParse still holds, only together with more bytes.
	Input(p []byte) (n int)
	// Joined says that Join is done: from here on the member gets every publication.
	Joined()
	// Kick asks the session to end the connection because it broke a limit; it calls Conn.Finish.
	Kick(reason CloseReason)
	// Ping asks for a ping: nothing was heard for a third of Config.MaxAge (only after Conn.WantPings).
	Ping()
}

// Peer is a socket with its session: the one object that the server has per connection, with the Conn inside. A layer between
// session and socket (such as TLS) belongs to that object's Socket; the loop does not see it. Two separate objects would cost
// each Conn 16 bytes for a second interface, without any gain.
type Peer interface {
	Socket
	Session
}
