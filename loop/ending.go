package loop

import "errors"

// How a connection ends.
//
//	open ──Finish──> ending ──own publications delivered──> closing ──EOF or CloseTimeout──> gone
//	  └─────────────────── peer gone (EOF, reset): what it had sent is parsed first ──────────────────┘
//
// Ending: nothing more is parsed, but what this connection published is still on its way to it; its own last good
// messages must arrive before the close frame says why the next one was bad. At most CloseTimeout.
// Closing: it was given everything that its room has for it and has left; the last words (a close frame, or an HTTP
// response) go out behind that, then FIN. What it still sends is read and thrown away, so that no reset destroys the
// last words in its receive buffer (RFC 6455 7.1.1, RFC 9112 9.6), for CloseTimeout at most. Who floods on is read no further
// after 64 KiB: TCP stops it, and the last words still have their time to arrive.
// A peer that has sent FIN hears its last words at once, for the transport closes the socket when the loop returns to it.
// Gone: both directions are shut down; the transport frees the socket and says Closed.
//
// A slow consumer does not read: of what it is owed the whole frames are dropped, the one that the kernel has begun is
// finished, and the last words stand right behind it.

// maxDiscard is how much of what a closing connection still sends is read.
const maxDiscard = 64 << 10

type ending struct {
	last      []byte
	why       Why
	due       uint32 // tick of the next time limit
	discarded int
	said      bool // the last words are sent or queued
}

// Finish ends c with its last words (whole frames, or an HTTP response; may be empty). Only the first call counts, but
// for one: who is ending and turns out to be a slow consumer ends as that. Not during a fan-out; sessions never are.
func (c *Conn) Finish(last []byte, why Why) {
	l := c.loop
	switch {
	case c.state > stateEnding, c.state == stateEnding && !why.Slow():
		return
	case c.state == stateOpen:
		l.stats.Ended[why]++
	}
	c.end = &ending{last: last, why: why, due: tickUp(l.now) + l.ticks.close}
	c.state = stateEnding
	l.freeInput(c)
	if c.pending > 0 && !why.Slow() && !c.has(flagEOF) && !c.peer.Finished() {
		l.rearm(c)
		return
	}
	l.close(c)
}

// close gives c the rest of its room's messages and its last words.
func (l *Loop) close(c *Conn) {
	e := c.end
	c.state = stateClosing
	e.due = tickUp(l.now) + l.ticks.close
	l.rearm(c)
	if c.has(flagEOF | flagFreed) {
		l.gone(c, e.why)
		return
	}
	if !e.why.Slow() {
		l.catchUp(c)
	}
	l.leave(c, e.why)
	k := c.back
	switch {
	case k == nil:
		l.lastWords(c)
	case e.why.Slow():
		l.dropRefs(c, e.why)
		e.said = true
		k.control = e.last
	}
}

// catchUp gives c what its room has not fanned out to it yet.
func (l *Loop) catchUp(c *Conn) {
	m := &c.member
	if m.conn == nil {
		return
	}
	r := m.room
	for i, b := range r.queue {
		b.frozen = true
		if i > 0 || int(m.index) >= r.cursor {
			l.deliver(m, b)
		}
	}
	m.from = r.pos
}

// lastWords are sent when everything before them was, then FIN. Called again when they had to wait.
func (l *Loop) lastWords(c *Conn) {
	e := c.end
	if !e.said {
		e.said = true
		n, err := c.peer.Send(e.last)
		if err != nil {
			l.gone(c, e.why)
			return
		}
		if n < len(e.last) {
			l.block(c, e.last[n:], nil)
			return
		}
	}
	c.peer.CloseWrite()
}

// discard reads what a closing connection still sends; not before its last words are written, or a flood would use up what
// it may send while they wait, and they would never be said.
func (l *Loop) discard(c *Conn) {
	for c.state == stateClosing && c.back == nil && c.end.discarded <= maxDiscard {
		n, err := c.peer.Read(l.buf)
		if errors.Is(err, ErrAgain) {
			return
		}
		c.end.discarded += n
		if err != nil {
			l.gone(c, c.end.why)
			return
		}
	}
}

// overdue is called when the time limit of an ending connection has passed.
func (l *Loop) overdue(c *Conn) {
	if c.state == stateEnding {
		l.close(c)
		return
	}
	l.gone(c, c.end.why)
}

// eof notes that nothing more comes and nothing can be sent. What has come is parsed before the member leaves.
func (l *Loop) eof(c *Conn) {
	if c.state == stateOpen && !c.has(flagFreed) {
		l.stash(c) // a reset leaves what had arrived before it readable
	}
	c.flags |= flagEOF
	if c.state == stateOpen && c.in.parseable() {
		l.queueReady(c)
		return
	}
	l.gone(c, WhyLeft)
}

// gone takes c out of everything. Its slot is free once the transport has closed the socket.
func (l *Loop) gone(c *Conn, why Why) {
	if c.state == stateGone {
		return
	}
	if c.state < stateEnding {
		l.stats.Ended[why]++
	}
	c.peer.Shutdown() // while it still knows its room
	l.leave(c, why)
	if k := c.back; k != nil {
		l.dropRefs(c, why)
		l.stats.Dropped[why] += l.endRest(k)
		l.unlag(c)
	}
	l.freeInput(c)
	l.wheel.stop(c)
	c.state = stateGone
	c.end = nil
	if c.has(flagFreed) {
		l.free(c)
	}
}

// closed is the transport's word that the socket is closed.
func (l *Loop) closed(c *Conn) {
	if c.has(flagFreed) {
		return
	}
	c.flags |= flagFreed
	if c.state == stateGone {
		l.free(c)
		return
	}
	l.eof(c)
}

// mark notes that c must go; sweep does it, because c may be in the middle of something that is being iterated.
func (l *Loop) mark(c *Conn, why Why) {
	if !c.has(flagMarked) {
		c.flags |= flagMarked
		l.marked.add(marked{c, why})
	}
}

type marked struct {
	conn *Conn
	why  Why
}

// sweep ends the marked connections.
func (l *Loop) sweep() {
	for m, ok := l.marked.next(); ok; m, ok = l.marked.next() { // a kick may mark more
		m.conn.flags &^= flagMarked
		switch {
		case m.conn.state == stateGone:
		case m.why == WhyLeft:
			l.eof(m.conn)
		default:
			m.conn.peer.Kick(m.why)
		}
	}
}
