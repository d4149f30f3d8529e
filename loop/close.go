package loop

// How a connection ends.
//
//	open ──Finish──> ending ──own publications delivered──> closing ──EOF or CloseTimeout──> gone
//	  └─────────────────── peer gone (EOF, reset): the bytes it sent are parsed first ────────────────┘
//
// Ending: nothing more is parsed, but publications of this connection are still on their way back to it. A close frame that
// rejects a bad message must come after the good messages before it. The loop waits for CloseTimeout at most.
//
// Closing: the connection has got all messages that its room had for it, and has left the room. The last words (a close frame, or
// an HTTP response) follow, then FIN. Bytes that the peer still sends are read and discarded, for CloseTimeout at most, so that
// no reset destroys the last words in the peer's receive buffer (RFC 6455 7.1.1, RFC 9112 9.6). After 64 KiB the loop stops
// reading: TCP stops a sender that floods, and the last words still have CloseTimeout to arrive. A peer that has sent FIN gets
// its last words at once, because the transport closes the socket when the loop returns to the transport.
//
// Gone: both directions are shut down; the transport frees the socket and calls Closed.
//
// A slow consumer does not read. So the whole frames that wait for this member are dropped, the frame that the kernel has begun
// is finished, and the last words follow that frame directly.

type ending struct {
	last      []byte
	reason    CloseReason
	due       uint32 // tick of the next time limit
	discarded int
	said      bool // the last words were sent or queued
}

// Finish ends c with its last words: whole frames, or an HTTP response; they may be empty. Only the first call has an effect,
// with one exception: if an ending connection turns out to be a slow consumer, a second call ends it as a slow consumer. Finish
// must not be called during a fan-out; sessions never do that.
func (c *Conn) Finish(last []byte, reason CloseReason) {
	l := c.loop
	switch {
	case c.state > stateEnding, c.state == stateEnding && !reason.Slow():
		return
	case c.state == stateOpen:
		if c.backlog != nil && !reason.Slow() {
			l.slow.tellGaps(c) // what it gets after them is later, and acknowledgements can still be said
		}
		l.stats.Ended[reason]++
	}
	c.end = &ending{last: last, reason: reason, due: tickUp(l.now) + l.ticks.close}
	c.state = stateEnding
	l.reader.freeInput(c)
	if c.pending > 0 && !reason.Slow() && !c.has(flagEOF) && !c.peer.Finished() {
		c.rearm()
		return
	}
	c.close()
}

// close gives c the rest of its room's messages and its last words.
func (c *Conn) close() {
	e := c.end
	c.state = stateClosing
	e.due = tickUp(c.loop.now) + c.loop.ticks.close
	c.rearm()
	if c.has(flagEOF | flagFreed) {
		c.gone(e.reason)
		return
	}
	if !e.reason.Slow() {
		catchUp(c)
	}
	if k := c.backlog; k != nil && k.repeat != nil && !c.loop.repeats.stop(k.repeat.member) {
		c.gone(e.reason)
		return
	}
	c.loop.rooms.leave(c, e.reason)
	k := c.backlog
	switch {
	case k == nil:
		c.lastWords()
	case e.reason.Slow():
		c.loop.slow.dropRefs(c, e.reason)
		e.said = true
		k.control = e.last
	}
}

// catchUp gives c the messages that its room has not fanned out to it yet.
func catchUp(c *Conn) {
	eachMember(c, func(m *Member) {
		if !m.seated() {
			return
		}
		for _, b := range m.room.queue {
			c.loop.fanout.deliver(m, b)
		}
	})
}

// lastWords sends the last words once everything before them is sent, and then FIN. If it has to wait, it is called again
// later.
func (c *Conn) lastWords() {
	e := c.end
	if !e.said {
		e.said = true
		n, err := c.peer.Send(e.last)
		if err != nil {
			c.gone(e.reason)
			return
		}
		if n < len(e.last) {
			c.loop.slow.block(c, e.last[n:], nil)
			return
		}
	}
	c.peer.CloseWrite()
}

// overdue is called when the time limit of an ending connection has passed.
func (c *Conn) overdue() {
	if c.state == stateEnding {
		c.close()
		return
	}
	c.gone(c.end.reason)
}

// eof is called when no more bytes come from the peer and no bytes can be sent to it. The bytes that have come are parsed
// before the member leaves.
func (c *Conn) eof() {
	if c.state == stateOpen && !c.has(flagFreed) {
		c.loop.reader.stash(c) // after a reset, bytes that arrived before it can still be read
	}
	c.flags |= flagEOF
	if c.state == stateOpen && c.in.parseable() {
		c.loop.reader.queueReady(c)
		return
	}
	c.gone(ReasonLeft)
}

// gone removes c from all structures of the loop except its slot, which is freed once the transport has closed the socket.
func (c *Conn) gone(reason CloseReason) {
	if c.state == stateGone {
		return
	}
	if c.state < stateEnding {
		c.loop.stats.Ended[reason]++
	}
	c.peer.Shutdown() // before leave, because the peer must still know its room
	c.loop.rooms.leave(c, reason)
	if k := c.backlog; k != nil {
		c.loop.slow.dropRefs(c, reason)
		c.loop.stats.Dropped[reason] += c.loop.slow.endRest(k)
		c.loop.slow.unlag(c)
	}
	c.loop.reader.freeInput(c)
	c.loop.timeouts.wheel.stop(c)
	delete(c.loop.rooms.many, c)
	c.state = stateGone
	c.end = nil
	if c.has(flagFreed) {
		c.loop.slots.vacate(c)
	}
}

// closed is called when the transport has closed the socket.
func (c *Conn) closed() {
	if c.has(flagFreed) {
		return
	}
	c.flags |= flagFreed
	if c.state == stateGone {
		c.loop.slots.vacate(c)
		return
	}
	c.eof()
}

// closeLater notes that c must be closed. sweep closes it, because c may be part of a list that is being iterated.
func (c *Conn) closeLater(reason CloseReason) {
	if !c.has(flagToClose) {
		c.flags |= flagToClose
		c.loop.toClose.add(toClose{c, reason})
	}
}

type toClose struct {
	conn   *Conn
	reason CloseReason
}

// sweep closes the connections that closeLater noted; a kick may add more.
func (l *Loop) sweep() {
	l.toClose.each(func(m toClose) {
		m.conn.flags &^= flagToClose
		switch {
		case m.conn.state == stateGone:
		case m.reason == ReasonLeft:
			m.conn.eof()
		default:
			m.conn.peer.Kick(m.reason)
		}
	})
}
