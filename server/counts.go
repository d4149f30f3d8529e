package server

import (
	"sync/atomic"

	"dotsconnect/server/protocol"
)

// counts are the server's own counters, beside those of the loops (loop.Stats). All are atomic, for any goroutine.
type counts struct {
	accepted   atomic.Uint64 // TCP connections
	upgraded   atomic.Uint64 // handshakes answered with 101
	pages      atomic.Uint64 // plain HTTP requests answered
	panics     atomic.Uint64 // recovered; each is a bug
	acceptErrs atomic.Uint64 // accept failed, mostly because descriptors ran out
	full       atomic.Uint64 // refused with 503: the server was full
	adminCut   atomic.Uint64 // connections of the admin address closed to make room for others
	refused    [600]atomic.Uint64
	closes     []atomic.Uint64 // by index in protocol.Codes; the last one counts every other code
	heartbeats atomic.Uint64
}

func newCounts() *counts {
	return &counts{closes: make([]atomic.Uint64, len(protocol.Codes)+1)}
}

// refuse counts a handshake that was answered with an HTTP status.
func (c *counts) refuse(status int) {
	if status >= 0 && status < len(c.refused) {
		c.refused[status].Add(1)
	}
}

// close counts the end of a WebSocket connection by its code.
func (c *counts) close(code int) {
	for i := range protocol.Codes {
		if protocol.Codes[i].Code == code {
			c.closes[i].Add(1)
			return
		}
	}
	c.closes[len(protocol.Codes)].Add(1)
}
