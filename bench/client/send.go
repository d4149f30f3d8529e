package client

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Errors of Send and SendRaw.
var (
	ErrNotOpen = errors.New("client: the connection is not open")
	ErrBacklog = errors.New("client: more than MaxBacklog bytes are unsent")
)

// Send sends a text message. It returns the stamp taken right before the write.
func (e *Engine) Send(id int32, text []byte) (int64, error) {
	e.scratch = AppendFrame(e.scratch[:0], OpText, text)
	return e.SendRaw(id, e.scratch)
}

// SendRaw writes the bytes of a frame made by AppendFrame, or of a part of one.
// Bytes that the kernel does not accept are kept and written later.
func (e *Engine) SendRaw(id int32, b []byte) (int64, error) {
	c := &e.conns[id]
	if c.state != open {
		return 0, ErrNotOpen
	}
	stamp := e.Now()
	if id == e.reading {
		return stamp, e.hold(id, b)
	}
	return stamp, e.write(c, id, b)
}

// hold keeps bytes for writeHeld. It checks the backlog itself, because the
// caller could not get an error of the later write.
func (e *Engine) hold(id int32, b []byte) error {
	if e.Unsent(id)+len(e.held)+len(b) > e.cfg.MaxBacklog {
		return ErrBacklog
	}
	e.held = append(e.held, b...)
	return nil
}

// writeHeld writes the bytes that hold has kept, unless the connection has
// ended. It ignores an error of the write, because the next read reports it.
func (e *Engine) writeHeld(id int32, gen uint32) {
	if len(e.held) == 0 {
		return
	}
	if c := &e.conns[id]; c.gen == gen && c.state == open {
		_ = e.write(c, id, e.held)
	}
	e.held = e.held[:0]
}

// Unsent returns how many bytes of a connection the kernel has not accepted
// yet.
func (e *Engine) Unsent(id int32) int {
	if x := e.conns[id].x; x != nil {
		return len(x.out)
	}
	return 0
}

func (e *Engine) write(c *conn, id int32, b []byte) error {
	n := 0
	if c.x == nil || len(c.x.out) == 0 {
		var err error
		if n, err = c.push(b); err != nil || n == len(b) {
			return err
		}
		if c.x == nil {
			c.x = e.pool.take()
		}
		c.watch(e.ep, id, unix.EPOLLIN|unix.EPOLLOUT)
	} else if len(c.x.out)+len(b) > e.cfg.MaxBacklog {
		return ErrBacklog
	}
	c.x.out = append(c.x.out, b[n:]...)
	return nil
}

// push writes once and returns how many bytes the kernel accepted. After an
// error it does not end the connection: the next read first returns the data
// that the server sent before the error, and then reports the error.
func (c *conn) push(b []byte) (int, error) {
	n, errno := send(c.fd, b)
	switch errno {
	case 0:
		return n, nil
	case unix.EAGAIN, unix.EINTR:
		return 0, nil
	case unix.ECONNRESET, unix.EPIPE:
		c.reset = errno == unix.ECONNRESET || c.reset
	}
	return 0, errno
}

// flush writes the unsent bytes of a connection when its socket accepts more.
func (e *Engine) flush(id int32) {
	c := &e.conns[id]
	if c.x == nil || len(c.x.out) == 0 {
		c.watch(e.ep, id, unix.EPOLLIN)
		return
	}
	n, err := c.push(c.x.out)
	if err != nil {
		n = len(c.x.out) // drop the unsent bytes, which can no longer be written
	}
	c.x.out = c.x.out[:copy(c.x.out, c.x.out[n:])]
	if len(c.x.out) == 0 {
		c.watch(e.ep, id, unix.EPOLLIN)
		e.pool.drop(c)
	}
}
