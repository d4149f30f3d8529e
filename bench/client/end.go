package client

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// How says in which way a connection ended.
type How uint8

// The ways in which a connection can end.
const (
	ByFrame  How = iota + 1 // a close frame of the server: Close has its Code and Reason
	ByEOF                   // FIN without a close frame
	ByReset                 // RST
	Refused                 // no server listens on the port
	Rejected                // an HTTP answer other than 101: Close has its Status, and its text as Reason
	TimedOut                // no 101 came within DialTimeout
	Broken                  // the server broke RFC 6455: Close has the explanation as Reason
	Failed                  // another error of the socket: Close has its text as Reason
)

// CodeNone is the Code of a close frame that has none (RFC 6455 section 7.4.1).
const CodeNone = 1005

// Close says how and when a connection ended.
type Close struct {
	How    How
	Opened bool   // the 101 arrived before the end
	Code   uint16 // set if How is ByFrame
	Status int    // set if How is Rejected
	Reason string
	Stamp  int64
}

func (h How) String() string {
	names := [...]string{"?", "close frame", "EOF", "RST", "refused", "rejected", "timed out", "broken", "failed"}
	if int(h) < len(names) {
		return names[h]
	}
	return names[0]
}

func (c Close) String() string {
	switch c.How {
	case ByFrame:
		return fmt.Sprintf("closed with %d %s", c.Code, c.Reason)
	case Rejected:
		return fmt.Sprintf("rejected with HTTP %d %s", c.Status, c.Reason)
	case Broken, Failed:
		return fmt.Sprintf("%s: %s", c.How, c.Reason)
	}
	return c.How.String()
}

// Reset ends a connection at once with an RST (SO_LINGER 0), so that no port
// stays in TIME_WAIT. It does not call OnClose. If the id is free, it does
// nothing.
func (e *Engine) Reset(id int32) {
	c := &e.conns[id]
	if c.state == free {
		return
	}
	_ = unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	e.release(id)
}

// ResetAll resets every connection.
func (e *Engine) ResetAll() {
	for id := range e.conns {
		e.Reset(int32(id))
	}
}

// release closes the descriptor of a connection and frees its slot.
func (e *Engine) release(id int32) {
	c := &e.conns[id]
	_ = unix.Close(int(c.fd))
	switch c.state {
	case connecting, requesting:
		e.opening--
	case open:
		e.opened--
	}
	e.sources.count(c.source, -1)
	e.Beat(id, false)
	c.state = free
	c.gen++
	if c.x != nil {
		e.pool.give(c)
	}
	e.free = append(e.free, id)
}

// end frees the slot of a connection that we did not end. It calls OnClose,
// unless closeFrame has done so.
func (e *Engine) end(id int32, end Close) {
	told := e.conns[id].state == closing
	end.Opened = e.conns[id].state == open
	e.release(id)
	if !told && e.h.OnClose != nil {
		e.h.OnClose(id, end)
	}
}

// failedClose returns the Close for an error of the socket.
func failedClose(errno unix.Errno, stamp int64) Close {
	switch errno {
	case unix.ECONNREFUSED:
		return Close{How: Refused, Stamp: stamp}
	case unix.ECONNRESET, unix.EPIPE:
		return Close{How: ByReset, Stamp: stamp}
	}
	return Close{How: Failed, Reason: errno.Error(), Stamp: stamp}
}

// brokenClose returns the Close for an answer other than 101 or for invalid
// bytes.
func brokenClose(err error, stamp int64) Close {
	if r := (rejected{}); errors.As(err, &r) {
		return Close{How: Rejected, Status: r.status, Reason: r.text, Stamp: stamp}
	}
	return Close{How: Broken, Reason: err.Error(), Stamp: stamp}
}

// ref names a connection: gen distinguishes the connection from earlier and
// later connections in the same slot.
type ref struct {
	id  int32
	gen uint32
}

func (r ref) live(conns []conn) bool {
	c := &conns[r.id]
	return c.gen == r.gen && c.state != free
}

// deadlines is a queue for timeouts of one length. They are due in the order in
// which they are pushed, so neither a heap nor a timer per connection is
// needed.
type deadlines struct {
	queue []deadline
	head  int
}

type deadline struct {
	ref
	at int64
}

func (d *deadlines) push(r ref, at int64) {
	if d.head > len(d.queue)/2 {
		d.queue = d.queue[:copy(d.queue, d.queue[d.head:])]
		d.head = 0
	}
	d.queue = append(d.queue, deadline{r, at})
}

// next returns the time of the first deadline.
func (d *deadlines) next() int64 {
	if d.head == len(d.queue) {
		return math.MaxInt64
	}
	return d.queue[d.head].at
}

// pop removes the first deadline and returns its connection, if the deadline
// has passed. Connections that have ended, or whose state is no longer between
// first and last, are removed without being returned.
func (d *deadlines) pop(conns []conn, now int64, first, last state) (int32, bool) {
	for ; d.head < len(d.queue); d.head++ {
		next := d.queue[d.head]
		if s := conns[next.id].state; !next.live(conns) || s < first || s > last {
			continue
		}
		if next.at > now {
			return 0, false
		}
		d.head++
		return next.id, true
	}
	return 0, false
}

// expire ends the connections whose handshake, or whose FIN after the close
// frame, is overdue.
func (e *Engine) expire(now int64) {
	for {
		id, ok := e.dials.pop(e.conns, now, connecting, requesting)
		if !ok {
			break
		}
		e.end(id, Close{How: TimedOut, Stamp: now})
	}
	for {
		id, ok := e.closes.pop(e.conns, now, closing, closing)
		if !ok {
			break
		}
		e.Reset(id)
	}
}
