package loop

// timeouts handles the deadlines of a loop's connections. The wheel reports when a deadline may have passed; a connection that is
// silent then becomes a suspect.
//
// A suspect is kicked one turn later, and for that turn the loop rings its doorbell. The poller reports bytes that had already
// arrived before it reports this doorbell. So a heartbeat that was in time is read first, however late the loop is.
//
// If a session panics while the wheel advances, the rest of the wheel's slot is handled one rotation later. Only the loop's
// goroutine uses timeouts.
type timeouts struct {
	loop     *Loop
	wheel    wheel
	suspects []*Conn         // connections that were silent at their deadline; they are kicked in the next turn if they stay silent
	judging  worklist[*Conn] // the suspects of the last turn
}

// judge kicks the suspects of the last turn that stayed silent.
func (t *timeouts) judge() {
	t.judging.each(t.judgeSilence) // suspects left by a turn that panicked
	t.suspects = t.judging.refill(t.suspects)
	t.judging.each(t.judgeSilence)
}

// expire is called by the wheel when c's entry is due; the real deadline may be later.
func (t *timeouts) expire(c *Conn) {
	at, _, ping := c.deadline(c.due - 1) // includes pings from the entry's tick on, as they were not sent yet
	switch {
	case at > t.loop.tick:
		t.wheel.start(c, at)
	case c.state >= stateEnding:
		c.overdue()
	case ping:
		c.peer.Ping()
		c.rearm()
	default:
		t.suspects = append(t.suspects, c)
	}
}

// judgeSilence kicks a suspect that is still silent. If its input is about to be parsed, it stays a suspect until then.
func (t *timeouts) judgeSilence(c *Conn) {
	if c.state != stateOpen {
		return
	}
	at, reason, _ := c.deadline(t.loop.tick)
	switch {
	case at > t.loop.tick || c.has(flagPaused|flagHeld):
		c.rearm()
	case c.has(flagReady):
		t.suspects = append(t.suspects, c)
	default:
		c.closeLater(reason)
	}
}

// rearm moves the wheel's entry of c to the earliest deadline of c, if that is earlier than the entry.
func (c *Conn) rearm() {
	if c.state == stateNew || c.state == stateGone {
		return
	}
	at, _, _ := c.deadline(c.loop.tick)
	if !c.has(flagArmed) || at < c.due {
		c.loop.timeouts.wheel.start(c, at)
	}
}

// deadline returns the tick of the earliest deadline of c, and which deadline it is. It assumes that all pings that were due in
// tick or earlier were sent. Pings are due after each third of MaxAge (or each ReaderPing) since the last sign of life, so their times
// need not be stored.
func (c *Conn) deadline(tick uint32) (at uint32, reason CloseReason, ping bool) {
	l := c.loop
	switch {
	case c.state >= stateEnding:
		return c.end.due, ReasonClosed, false
	case !c.has(flagUpgraded):
		return c.moved + l.ticks.handshake, ReasonHandshake, false
	}
	age, every := l.ticks.maxAge, l.ticks.ping
	if c.has(flagReader) {
		age, every = l.ticks.readerAge, l.ticks.readerPing
	}
	at, reason = c.seen+age, ReasonHeartbeat
	if c.has(flagPartial) && c.moved+l.ticks.frame < at {
		at, reason = c.moved+l.ticks.frame, ReasonFrame
	}
	if c.has(flagPings) {
		silent := max(tick, c.seen) - c.seen
		if next := c.seen + (silent/every+1)*every; next < at {
			return next, reason, true
		}
	}
	return at, reason, false
}
