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

// The connections of the admin address: as many as it has descriptors for, and yet nobody who comes waits until somebody else
// likes to go. When there is no place for one more, the oldest of those that wait for their peer is
// closed: idle, or with half a head, or with half a body that nobody wants.
//
// Where a token is set, a connection on which a request has shown it counts among maxKnown, apart from all others: however
// many come without it, they close each other and none of those. An answer to a request without the token ends its
// connection, so what stays open are connections whose last request had it. Where no token is set, every connection is good
// for one request.
//
// Never closed is a connection that was not read until nothing was left, and one whose request is being answered. The first
// lasts for an instant, and the second is either an instant too (health, readiness, a refusal) or one of half as many requests
// as there are connections; one more of those is told 503. So there is always a place soon, and whose whole request is there when its
// connection is accepted gets an answer. That it is there, and that who sends nothing costs no descriptor, is the work of
// TCP_DEFER_ACCEPT. Who sends a head in pieces may have to try again while the address is attacked.
type adminListener struct {
	net.Listener
	maxKnown, maxOthers int
	cut                 *atomic.Uint64 // connections closed to make place for others
	closed              context.Context
	close               context.CancelFunc
	news                chan struct{} // holds a token when one may have left, or may be closed since

	mu   sync.Mutex
	open []*adminConn // guarded by mu; the longest without a request comes first
}

// adminConn is one connection.
type adminConn struct {
	net.Conn
	raw      syscall.RawConn
	listener *adminListener
	shut     func() error // closes Conn once; who comes second waits until it is

	// Guarded by listener.mu.
	known     bool // a request has shown the token
	waiting   bool // everything that came was read, and more is asked for
	answering bool // a head is whole, and its answer is not
	ended     bool // of the request that is being answered only the body is awaited, to be thrown away
	lingers   bool // the last answer is written
	leaving   bool // it is being closed for the sake of another, who takes it out of open
}

// adminConnKey is where the context of a request has its adminConn.
type adminConnKey struct{}

// newAdminListener takes at most n connections (2 or more) of a socket.
func newAdminListener(inner net.Listener, n int, token bool, cut *atomic.Uint64) *adminListener {
	l := &adminListener{Listener: inner, maxOthers: n - 1, cut: cut, news: make(chan struct{}, 1)} // one is being accepted
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

// enter takes c in. It reports whether there is a place.
func (l *adminListener) enter(c *adminConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.makePlace(false, l.maxOthers) {
		return false
	}
	l.open = append(l.open, c)
	return true
}

// promote counts a connection among the known ones. It reports whether there is a place for it there.
func (l *adminListener) promote(c *adminConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.known = c.known || l.makePlace(true, l.maxKnown)
	return c.known
}

// makePlace sees to it that there is a place for one more of a kind, and closes another if it must. It reports whether there
// is one. l.mu is held, but not while it closes: until the descriptor is free, the other one still counts.
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

// oldest is the connection of a kind that is the first to give way, nil if none may. l.mu is held.
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

// tell has Accept look again for a place.
func (l *adminListener) tell() {
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// idle reports that everything was done that could be done with what the peer had sent when it was last read. l.mu is held.
func (c *adminConn) idle() bool {
	return !c.leaving && (c.lingers || c.waiting && (!c.answering || c.ended))
}

// unread reports that something has come since, the rest of a head for example.
func (c *adminConn) unread() bool {
	events := []unix.PollFd{{Events: unix.POLLIN}}
	_ = c.raw.Control(func(fd uintptr) { // an error says that it is closed
		events[0].Fd = int32(fd)
		_, _ = unix.Poll(events, 0)
	})
	return events[0].Revents != 0
}

// Read notes whether the connection waits for more: in one step with the read itself, so that what is taken for silent has
// said nothing.
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
	c.waiting = false // also after a deadline
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

// CloseWrite is for http.Server, which then gives the peer half a second to read its answer. That is not worth a place.
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

// changed is the hook of http.Server: a request begins when its head is whole, and ends when its answer is written.
func (l *adminListener) changed(conn net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := conn.(*adminConn)
	c.answering, c.ended = state == http.StateActive, false
	if i := slices.Index(l.open, c); i >= 0 && c.answering {
		l.open = append(slices.Delete(l.open, i, i+1), c)
	}
}

// adminBody is a request's body that knows whether it was read to its end.
type adminBody struct {
	io.ReadCloser
	whole bool
}

func (b *adminBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.whole = b.whole || errors.Is(err, io.EOF)
	return n, err
}

// finish says that the handler is done with a request. What its body still lacks is of no use to anybody.
func (c *adminConn) finish(body *adminBody) {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.ended = !body.whole
	c.listener.tell()
}
