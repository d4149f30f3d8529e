package loop

import "time"

// Plain is a connection that speaks plain HTTP: it serves one request after the other, or its peer only reads. Only the loop's goroutine
// uses it.
type Plain struct{ *Conn }

// Restart makes HandshakeTimeout count from now on. The session calls it before each request.
func (c Plain) Restart(now time.Duration) {
	c.moved = tickUp(now)
	c.rearm()
}

// ReadsOnly tells the loop that the peer only reads, so that no sign of life comes from it. The loop then calls Session.Ping each
// Config.ReaderPing, and the session answers with Pulse.
func (c Plain) ReadsOnly() {
	c.flags |= flagReader | flagPings
	c.rearm()
}

// Pulse sends a control frame to a peer that only reads. If the one before it has been sent, the peer is alive.
func (c Plain) Pulse(frame []byte) {
	if c.backlog == nil || len(c.backlog.control) == 0 {
		c.Touch(c.loop.now)
	}
	c.Control(frame)
}
