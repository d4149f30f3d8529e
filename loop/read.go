package loop

import (
	"errors"
	"io"
	"time"
)

// Reading. The poller calls Readable; the session parses in place, in the loop's one read buffer. Three things may stop
// a connection before everything is read, and each has its list:
//
//   - its budget for this turn is used up (64 messages, 256 KiB): ready list, served in step 4 of the next turn. One
//     flooding socket read until it is dry held a loop for 461 ms;
//   - its room or a loop has no credit, or publishers of the room are stalled: paused list, until the node says resume;
//   - the session waits for something (Hold): nowhere, until Release.
//
// What was read and not parsed is copied into an input of the connection's own: at most one read buffer. The poller is
// edge-triggered, so nobody else will tell us that there is more.
//
// A peer that sends and closes: the transport closes the socket as soon as the loop returns to it, with everything that
// was not read. So whoever stops early asks Finished first, and if so reads on to EOF, whatever the budget says; only
// parsing waits. What that costs is bounded by the kernel's receive buffer. Such a peer may still be listening (a request and
// FIN in one segment): what it is due must be sent before the loop returns, so its join and its own messages are taken out of
// the inbox at once where they are there already.

// input is what was read and not parsed.
type input struct {
	buf     []byte
	pos     int
	starved bool // what is there is too little for the session: only more bytes will help
}

func (in *input) rest() []byte { return in.buf[in.pos:] }

// parseable reports whether the session could go on with what is there.
func (in *input) parseable() bool { return in != nil && !in.starved && in.pos < len(in.buf) }

// Readable is the poller's word that there is something to read, or that the peer is gone.
func (l *Loop) Readable(c *Conn, now time.Duration) {
	l.now = now
	l.stats.Reads++
	if c.has(flagReady|flagPaused) && !c.peer.Finished() {
		return // when its turn comes
	}
	if c.state == stateEnding && c.peer.Finished() {
		l.close(c)
	}
	l.serve(c)
	if l.marked.len() > 0 {
		l.again()
	}
}

// MayParse is what a session asks before each frame.
func (c *Conn) MayParse() bool {
	return c.state == stateOpen && !c.has(flagHeld) && c.loop.budget > 0 && !c.loop.blocked(c)
}

// Took counts one message against the budget of this turn.
func (c *Conn) Took() { c.loop.budget-- }

// blocked reports that nothing of c may be accepted now.
func (l *Loop) blocked(c *Conn) bool {
	if r := c.member.room; r != nil {
		return !l.node.admits(r.entry)
	}
	return !l.node.admits(nil)
}

// Hold stops parsing until Release.
func (c *Conn) Hold() { c.flags |= flagHeld }

// Release ends Hold.
func (c *Conn) Release() {
	if c.has(flagHeld) {
		c.flags &^= flagHeld
		c.loop.queueReady(c)
	}
}

// serve parses and reads within one turn's budget.
func (l *Loop) serve(c *Conn) {
	l.current = c
	l.serveWithin(c)
	l.current = nil
}

func (l *Loop) serveWithin(c *Conn) {
	l.budget = l.cfg.ReadMessages
	was := c.flags
	for bytes := l.cfg.ReadBytes; c.state == stateOpen; {
		switch {
		case c.in.parseable() && c.MayParse():
			l.parseInput(c)
		case c.in.parseable():
			if !l.stopped(c) {
				return
			}
		case c.has(flagEOF):
			l.gone(c, WhyLeft)
		case bytes <= 0 || !c.MayParse():
			if !l.stopped(c) {
				return
			}
		default:
			n := l.read(c)
			bytes -= n
			if n < len(l.buf) && !c.in.parseable() && !l.mayHaveFinished(c, was, n) {
				return // dry
			}
		}
	}
	if c.state == stateClosing {
		l.discard(c)
	}
}

// mayHaveFinished reports that a connection that read n bytes has to be asked for its FIN before the loop returns to the
// transport: it waits to join, or has joined since it had the flags was. Others are not asked, for it costs a system call.
func (l *Loop) mayHaveFinished(c *Conn, was flags, n int) bool {
	joined := (was^c.flags)&flagUpgraded != 0
	return c.state != stateOpen || c.has(flagHeld) || joined && n > 0
}

// parseInput offers what was kept to the session.
func (l *Loop) parseInput(c *Conn) {
	in := c.in
	used := c.peer.Input(in.rest())
	if c.in == nil { // it ended
		return
	}
	in.pos += used
	l.stats.UnparsedBytes -= int64(used)
	switch {
	case in.pos >= len(in.buf):
		l.freeInput(c)
	case c.MayParse():
		in.starved = true
	}
}

