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

// The admin address has a fixed number of connections, and a new connection never has to wait until another one leaves by itself.
// When all places are taken, the oldest connection that waits for its peer is closed: one that is idle, has sent half a head, or
// half a body that nobody needs.
//
// If a token is set, a connection that has shown it counts among maxKnown, separately from all others: connections without the
// token can only displace each other. An answer to a request without the token ends its connection, so the connections that stay
// open showed the token in their last request. If no token is set, every connection serves one request.
//
// Two kinds of connections are never closed: one with unread bytes, and one whose request is being answered. The first state
// lasts an instant. The second either lasts an instant too (health, readiness, a refusal), or is one of half as many requests as
// there are connections; one more request gets a 503. So a place is always free soon, and a client whose whole request has
// arrived when its connection is accepted gets an answer. TCP_DEFER_ACCEPT makes sure that the request has arrived, and that a
// client that sends nothing costs no descriptor. A client that sends its head in pieces may have to try again while the address
// is under attack.
type adminListener struct {
	net.Listener
	maxKnown, maxOthers int
	cut                 *atomic.Uint64 // counts connections closed to make room for others
	closed              context.Context
	close               context.CancelFunc
	news                chan struct{} // holds a token when a connection may have left or may be closed

	mu   sync.Mutex
	open []*adminConn // guarded by mu; the connection that has had no request for longest is first
}

// adminConn is one connection.
type adminConn struct {
	net.Conn
	raw      syscall.RawConn
	listener *adminListener
	shut     func() error // closes Conn once; a second caller waits until it is closed

	// The listener's mu guards these fields.
	known     bool // a request has shown the token
	waiting   bool // everything that came was read, and a read waits for more
	answering bool // a head is complete, and its answer is not
	ended     bool // only the rest of the body is awaited, and will be discarded
	lingers   bool // the last answer is written
	leaving   bool // it is being closed to make room; the closer removes it from open
}

// adminConnKey is the key of the adminConn in the context of a request.
type adminConnKey struct{}

// newAdminListener accepts at most n connections (2 or more) from a socket.
func newAdminListener(inner net.Listener, n int, token bool, cut *atomic.Uint64) *adminListener {
	l := &adminListener{Listener: inner, maxOthers: n - 1, cut: cut, news: make(chan struct{}, 1)} // one place is for the connection being accepted
	if token {
		l.maxKnown = n / 2
		l.maxOthers -= n / 2
	}
	l.closed, l.close = context.WithCancel(context.Background())
	return l
}

// Accept takes a connection, and then closes another if there is no place for it.
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

// enter adds c. It reports whether there is a place.
func (l *adminListener) enter(c *adminConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.makePlace(false, l.maxOthers) {
		return false
	}
	l.open = append(l.open, c)
	return true
}

// promote counts a connection as known. It reports whether there is a place for it.
func (l *adminListener) promote(c *adminConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.known = c.known || l.makePlace(true, l.maxKnown)
	return c.known
}

// makePlace makes sure that there is a place for one more connection of a kind, by closing another one if necessary. It reports
// whether there is a place. The caller holds l.mu. makePlace releases it while it closes a connection: that connection counts
// until its descriptor is free.
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

// oldest returns the connection of a kind that is closed first, nil if none may be closed. The caller holds l.mu.
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

// idle reports that the server has finished all that the peer had sent at the last read. The caller holds l.mu.
func (c *adminConn) idle() bool {
	return !c.leaving && (c.lingers || c.waiting && (!c.answering || c.ended))
}

// unread reports that more bytes have arrived since, for example the rest of a head.
func (c *adminConn) unread() bool {
	events := []unix.PollFd{{Events: unix.POLLIN}}
	_ = c.raw.Control(func(fd uintptr) { // an error means that it is closed
		events[0].Fd = int32(fd)
		_, _ = unix.Poll(events, 0)
	})
	return events[0].Revents != 0
}

// Read records whether the connection waits for more, in one step with the read itself, so that a connection that counts as
// silent has really sent nothing.
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
	c.waiting = false // after a deadline too
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

// CloseWrite is called by http.Server, which then gives the peer half a second to read its answer. A place is worth more than
// that.
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

// changed is the hook of http.Server: a request begins when its head is complete, and ends when its answer is written.
func (l *adminListener) changed(conn net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := conn.(*adminConn)
	c.answering, c.ended = state == http.StateActive, false
	if i := slices.Index(l.open, c); i >= 0 && c.answering {
		l.open = append(slices.Delete(l.open, i, i+1), c)
	}
}

// adminBody is a request body that knows whether it was read to its end.
type adminBody struct {
	io.ReadCloser
	whole bool
}

func (b *adminBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.whole = b.whole || errors.Is(err, io.EOF)
	return n, err
}

// finish records that the handler is done with a request; nobody needs the rest of its body.
func (c *adminConn) finish(body *adminBody) {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.ended = !body.whole
	c.listener.tell()
}
