package server

import (
	"math/rand/v2"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

// sse is what a session does for a reader of Server-Sent Events, the stream of an EventSource. The reader is a member of its room like any
// other: its frames are events with the objects of version 2, and its position is the id of the last event. Only the head of the answer
// differs from that of a WebSocket, and the reader sends nothing.
//
// The stream has no Content-Length and no chunks: it ends when the connection ends (RFC 9112 section 6.3), as HTTP/1.0 has it too. With
// chunks each write would need a header of its own, but the members of a room share their frames, and the backlog of a member is cut
// anywhere.
type sse struct{ *session }

// A reader gets a comment if nothing else shows that it is there, and it must take the comment in time. With the default of --max-age these
// are 15 s and 60 s.
const (
	commentEvery  = 15 * time.Second
	commentsTaken = 60 * time.Second
)

// readerTimes returns the two times for a server with this setting of --max-age.
func readerTimes(maxAge time.Duration) (every, taken time.Duration) {
	return min(maxAge/4, commentEvery), min(maxAge, commentsTaken)
}

// open makes the session a member of the room. joined then begins the stream.
func (s sse) open(x *exchange, t *protocol.Target) {
	if protocol.IsSSEEnd(x.r.Header.Get("Last-Event-ID")) {
		x.keep = false
		s.poller().srv.counts.pages.Add(1)
		overHTTP(s).reply(x, http.StatusNoContent, "", nil) // an EventSource does not come back after a 204
		return
	}
	if t.V2.Presence != 0 {
		overHTTP(s).deny(x, http.StatusBadRequest, protocol.CloseBadFrame, "bad_request", "presence is not served on a stream; leave it out, or use a WebSocket")
		return
	}
	s.phase, s.speaks = phaseAnswer, speaksSSE
	h := s.noteHandshake(x.r, "")
	h.origin = x.origin
	extraOf(s.session).handshake = h
	v2(s).join(t, variantSSE)
	if s.phase == phaseAnswer {
		s.Hold()
	}
}

// joined answers the request.
func (s sse) joined() {
	s.phase = phaseFrames
	s.gaps = s.poller().srv.node.Gaps()
	s.poller().srv.counts.streams.Add(1)
	h := s.extra.handshake
	forgetExtra(s.session)
	o := s.Loop().Opening()
	e := protocol.Open{Position: position(o.At), HasPosition: o.At.Tag != 0, Count: o.Members}
	if h.asked.since {
		e.Resumed = &o.Resumed
		s.poller().srv.counts.resume(o.Resumed)
	}
	answer := protocol.AppendSSEOpen(streamHead(h.origin), &e, soon())
	if (h.asked.since || h.asked.last) && !o.Repeats {
		answer = appendSSELive(answer, o.At)
	}
	s.Control(answer)
	s.Upgraded(s.Loop().Now())
	loop.Plain{Conn: &s.Conn}.ReadsOnly()
	s.giveUpAfter(s.poller().srv.cfg.MaxAge)
	s.logOpened(h)
	s.Release()
}

// giveUpAfter makes the kernel end the connection if the reader does not acknowledge what was sent. A path that is dead takes comments for
// minutes, because they fit into the buffer of the socket.
func (s sse) giveUpAfter(maxAge time.Duration) {
	_, taken := readerTimes(maxAge)
	_ = unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(taken/time.Millisecond))
}

func appendSSELive(dst []byte, at loop.ID) []byte {
	p := positionOrNil(at)
	return protocol.AppendSSEFrame(dst, p, protocol.AppendLive(nil, "", p, nil))
}

// discard drops what a reader sends behind its request. A client of HTTP must not send more on this connection, so there is a limit.
func (s sse) discard(p []byte) (used int) {
	x := extraOf(s.session)
	if x.discarded += len(p); x.discarded > s.rules().heads.Max() {
		s.end(protocol.ClosePolicy, "a reader of events must not send anything behind its request", loop.ReasonClosed)
	}
	return len(p)
}

// refuse begins and ends a stream. An EventSource gives up for good after an HTTP error, but it comes back after the end of a stream.
func (s sse) refuse(code int, detail string, why loop.CloseReason) {
	s.poller().srv.counts.close(code)
	s.logEnded(code, protocol.Reason(code, detail))
	s.phase = phaseFrames
	s.Finish(appendStreamEnd(streamHead(s.extra.handshake.origin), code, protocol.Reason(code, detail)), why)
}

// streamHead is the head of the answer. Proxies and caches must pass on the events at once.
func streamHead(origin string) []byte {
	return []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Accel-Buffering: no\r\n" +
		"X-Content-Type-Options: nosniff\r\nConnection: close\r\n" + corsFields(origin) + "\r\n")
}

// appendStreamEnd appends the last words of a stream. The reader of a stream that was drained comes back soon, to another node; after 45xx
// it must not come back; in all other cases it waits longer.
func appendStreamEnd(dst []byte, code int, reason string) []byte {
	e := &protocol.ErrorEvent{Code: code, Name: protocol.NameOf(code), Text: reason}
	switch {
	case code == protocol.CloseDraining:
		return protocol.AppendSSERetry(dst, 500+rand.IntN(1000), e.Name)
	case code >= protocol.CloseBadFrame:
		return protocol.AppendSSEError(dst, e, 0)
	}
	return protocol.AppendSSEError(dst, e, 3000+rand.IntN(7000))
}

// soon is how long the reader of a lost stream waits, in milliseconds. It is random, so that the readers of a node that was lost do not come
// all at once.
func soon() int { return 500 + rand.IntN(4500) }
