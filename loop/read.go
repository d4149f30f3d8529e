package loop

import (
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// Reading. The poller calls Readable; the session parses the bytes in place, in the loop's one read buffer. Three things may stop
// a connection before everything is read:
//
//   - its budget for this turn is used up (64 messages, 256 KiB): it goes on the ready list, which step 4 of the next turn
//     serves. Without a budget, one socket with a flood kept a loop busy for 461 ms;
//   - its room or a loop has no credit, or publishers of the room are stalled: it goes on the paused list, until the node
//     resumes;
//   - the session waits for something (Hold): it is on no list, until Release.
//
// Bytes that were read and not parsed are copied into an input of the connection: at most one read buffer. The poller is
// edge-triggered, so it will not report these bytes again.
//
// A peer may send and then close. The transport closes the socket as soon as the loop returns to the transport, and unread bytes
// are lost. So code that stops early calls Finished first. If Finished is true, the code reads on to EOF, whatever the budget
// says; only parsing waits. The size of the kernel's receive buffer limits the cost. Such a peer may still read (for example
// after a request and FIN in one segment), so all bytes for this peer must be sent before the loop returns. Therefore the loop
// takes the peer's join and the peer's own messages from the inbox at once, if they are there already.

// input holds bytes that were read and not parsed.
type input struct {
	buf     []byte
	pos     int
	starved bool // the session needs more bytes before it can go on
}

func (in *input) rest() []byte { return in.buf[in.pos:] }

// parseable reports whether the session could go on with the bytes in the input.
func (in *input) parseable() bool { return in != nil && !in.starved && in.pos < len(in.buf) }

// reader holds the connections that have something to read or to parse. Only the loop's goroutine uses it, except for resumed.
type reader struct {
	loop           *Loop
	resumed        atomic.Bool // the paused connections may go on and should be looked at. Any goroutine.
	ready          []*Conn
	serving        worklist[*Conn]
	hungry, paused []paused // hungry: connections that parsed nothing before they were paused; paused: the others
	current        *Conn    // the connection that is being served
	budget         int      // messages that current may still parse
	buf            []byte   // buffer for the bytes of one read
}

// maxDiscard is the number of bytes that the loop reads from a closing connection and discards; after that it reads no more.
const maxDiscard = 64 << 10

// serve parses and reads within the budget of one turn.
func (r *reader) serve(c *Conn) {
	r.current = c
	r.serveWithin(c)
	r.current = nil
}

func (r *reader) serveWithin(c *Conn) {
	r.budget = r.loop.cfg.ReadMessages
	was := c.flags
	for bytes := r.loop.cfg.ReadBytes; c.state == stateOpen; {
		switch {
		case c.in.parseable() && c.MayParse():
			r.parseInput(c)
		case c.in.parseable():
			if !r.stopped(c) {
				return
			}
		case c.has(flagEOF):
			c.gone(ReasonLeft)
		case bytes <= 0 || !c.MayParse():
			if !r.stopped(c) {
				return
			}
		default:
			n := r.read(c)
			bytes -= n
			if n < len(r.buf) && !c.in.parseable() && !r.mayHaveFinished(c, was, n) {
				return // nothing left to read
			}
		}
	}
	if c.state == stateClosing {
		r.discard(c)
	}
}

// mayHaveFinished reports whether the loop must ask for the peer's FIN before it returns to the transport. n is the number of
// bytes that it has read, and was is an earlier value of the flags of c. It must ask if c waits to join, or has joined since it
// had the flags was. For other connections it does not ask, because asking costs a system call.
func (r *reader) mayHaveFinished(c *Conn, was flags, n int) bool {
	joined := (was^c.flags)&flagUpgraded != 0
	return c.state != stateOpen || c.has(flagHeld) || joined && n > 0
}

// parseInput offers the kept bytes to the session.
func (r *reader) parseInput(c *Conn) {
	in := c.in
	used := c.peer.Input(in.rest())
	if c.in == nil { // the connection ended
		return
	}
	in.pos += used
	r.loop.stats.UnparsedBytes -= int64(used)
	switch {
	case in.pos >= len(in.buf):
		r.freeInput(c)
	case c.MayParse():
		in.starved = true
	}
}

// read reads once and lets the session parse.
func (r *reader) read(c *Conn) (n int) {
	n, err := c.peer.Read(r.buf)
	if err != nil {
		if errors.Is(err, ErrAgain) {
			return 0
		}
		if errors.Is(err, io.EOF) {
			r.hearOut(c)
		}
		c.eof()
		return 0
	}
	r.loop.stats.ReadBytes += uint64(n)
	progress(c, r.loop.now)
	p := r.buf[:n]
	if c.in != nil { // starved: the session needs the kept bytes and these together
		r.keep(c, p)
		return n
	}
	used := c.peer.Input(p)
	if used < n && c.state == stateOpen {
		r.keep(c, p[used:])
		c.in.starved = c.MayParse()
	}
	return n
}

// progress notes that bytes came. Until the handshake is done, its timeout counts from the start of the handshake, so that a
// peer that sends its request very slowly is closed.
func progress(c *Conn, now time.Duration) {
	if c.has(flagUpgraded) {
		c.moved = tickUp(now)
	}
}

// keep copies bytes that were read and not parsed into the input.
func (r *reader) keep(c *Conn, p []byte) {
	if c.in == nil {
		c.in = &input{}
	}
	c.in.buf = append(c.in.buf[c.in.pos:], p...)
	c.in.pos, c.in.starved = 0, false
	r.loop.stats.InputBytes += int64(len(p))
	r.loop.stats.UnparsedBytes += int64(len(p))
}

func (r *reader) freeInput(c *Conn) {
	if c.in != nil {
		r.loop.stats.UnparsedBytes -= int64(len(c.in.rest()))
		c.in = nil
	}
}

// hearOut gives a peer that has sent FIN all messages for it that the loop has: its own messages, if they have come back, and
// the messages that its room has not fanned out.
func (r *reader) hearOut(c *Conn) {
	if c.pending > 0 {
		r.loop.intake.takePosts()
	}
	if c.state == stateOpen {
		catchUp(c)
	}
}

// stopped puts a connection that has input left to parse or to read on the ready list or on a paused list, or reports that it
// may go on after all.
func (r *reader) stopped(c *Conn) (goOn bool) {
	l := r.loop
	if c.has(flagHeld) { // often the join is confirmed already
		if l.intake.takePosts(); !c.has(flagHeld) {
			return true
		}
	}
	if !c.has(flagEOF) && c.peer.Finished() {
		r.stash(c)
	}
	switch {
	case c.state != stateOpen, c.has(flagHeld):
	case c.blocked():
		if !c.has(flagPaused) {
			c.flags |= flagPaused
			l.stats.Pauses++
			if r.budget == l.cfg.ReadMessages {
				r.hungry = append(r.hungry, paused{c, l.now})
			} else {
				r.paused = append(r.paused, paused{c, l.now})
			}
		}
	default:
		r.queueReady(c)
	}
	return false
}

// stash reads to EOF without parsing, because the peer has finished and the transport will close the socket.
func (r *reader) stash(c *Conn) {
	for {
		n, err := c.peer.Read(r.buf)
		if err != nil {
			c.flags |= flagEOF
			return
		}
		r.loop.stats.ReadBytes += uint64(n)
		r.keep(c, r.buf[:n])
	}
}

// discard reads the bytes that a closing connection still sends. It starts only after the last words are written: otherwise a
// flood could use up maxDiscard while the last words wait, and they would never be sent.
func (r *reader) discard(c *Conn) {
	for c.state == stateClosing && c.backlog == nil && c.end.discarded <= maxDiscard {
		n, err := c.peer.Read(r.buf)
		if errors.Is(err, ErrAgain) {
			return
		}
		c.end.discarded += n
		if err != nil {
			c.gone(c.end.reason)
			return
		}
	}
}

func (r *reader) queueReady(c *Conn) {
	if !c.has(flagReady) {
		c.flags |= flagReady
		r.ready = append(r.ready, c)
		r.loop.again()
	}
}

// serveReady is step 4 of the turn: it serves every connection that is on the ready list when the step begins, each with a full
// budget.
func (r *reader) serveReady() {
	r.serving.each(r.serveAgain)
	r.ready = r.serving.refill(r.ready)
	r.serving.each(r.serveAgain)
}

func (r *reader) serveAgain(c *Conn) {
	c.flags &^= flagReady
	r.serve(c)
}

// paused is a connection that may not be parsed because of back-pressure.
type paused struct {
	conn  *Conn
	since time.Duration
}

// unpause looks at all paused connections; those that still may not parse stay paused. Connections that parsed nothing in their
// last turn go first. Otherwise a connection that always has more to send would use up the credit each time, and the other
// connections would wait without end.
func (r *reader) unpause() {
	r.hungry = r.unpauseList(r.hungry)
	r.paused = r.unpauseList(r.paused)
}

func (r *reader) unpauseList(list []paused) []paused {
	kept := list[:0]
	for _, p := range list {
		c := p.conn
		if c.state == stateOpen && c.blocked() {
			kept = append(kept, p)
			continue
		}
		c.flags &^= flagPaused
		if c.state == stateOpen {
			excuse(c, p.since, r.loop.now)
			r.queueReady(c)
		}
	}
	clear(list[len(kept):])
	return kept
}

// excuse moves the last signs of life of c forward by the whole ticks during which the loop did not read from c, but not beyond
// now.
func excuse(c *Conn, since, now time.Duration) {
	from, to := tickUp(since), tickDown(now)
	if to <= from {
		return
	}
	c.seen = min(c.seen+(to-from), tickUp(now))
	c.moved = min(c.moved+(to-from), tickUp(now))
}
