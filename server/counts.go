package server

import (
	"slices"
	"sync/atomic"

	"dotsconnect/server/protocol"
)

// counts holds the server's own counters; the loops have counters, too (loop.Stats). Any goroutine may use counts, because all
// fields are atomic.
type counts struct {
	accepted   atomic.Uint64 // TCP connections accepted
	upgraded   atomic.Uint64 // handshakes answered with 101
	streams    atomic.Uint64 // streams of Server-Sent Events opened
	posts      atomic.Uint64 // messages published by POST
	pages      atomic.Uint64 // plain HTTP requests answered
	panics     atomic.Uint64 // panics recovered; each is a bug
	acceptErrs atomic.Uint64 // failures of accept, mostly because descriptors ran out
	full       atomic.Uint64 // connections refused with 503 because the server was full
	adminCut   atomic.Uint64 // connections of the admin address closed to make room for others
	refused    [600]atomic.Uint64
	closes     []atomic.Uint64 // by index in protocol.Codes; the last one counts every other code
	heartbeats atomic.Uint64
	gaps       atomic.Uint64                         // gaps told to members that read too slowly
	resumes    [2]atomic.Uint64                      // positions of clients that were refused, and that were honoured
	badAsks    [len(requestErrorCodes)]atomic.Uint64 // requests of version 2 answered with an error
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

// requestErrorCodes are the codes of the errors that answer requests of version 2.
var requestErrorCodes = [...]int{protocol.CloseRateLimited, protocol.CloseRoomFull, protocol.CloseBackendUnavailable, protocol.CloseBadFrame, protocol.CloseUnauthorized}

// refuseRequest counts an error that answered a request of version 2.
func (c *counts) refuseRequest(code int) { c.badAsks[slices.Index(requestErrorCodes[:], code)].Add(1) }

// resume counts a client that named the position from which it wanted to go on.
func (c *counts) resume(honoured bool) {
	if honoured {
		c.resumes[1].Add(1)
	} else {
		c.resumes[0].Add(1)
	}
}
