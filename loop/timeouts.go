package loop

// timeouts are the deadlines of the connections of a loop. The wheel says when one may have come; a connection that is silent
// then is a suspect.
//
// Expiry makes a suspect, and the kick comes one turn later. The poller reports bytes that had arrived before it reports the
// doorbell that this turn rings. So a heartbeat that was in time is read first, however late we are.
//
// If a session panics while the wheel advances, the rest of its slot is finished one rotation later. Only the loop's goroutine
// uses it.
type timeouts struct {
	loop     *Loop
	wheel    wheel
	suspects []*Conn         // expired; kicked in the next turn if they stay silent
	judging  worklist[*Conn] // the suspects of the last turn
}

// judge kicks the suspects of the last turn that stayed silent.
func (t *timeouts) judge() {
	t.judging.each(t.judgeSilence) // work left by a turn that panicked
	t.suspects = t.judging.refill(t.suspects)
	t.judging.each(t.judgeSilence)
}

// expire is called by the wheel when c's entry comes, perhaps too early.
func (t *timeouts) expire(c *Conn) {
	at, _, ping := c.deadline(c.due - 1) // the entry was set for the first ping that was not sent
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

// judgeSilence kicks a suspect that is still silent. A connection whose input is about to be parsed stays a suspect until then.
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

// rearm sets the wheel's entry of c to its earliest deadline, if that is earlier than the entry.
func (c *Conn) rearm() {
	if c.state == stateNew || c.state == stateGone {
		return
	}
	at, _, _ := c.deadline(c.loop.tick)
	if !c.has(flagArmed) || at < c.due {
		c.loop.timeouts.wheel.start(c, at)
	}
}

// deadline returns the tick of the earliest timeout of c, and which timeout it is. It assumes that the pings up to tick after
// were sent. Pings are due at each third of MaxAge since the last sign of life, so nothing has to be stored about them.
func (c *Conn) deadline(after uint32) (at uint32, reason CloseReason, ping bool) {
	l := c.loop
	switch {
	case c.state >= stateEnding:
		return c.end.due, ReasonClosed, false
	case !c.has(flagUpgraded):
		return c.moved + l.ticks.handshake, ReasonHandshake, false
	}
	at, reason = c.seen+l.ticks.maxAge, ReasonHeartbeat
	if c.has(flagPartial) && c.moved+l.ticks.frame < at {
		at, reason = c.moved+l.ticks.frame, ReasonFrame
	}
	if c.has(flagPings) {
		silent := max(after, c.seen) - c.seen
		if next := c.seen + (silent/l.ticks.ping+1)*l.ticks.ping; next < at {
			return next, reason, true
		}
	}
	return at, reason, false
}
