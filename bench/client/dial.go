package client

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// connsPerSource keeps a source address far from the end of its ports
// (28,232 by default), where the kernel's search for a free one gets slow.
const connsPerSource = 6000

// ErrNoSlot is returned by Dial when MaxConns connections exist.
var ErrNoSlot = errors.New("client: all slots are in use")

type source struct {
	addr  unix.SockaddrInet4
	conns int
}

// newSources gives the addresses of SourceNet, or 127.0.0.1, 127.0.0.2 …
// 127.0.1.1 …, or nothing when the server is not on the IPv4 loopback: there the
// kernel chooses.
func newSources(cfg Config) ([]source, error) {
	if cfg.SourceNet.IsValid() {
		return sourcesOf(cfg.SourceNet, cfg.MaxConns)
	}
	if !cfg.Target.loopback {
		return nil, nil
	}
	n := max(cfg.Sources, (cfg.MaxConns+connsPerSource-1)/connsPerSource)
	s := make([]source, min(n, 60000))
	for i := range s {
		s[i].addr.Addr = [4]byte{127, 0, byte(i / 250), byte(1 + i%250)}
	}
	return s, nil
}

// sourcesOf gives the host addresses of a network: all but the first, which
// names the network, and the last, which is its broadcast address.
func sourcesOf(network netip.Prefix, conns int) ([]source, error) {
	if !network.Addr().Is4() {
		return nil, fmt.Errorf("client: source %s: must be an IPv4 network", network)
	}
	size := 1 << min(32-network.Bits(), 16)
	addr, hosts := network.Masked().Addr(), size
	if size > 2 {
		addr, hosts = addr.Next(), size-2
	}
	if conns > hosts*connsPerSource {
		return nil, fmt.Errorf("client: source %s: %d addresses carry %d connections, and %d are asked for",
			network, hosts, hosts*connsPerSource, conns)
	}
	s := make([]source, min(hosts, 60000))
	for i := range s {
		s[i].addr.Addr = addr.As4()
		addr = addr.Next()
	}
	return s, nil
}

// Dial begins to connect to the path and to ask for a WebSocket. How it went
// is told to OnOpen or OnClose; only lack of a slot or of a local resource is
// an error here.
func (e *Engine) Dial(path string) (int32, error) { return e.dial(0, path, -1) }

// DialTo is Dial to a server by its number: 0 is Target, 1 the first of Others.
func (e *Engine) DialTo(server int, path string) (int32, error) { return e.dial(server, path, -1) }

// DialCut is Dial, but only the first n bytes of the request are written
// (0: none). Then OnCut is called, and nothing more happens by itself until
// the server or Reset ends the connection.
func (e *Engine) DialCut(path string, n int) (int32, error) { return e.dial(0, path, max(n, 0)) }

func (e *Engine) dial(server int, path string, cutAt int) (int32, error) {
	target := e.cfg.Target
	if server > 0 {
		target = e.cfg.Others[server-1]
	}
	if len(e.free) == 0 {
		return 0, ErrNoSlot
	}
	id := e.free[len(e.free)-1]
	c := &e.conns[id]
	dialed := e.Now()
	failed, err := e.connect(c, id, target.addr)
	if err != nil {
		return 0, err
	}
	e.free = e.free[:len(e.free)-1]
	c.state, c.beats, c.reset, c.paused = connecting, false, false, false
	c.x = e.newExtra()
	c.x.target, c.x.path, c.x.cutAt, c.x.dialed, c.x.failed = target, path, cutAt, dialed, failed
	e.opening++
	if failed != 0 {
		e.failed = append(e.failed, ref{id, c.gen})
	}
	e.dials.push(ref{id, c.gen}, dialed+int64(e.cfg.DialTimeout))
	return id, nil
}

