package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// The admin address has a fixed number of connections. A new connection never has to wait until another one ends by itself:
// when all places are taken, the listener closes the oldest connection that waits for bytes of its peer. The peer of such a
// connection is idle, has sent half a head, or has sent half a body that the server no longer needs.
//
// If a token is set, connections that have shown it have places of their own (maxKnown): connections without the token can only
// displace each other. The answer to a request without the token ends the connection, so every connection that stays open
// showed the token in its last request. If no token is set, every connection serves only one request.
//
// Two kinds of connections are never closed to make room: connections with unread bytes, and connections whose request is being
// answered. The server reads unread bytes within an instant. Some answers also take only an instant (health, readiness, a
// refusal). Other answers are limited to half the number of connections at a time; a further request gets a 503. So a place is
// always free soon, and a client gets an answer if its whole request has arrived when its connection is accepted.
// TCP_DEFER_ACCEPT makes sure that the request has arrived, and that a client that sends nothing costs no descriptor. A client
// that sends its head in pieces may have to try again while the address is under attack.
type adminListener struct {
	net.Listener
	maxKnown, maxOthers int
	cut                 *atomic.Uint64 // counts the connections that were closed to make room
	closed              context.Context
	close               context.CancelFunc
	news                chan struct{} // holds a value when a connection may have ended, or may now be closed

	mu   sync.Mutex
	open []*adminConn // ordered by the last request, the oldest first; guarded by mu
}

// adminConn is one connection.
type adminConn struct {
	net.Conn
	raw      syscall.RawConn
	listener *adminListener
	shut     func() error // closes Conn once; a second caller waits until Conn is closed

	// The listener's mu guards these fields.
	known     bool // a request on this connection has shown the token
	waiting   bool // all bytes that have arrived were read, and a read waits for more
	answering bool // the head of a request is complete, and the answer is not written yet
	ended     bool // only the rest of the body is missing, and it will be discarded
	lingers   bool // the last answer is written
	leaving   bool // the connection is being closed to make room; the goroutine that closes it removes it from open
}

// adminConnKey is the key under which the context of a request has its adminConn.
type adminConnKey struct{}

// newAdminListener accepts connections from a socket, at most n at a time (n is 2 or more).
func newAdminListener(inner net.Listener, n int, token bool, cut *atomic.Uint64) *adminListener {
	l := &adminListener{Listener: inner, maxOthers: n - 1, cut: cut, news: make(chan struct{}, 1)} // one place is for the next connection
	if token {
		l.maxKnown = n / 2
		l.maxOthers -= n / 2
	}
	l.closed, l.close = context.WithCancel(context.Background())
	return l
}

// Accept accepts a connection, and then closes another connection if there is no place for the new one.
func (l *adminListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c := &adminConn{Conn: conn, raw: raw, listener: l, shut: sync.OnceValue(conn.Close)}
	for !l.enter(c) {
		select {
		case <-l.news:
		case <-l.closed.Done():
			return nil, errors.Join(net.ErrClosed, conn.Close())
		}
	}
	return c, nil
}

func (l *adminListener) Close() error {
	l.close()
	return l.Listener.Close()
}

// enter adds c if there is a place for it, and reports whether there was one.
func (l *adminListener) enter(c *adminConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.makePlace(false, l.maxOthers) {
		return false
	}
	l.open = append(l.open, c)
	return true
}

// promote counts a connection as known if there is a place for it, and reports whether there was one.
func (l *adminListener) promote(c *adminConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.known = c.known || l.makePlace(true, l.maxKnown)
	return c.known
}

// makePlace makes sure that there is a place for one more known (or not known) connection. If necessary, it closes a connection
// of the same kind. It reports whether there is a place. The caller holds l.mu. makePlace releases it while it closes a
// connection, because that connection counts until its descriptor is free.
func (l *adminListener) makePlace(known bool, limit int) bool {
	n := 0
	for _, c := range l.open {
		if c.known == known {
			n++
		}
	}
	if n < limit {
		return true
	}
	oldest := l.oldest(known)
	if oldest == nil {
		return false
	}
	oldest.leaving = true
	l.cut.Add(1)
	l.mu.Unlock()
	_ = oldest.shut()
	l.mu.Lock()
	l.remove(oldest)
	return true
}

// oldest returns the known (or not known) connection that is to be closed first, or nil if none may be closed. The caller holds
// l.mu.
func (l *adminListener) oldest(known bool) (oldest *adminConn) {
	for _, c := range l.open {
		if c.known != known || !c.idle() {
			continue
		}
		if !c.unread() {
			return c
		}
		if oldest == nil {
			oldest = c
		}
	}
	return oldest
}

func (l *adminListener) remove(c *adminConn) {
	l.open = slices.DeleteFunc(l.open, func(other *adminConn) bool { return other == c })
}

// tell wakes Accept, so that it looks for a place again.
func (l *adminListener) tell() {
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// idle reports whether the server has handled everything that it has read from the peer. The caller holds l.mu.
func (c *adminConn) idle() bool {
	return !c.leaving && (c.lingers || c.waiting && (!c.answering || c.ended))
}

// unread reports whether bytes have arrived that the server has not read, for example the rest of a head.
func (c *adminConn) unread() bool {
	events := []unix.PollFd{{Events: unix.POLLIN}}
	_ = c.raw.Control(func(fd uintptr) { // an error means that the connection is closed
		events[0].Fd = int32(fd)
		_, _ = unix.Poll(events, 0)
	})
	return events[0].Revents != 0
}

// Read reads, and records in the same step whether the connection waits for more bytes. So if a connection is marked as
// waiting, all bytes that its peer has sent were read.
func (c *adminConn) Read(p []byte) (n int, err error) {
	l := c.listener
	rawErr := c.raw.Read(func(fd uintptr) (done bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for n, err = syscall.Read(int(fd), p); errors.Is(err, syscall.EINTR); {
			n, err = syscall.Read(int(fd), p)
		}
		if c.waiting = errors.Is(err, syscall.EAGAIN); c.waiting {
			l.tell()
		}
		return !c.waiting
	})
	l.mu.Lock()
	c.waiting = false // needed if the read ended at a deadline
	l.mu.Unlock()
	switch {
	case rawErr != nil:
		return 0, rawErr
	case err != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError("read", err)}
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// CloseWrite is called by http.Server, which then gives the peer half a second to read its answer. If another connection needs
// the place, this connection may be closed earlier.
func (c *adminConn) CloseWrite() error {
	c.listener.mu.Lock()
	c.lingers = true
	c.listener.mu.Unlock()
	c.listener.tell()
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

func (c *adminConn) Close() error {
	l := c.listener
	err := c.shut()
	l.mu.Lock()
	if !c.leaving {
		l.remove(c)
	}
	l.mu.Unlock()
	l.tell()
	return err
}

// changed is the hook of http.Server for state changes: a request begins when its head is complete, and ends when its answer is
// written.
func (l *adminListener) changed(conn net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := conn.(*adminConn)
	c.answering, c.ended = state == http.StateActive, false
	if i := slices.Index(l.open, c); i >= 0 && c.answering {
		l.open = append(slices.Delete(l.open, i, i+1), c)
	}
}

// adminBody is a request body that records whether it was read to its end.
type adminBody struct {
	io.ReadCloser
	whole bool
}

func (b *adminBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.whole = b.whole || errors.Is(err, io.EOF)
	return n, err
}

// finish records that the handler of a request has returned, so that nobody needs the rest of its body.
func (c *adminConn) finish(body *adminBody) {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.ended = !body.whole
	c.listener.tell()
}
