package server

import (
	"sync/atomic"

	"dotsconnect/server/protocol"
)

// counts holds the server's own counters; the loops have counters, too (loop.Stats). Any goroutine may use counts, because all
// fields are atomic.
type counts struct {
	accepted   atomic.Uint64 // TCP connections accepted
	upgraded   atomic.Uint64 // handshakes answered with 101
	pages      atomic.Uint64 // plain HTTP requests answered
	panics     atomic.Uint64 // panics recovered; each is a bug
	acceptErrs atomic.Uint64 // failures of accept, mostly because descriptors ran out
	full       atomic.Uint64 // connections refused with 503 because the server was full
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