// connect makes the socket. An errno is the network's answer, an error ours.
func (e *Engine) connect(c *conn, id int32, to unix.Sockaddr) (unix.Errno, error) {
	family := unix.AF_INET
	if _, ok := to.(*unix.SockaddrInet6); ok {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return 0, fmt.Errorf("client: socket: %w", err)
	}
	if err := e.prepare(fd, c); err != nil {
		_ = unix.Close(fd)
		return 0, err
	}
	var failed unix.Errno
	switch err = unix.Connect(fd, to); {
	case errors.Is(err, unix.EINPROGRESS):
		err = nil
	case errors.Is(err, unix.EADDRNOTAVAIL):
		err = fmt.Errorf("client: no local port is left: %w", err)
	case errors.As(err, &failed):
		err = nil
	}
	if err == nil && failed == 0 {
		err = unix.EpollCtl(e.ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{
			Events: unix.EPOLLIN | unix.EPOLLOUT, Fd: id, Pad: int32(c.gen)})
	}
	if err != nil {
		_ = unix.Close(fd)
		return 0, err
	}
	c.fd = int32(fd)
	if len(e.sources) > 0 {
		e.sources[c.source].conns++
	}
	return failed, nil
}

func (e *Engine) prepare(fd int, c *conn) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("client: TCP_NODELAY: %w", err)
	}
	if len(e.sources) == 0 {
		return nil
	}
	// Without this option bind picks a port that is free towards everybody,
	// so that all sources together have the ports of one.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return fmt.Errorf("client: IP_BIND_ADDRESS_NO_PORT: %w", err)
	}
	c.source = e.pickSource()
	if err := unix.Bind(fd, &e.sources[c.source].addr); err != nil {
		return fmt.Errorf("client: bind: %w", err)
	}
	return nil
}

func (e *Engine) pickSource() uint16 {
	for range e.sources {
		i := e.nextSrc
		e.nextSrc = (e.nextSrc + 1) % len(e.sources)
		if e.sources[i].conns < connsPerSource {
			return uint16(i)
		}
	}
	panic("client: more connections than sources carry") // newSources made enough
}

// reportFailed tells of the connects that failed within Dial: not there,
// because a handler is not called from a call into the engine.
func (e *Engine) reportFailed(stamp int64) {
	for i := 0; i < len(e.failed); i++ {
		if r := e.failed[i]; e.live(r) {
			e.endFailed(r.id, e.conns[r.id].x.failed, stamp)
		}
	}
	e.failed = e.failed[:0]
}

// connected: the connect came to its end, well or not.
func (e *Engine) connected(id int32, stamp int64) {
	c := &e.conns[id]
	errno, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		errno = int(unix.EBADF)
	}
	if errno != 0 {
		e.endFailed(id, unix.Errno(errno), stamp)
		return
	}
	e.watch(c, id, unix.EPOLLIN)
	request := e.request(c.x.target, c.x.path)
	c.state = requesting
	if c.x.cutAt >= 0 {
		request = request[:min(c.x.cutAt, len(request))]
		c.state = cut
		e.opening--
	}
	c.x.requested = e.Now()
	if len(request) > 0 {
		// An error here shows again, with its cause, at the next read.
		_ = e.write(c, id, request)
	}
	if c.state == cut && e.h.OnCut != nil {
		e.h.OnCut(id)
	}
}

// watch changes what a socket is polled for. It can only fail for a
// descriptor that is not ours, which is a bug.
func (e *Engine) watch(c *conn, id int32, events uint32) {
	if c.paused {
		events &^= unix.EPOLLIN
	}
	ev := unix.EpollEvent{Events: events, Fd: id, Pad: int32(c.gen)}
	if err := unix.EpollCtl(e.ep, unix.EPOLL_CTL_MOD, int(c.fd), &ev); err != nil {
		panic(fmt.Sprintf("client: epoll_ctl: %v", err))
	}
}

// OpenAll dials n connections, at most window of them under way at a time (a
// server's backlog holds 4,096 or less, and one more costs a second), until
// all were answered. A fresh engine numbers them as path is asked: 0 to n-1.
// Those that failed were told to OnClose.
func (e *Engine) OpenAll(n, window int, path func(i int) string, limit time.Duration) error {
	until := e.Now() + int64(limit)
	for i := 0; i < n || e.opening > 0; {
		for ; i < n && e.opening < window; i++ {
			if _, err := e.Dial(path(i)); err != nil {
				return fmt.Errorf("connection %d of %d: %w", i+1, n, err)
			}
		}
		if e.Now() >= until {
			return fmt.Errorf("only %d of %d connections were open after %v", e.opened, n, limit)
		}
		if err := e.Poll(until); err != nil {
			return err
		}
	}
	return nil
}