// read reads once and has it parsed.
func (l *Loop) read(c *Conn) (n int) {
	n, err := c.peer.Read(l.buf)
	if err != nil {
		if errors.Is(err, ErrAgain) {
			return 0
		}
		if errors.Is(err, io.EOF) {
			l.hearOut(c)
		}
		l.eof(c)
		return 0
	}
	l.stats.ReadBytes += uint64(n)
	c.progress(l.now)
	p := l.buf[:n]
	if c.in != nil { // starved: only together with what is there
		l.keep(c, p)
		return n
	}
	used := c.peer.Input(p)
	if used < n && c.state == stateOpen {
		l.keep(c, p[used:])
		c.in.starved = c.MayParse()
	}
	return n
}

// progress notes that bytes came. Before the handshake is done the clock runs from its beginning: a head that drips is cut.
func (c *Conn) progress(now time.Duration) {
	if c.has(flagUpgraded) {
		c.moved = tickUp(now)
	}
}

// keep copies what was read and not parsed.
func (l *Loop) keep(c *Conn, p []byte) {
	if c.in == nil {
		c.in = &input{}
	}
	c.in.buf = append(c.in.buf[c.in.pos:], p...)
	c.in.pos, c.in.starved = 0, false
	l.stats.InputBytes += int64(len(p))
	l.stats.UnparsedBytes += int64(len(p))
}

func (l *Loop) freeInput(c *Conn) {
	if c.in != nil {
		l.stats.UnparsedBytes -= int64(len(c.in.rest()))
		c.in = nil
	}
}

// hearOut gives a peer that has sent FIN what there is for it: its own messages, if they have come back, and what its room has
// not fanned out.
func (l *Loop) hearOut(c *Conn) {
	if c.pending > 0 {
		l.takePosts()
	}
	if c.state == stateOpen {
		l.catchUp(c)
	}
}

// stopped puts a connection with something left to parse or to read on the list where it will be found again, or reports that
// it may go on after all.
func (l *Loop) stopped(c *Conn) (goOn bool) {
	if !c.has(flagEOF) && c.peer.Finished() {
		if c.has(flagHeld) {
			if l.takePosts(); !c.has(flagHeld) {
				return true
			}
		}
		l.stash(c)
	}
	switch {
	case c.state != stateOpen, c.has(flagHeld):
	case l.blocked(c):
		if !c.has(flagPaused) {
			c.flags |= flagPaused
			l.stats.Pauses++
			if l.budget == l.cfg.ReadMessages {
				l.hungry = append(l.hungry, paused{c, l.now})
			} else {
				l.paused = append(l.paused, paused{c, l.now})
			}
		}
	default:
		l.queueReady(c)
	}
	return false
}

// stash reads to EOF without parsing: the peer has finished, the transport will close the socket.
func (l *Loop) stash(c *Conn) {
	for {
		n, err := c.peer.Read(l.buf)
		if err != nil {
			c.flags |= flagEOF
			return
		}
		l.stats.ReadBytes += uint64(n)
		l.keep(c, l.buf[:n])
	}
}

func (l *Loop) queueReady(c *Conn) {
	if !c.has(flagReady) {
		c.flags |= flagReady
		l.ready = append(l.ready, c)
		l.again()
	}
}

// serveReady is step 4 of the turn: everybody who was on the ready list when it began, each with a fresh budget.
func (l *Loop) serveReady() {
	l.serveRest()
	l.ready = l.serving.refill(l.ready)
	l.serveRest()
}

func (l *Loop) serveRest() {
	for c, ok := l.serving.next(); ok; c, ok = l.serving.next() {
		c.flags &^= flagReady
		l.serve(c)
	}
}

// paused is a connection that may not be parsed because of back-pressure.
type paused struct {
	conn  *Conn
	since time.Duration
}

// unpause looks at everybody who was paused; who still may not parse stays. First come those who parsed nothing when their
// turn came last: or one who always has more to say would use up the credit each time, and the others would wait for ever.
func (l *Loop) unpause() {
	l.hungry = l.unpauseList(l.hungry)
	l.paused = l.unpauseList(l.paused)
}

func (l *Loop) unpauseList(list []paused) []paused {
	kept := list[:0]
	for _, p := range list {
		c := p.conn
		if c.state == stateOpen && l.blocked(c) {
			kept = append(kept, p)
			continue
		}
		c.flags &^= flagPaused
		if c.state == stateOpen {
			c.excuse(p.since, l.now)
			l.queueReady(c)
		}
	}
	clear(list[len(kept):])
	return kept
}

// excuse gives c back the whole ticks in which we did not listen; never more than up to now.
func (c *Conn) excuse(since, now time.Duration) {
	from, to := tickUp(since), tickDown(now)
	if to <= from {
		return
	}
	c.seen = min(c.seen+(to-from), tickUp(now))
	c.moved = min(c.moved+(to-from), tickUp(now))
}
