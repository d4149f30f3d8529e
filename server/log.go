package server

import (
	"net/http"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"dotsconnect/server/protocol"
	"dotsconnect/server/websocket"
)

// Log lines about connections. At debug level each connection has one line when it is opened or refused, and one when it ends. At
// info level there are only the lines that an operator must see: a page that is refused for its origin, a client with bad
// messages, a slow consumer, a limit that was reached. Each kind of line has its own message: the logger limits the number of
// lines with the same message (cmd/dotsd), so that nobody can fill the disk.
//
// A session keeps no data for the log, except fields of the request, during the handshake and only at debug level.

// handshake is the part of a request that is needed for its answer.
type handshake struct {
	key, subprotocol string
	origin           string // of the page that may read a stream of events
	asked            wish
	said             []zap.Field // fields for the log; nil unless the level is debug
}

func (s *session) noteHandshake(r *http.Request, subprotocol string) *handshake {
	h := &handshake{key: r.Header.Get("Sec-WebSocket-Key"), subprotocol: subprotocol}
	if s.poller().srv.log.Core().Enabled(zapcore.DebugLevel) {
		h.said = whatItSaid(r)
	}
	return h
}

// whatItSaid returns fields of the request for the log.
func whatItSaid(r *http.Request) []zap.Field {
	return []zap.Field{
		zap.String("target", brief(r.RequestURI)), zap.String("host", brief(r.Host)), zap.String("origin", brief(r.Header.Get("Origin"))),
		zap.String("subprotocols", brief(strings.Join(websocket.Offered(r.Header), ", "))),
	}
}

// longestWord limits the bytes of a client's text in a log line or an answer. No valid origin is longer.
const longestWord = 300

func brief(text string) string {
	if len(text) <= longestWord {
		return text
	}
	return strings.ToValidUTF8(text[:longestWord], "") + "…"
}

// refusedAtInfo holds the statuses of refusals that are logged at info level, because the request exceeded a limit.
var refusedAtInfo = map[int]bool{http.StatusRequestURITooLong: true, http.StatusRequestHeaderFieldsTooLarge: true}

// endedAtInfo holds the close codes that are logged at info level, with the message for each.
var endedAtInfo = map[int]string{
	protocol.CloseSlowConsumer: "slow consumer kicked",
	protocol.CloseBadFrame:     "client sent a bad message",
	protocol.ClosePolicy:       "client sent too many small frames, or an unfinished one",
	protocol.CloseTooBig:       "client sent a message over the limit",
	protocol.CloseRoomFull:     "room or node full",
}

// logOrigin logs that a page may not connect, with advice: which setting would let the page connect.
func (s *session) logOrigin(r *http.Request, advice string) {
	if line := s.poller().srv.log.Check(zap.InfoLevel, "page refused because of its origin"); line != nil {
		line.Write(append(whatItSaid(r), zap.String("remote", s.remoteAddr()), zap.String("advice", advice))...)
	}
}

// logRefused logs that a request was refused. r is nil if the request was not read completely.
func (s *session) logRefused(r *http.Request, e *websocket.HeadError) {
	level, message := zap.DebugLevel, "request refused"
	if refusedAtInfo[e.Status] {
		level, message = zap.InfoLevel, "request over a limit"
	}
	line := s.poller().srv.log.Check(level, message)
	if line == nil {
		return
	}
	fields := []zap.Field{zap.Int("status", e.Status), zap.String("why", e.Text), zap.String("remote", s.remoteAddr())}
	if r != nil {
		fields = append(fields, whatItSaid(r)...)
	}
	line.Write(fields...)
}

// logOpened logs that a connection has become a member of its room.
func (s *session) logOpened(h *handshake) {
	if line := s.poller().srv.log.Check(zap.DebugLevel, "connection opened"); line != nil {
		line.Write(append(h.said, zap.String("connection", formatID(s.ID())), zap.String("room", s.Room()), zap.String("remote", s.remoteAddr()),
			zap.String("subprotocol", h.subprotocol), zap.Stringer("protocol", s.speaks))...)
	}
}

// logEnded logs that a connection ends with a close code of the server or of the peer. It is called before the connection
// leaves its room.
func (s *session) logEnded(code int, reason string) {
	s.told = true
	level, message := zap.DebugLevel, "connection ended"
	if m := endedAtInfo[code]; m != "" {
		level, message = zap.InfoLevel, m
	}
	if line := s.poller().srv.log.Check(level, message); line != nil {
		line.Write(zap.String("connection", formatID(s.ID())), zap.Int("code", code), zap.String("reason", reason), zap.String("room", s.Room()),
			zap.String("remote", s.remoteAddr()))
	}
}

// logLost logs that a member is gone without a close frame. Clients report this as code 1006.
func (s *session) logLost() {
	if s.phase == phaseFrames && !s.told {
		s.logEnded(closeAbnormal, "no close frame")
	}
}

// closeAbnormal is the code for an end without a close frame (RFC 6455 section 7.1.5).
const closeAbnormal = 1006
