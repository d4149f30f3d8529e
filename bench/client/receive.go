package client

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// readable reads once from a connection. It does not read again, so that a
// connection whose data never ends does not hold up the others. epoll is
// level-triggered, so data that remains causes another event.
func (e *Engine) readable(id int32, stamp int64) {
	c := &e.conns[id]
	have := 0
	if c.x != nil {
		have = copy(e.buf, c.x.in)
	}
	n, errno := read(c.fd, e.buf[have:])
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return
	case errno != 0:
		e.end(id, failedClose(errno, stamp))
		return
	case n == 0:
		how := ByEOF
		if c.reset {
			how = ByReset
		}
		e.end(id, Close{How: how, Stamp: stamp})
		return
	}
	e.reads++
	gen := c.gen
	if e.cfg.Gather {
		e.reading = id
	}
	rest, err := e.consume(id, e.buf[:have+n], stamp)
	e.reading = -1
	e.writeHeld(id, gen)
	if c.gen != gen {
		return // a handler ended the connection
	}
	if err != nil {
		e.end(id, brokenClose(err, stamp))
		return
	}
	if len(rest) > 0 && c.x == nil {
		c.x = e.pool.take()
	}
	if c.x != nil {
		c.x.in = append(c.x.in[:0], rest...)
		e.pool.drop(c)
	}
}

// consume handles all complete frames in b and returns the rest.
func (e *Engine) consume(id int32, b []byte, stamp int64) ([]byte, error) {
	c := &e.conns[id]
	gen := c.gen
	for len(b) > 0 && c.gen == gen {
		switch c.state {
		case requesting:
			n, err := parseResponse(b, e.key.accept)
			if n == 0 {
				return b, err
			}
			b = b[n:]
			e.becomeOpen(id, stamp)
		case open:
			f, n, err := parseFrame(b, e.cfg.MaxMessage)
			if n == 0 {
				return b, err
			}
			b = b[n:]
			if err := e.dispatch(id, f, stamp); err != nil {
				return nil, err
			}
		default:
			return nil, nil // ignore bytes after a close frame, and an answer to an incomplete request
		}
	}
	return b, nil
}

// Pause stops reading an open connection: data from the server fills the
// kernel's receive buffer and stays there. Pause cannot be undone. After Pause,
// OnClose is called only if the connection ends with an RST.
func (e *Engine) Pause(id int32) {
	if c := &e.conns[id]; c.state == open {
		c.paused = true
		c.watch(e.ep, id, 0)
	}
}

func (e *Engine) becomeOpen(id int32, stamp int64) {
	c := &e.conns[id]
	o := Open{Dialed: c.x.dialed, Requested: c.x.requested, Stamp: stamp}
	c.state = open
	// Empty the extra. It has no bytes after the response head, because these
	// are in the shared read buffer.
	c.x.in, c.x.path, c.x.target = c.x.in[:0], "", Target{}
	e.pool.drop(c)
	e.opening--
	e.opened++
	if e.h.OnOpen != nil {
		e.h.OnOpen(id, o)
	}
}

func (e *Engine) dispatch(id int32, f frame, stamp int64) error {
	c := &e.conns[id]
	switch f.op {
	case opPing:
		return e.pong(c, id, f.payload)
	case opPong:
		return nil
	case opClose:
		return e.closeFrame(id, f.payload, stamp)
	case opContinuation:
		if c.x == nil || !c.x.inFrag {
			return errors.New("a continuation frame without a message")
		}
	default:
		if c.x != nil && c.x.inFrag {
			return errors.New("a new message inside a fragmented message")
		}
		if f.fin {
			e.h.message(id, f.op, f.payload, stamp)
			return nil
		}
		if c.x == nil {
			c.x = e.pool.take()
		}
		c.x.inFrag, c.x.fragOp = true, f.op
	}
	if len(c.x.frag)+len(f.payload) > e.cfg.MaxMessage {
		return errors.New("a fragmented message above the limit")
	}
	c.x.frag = append(c.x.frag, f.payload...)
	if f.fin {
		// Clear the fields first, because the handler may end the connection
		// and free its extra.
		message, op := c.x.frag, c.x.fragOp
		c.x.frag, c.x.inFrag = nil, false
		e.h.message(id, op, message, stamp)
	}
	return nil
}

func (e *Engine) pong(c *conn, id int32, payload []byte) error {
	e.scratch = AppendFrame(e.scratch[:0], opPong, payload)
	if err := e.write(c, id, e.scratch); errors.Is(err, ErrBacklog) {
		return nil // the server sends pings but does not read our pongs: send no further pong
	}
	return nil
}

// closeFrame handles a close frame. It answers with the same code (RFC 6455
// section 5.5.1), calls OnClose, and then waits for the server to close TCP
// first (section 7.1.1).
func (e *Engine) closeFrame(id int32, body []byte, stamp int64) error {
	if err := checkClose(body); err != nil {
		return err
	}
	c := &e.conns[id]
	end := Close{How: ByFrame, Code: CodeNone, Opened: true, Stamp: stamp}
	if len(body) >= 2 {
		end.Code, end.Reason = binary.BigEndian.Uint16(body), string(body[2:])
		body = body[:2]
	}
	e.scratch = AppendFrame(e.scratch[:0], opClose, body)
	_ = e.write(c, id, e.scratch) // the connection is ending, so an error does not matter
	c.state = closing
	e.opened--
	e.closes.push(ref{id, c.gen}, e.Now()+int64(e.cfg.CloseTimeout))
	if e.h.OnClose != nil {
		e.h.OnClose(id, end)
	}
	return nil
}

// checkClose returns an error if the body of a close frame breaks RFC 6455,
// sections 5.5.1 and 7.4.
func checkClose(body []byte) error {
	switch {
	case len(body) == 0:
		return nil
	case len(body) == 1:
		return errors.New("a close frame with an incomplete code")
	case !utf8.Valid(body[2:]):
		return errors.New("a close frame whose reason is not UTF-8")
	}
	switch code := binary.BigEndian.Uint16(body); {
	case code < 1000, code == 1004, code == CodeNone, code == 1006, code >= 1015 && code < 3000, code >= 5000:
		return fmt.Errorf("a close frame with the reserved code %d", code)
	}
	return nil
}
