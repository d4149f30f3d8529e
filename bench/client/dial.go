package client

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoSlot is returned by Dial when MaxConns connections exist.
var ErrNoSlot = errors.New("client: all slots are in use")

// Dial begins to open a WebSocket with the URL path. OnOpen or OnClose reports
// the outcome. Dial itself fails only if no slot or no local resource, such as
// a port, is left.
func (e *Engine) Dial(path string) (int32, error) { return e.dial(0, path, -1) }

// DialTo is like Dial, but to any server of the Config: 0 is Target, 1 is
// Others[0], and so on.
func (e *Engine) DialTo(server int, path string) (int32, error) { return e.dial(server, path, -1) }

// DialCut is like Dial, but the engine writes only the first n bytes of the
// request and then calls OnCut. After that nothing happens until the server or
// Reset ends the connection.
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
	c.x = e.pool.take()
	c.x.target, c.x.path, c.x.cutAt, c.x.dialed, c.x.failed = target, path, cutAt, dialed, failed
	e.opening++
	if failed != 0 {
		e.failed = append(e.failed, ref{id, c.gen})
	}
	e.dials.push(ref{id, c.gen}, dialed+int64(e.cfg.DialTimeout))
	return id, nil
}

// connect makes the socket and begins to connect it. The Errno reports an
// answer of the network, such as ECONNREFUSED. The error reports a local
// problem.
func (e *Engine) connect(c *conn, id int32, to unix.Sockaddr) (unix.Errno, error) {
	family := unix.AF_INET
	if _, ok := to.(*unix.SockaddrInet6); ok {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return 0, fmt.Errorf("client: socket: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		_ = unix.Close(fd)
		return 0, fmt.Errorf("client: TCP_NODELAY: %w", err)
	}
	if c.source, err = e.sources.bind(fd); err != nil {
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
	e.sources.count(c.source, 1)
	return failed, nil
}

// reportFailed reports the connects that failed at once. Dial cannot report
// them, because handlers run only inside Poll.
func (e *Engine) reportFailed(stamp int64) {
	for i := 0; i < len(e.failed); i++ {
		if r := e.failed[i]; r.live(e.conns) {
			e.end(r.id, failedClose(e.conns[r.id].x.failed, stamp))
		}
	}
	e.failed = e.failed[:0]
}

// connected runs when a connect has succeeded or failed. After a success it
// writes the request.
func (e *Engine) connected(id int32, stamp int64) {
	c := &e.conns[id]
	errno, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		errno = int(unix.EBADF)
	}
	if errno != 0 {
		e.end(id, failedClose(unix.Errno(errno), stamp))
		return
	}
	c.watch(e.ep, id, unix.EPOLLIN)
	e.scratch = e.key.appendRequest(e.scratch[:0], c.x.target, c.x.path)
	request := e.scratch
	c.state = requesting
	if c.x.cutAt >= 0 {
		request = request[:min(c.x.cutAt, len(request))]
		c.state = cut
		e.opening--
	}
	c.x.requested = e.Now()
	if len(request) > 0 {
		// Ignore the error: the next read fails too, and reports the cause.
		_ = e.write(c, id, request)
	}
	if c.state == cut && e.h.OnCut != nil {
		e.h.OnCut(id)
	}
}

// OpenAll dials n connections and waits until each has opened or failed. At
// most window handshakes are in progress at a time: a server's accept queue
// holds 4,096 connections or fewer, and a connection that finds the queue full
// takes a second longer. In a new engine the id of the connection with path(i)
// is i. OnClose reports the connections that failed.
func (e *Engine) OpenAll(n, window int, path func(i int) string, limit time.Duration) error {
	end := e.Now() + int64(limit)
	for i := 0; i < n || e.opening > 0; {
		for ; i < n && e.opening < window; i++ {
			if _, err := e.Dial(path(i)); err != nil {
				return fmt.Errorf("connection %d of %d: %w", i+1, n, err)
			}
		}
		if e.Now() >= end {
			return fmt.Errorf("only %d of %d connections were open after %v", e.opened, n, limit)
		}
		if err := e.Poll(end); err != nil {
			return err
		}
	}
	return nil
}
