package server

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
	"dotsconnect/server/websocket"
)

// headReader is what a loop needs to parse request heads, used again for each.
type headReader struct {
	bytes bytes.Reader
	bufio *bufio.Reader
}

// parse reads a head that websocket.ScanHead has accepted, so that net/http meets nothing it would be lenient about.
func (h *headReader) parse(head []byte) (*http.Request, error) {
	h.bytes.Reset(head)
	if h.bufio == nil {
		h.bufio = bufio.NewReaderSize(&h.bytes, websocket.MaxHead)
	}
	h.bufio.Reset(&h.bytes)
	return http.ReadRequest(h.bufio)
}

// head waits for the whole request head and answers it. It returns its length, 0 if there is nothing more to do now.
func (s *session) head(p []byte) (used int) {
	n, refusal := websocket.ScanHead(p)
	switch {
	case refusal != nil:
		s.refuse(refusal, loop.WhyClosed)
		return 0
	case n == 0:
		return 0
	}
	r, err := s.poller().heads.parse(p[:n])
	if err != nil {
		s.refuse(&websocket.HeadError{Status: http.StatusBadRequest, Text: "malformed request: " + err.Error()}, loop.WhyClosed)
		return 0
	}
	if refusal = s.route(r); refusal == nil {
		return n
	}
	if r.Method != http.MethodHead {
		s.refuse(refusal, loop.WhyClosed)
		return 0
	}
	s.poller().srv.counts.refuse(refusal.Status) // without a body, RFC 9110 9.3.2
	response := websocket.AppendRefusal(nil, refusal)
	s.Finish(response[:bytes.Index(response, []byte("\r\n\r\n"))+4], loop.WhyClosed)
	return 0
}

// route sends a request where it belongs: into a room, or to the pages.
func (s *session) route(r *http.Request) *websocket.HeadError {
	path, query, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") { // absolute form, RFC 9112 3.2.2
		path, query = r.URL.EscapedPath(), r.URL.RawQuery
	}
	target, isRoom, refusal := protocol.ParseTarget(path, query)
	switch {
	case isRoom && r.Method != http.MethodGet:
		return &websocket.HeadError{Status: http.StatusMethodNotAllowed, Text: "a room is joined with GET and a WebSocket handshake"}
	case !websocket.IsUpgrade(r.Header) && isRoom:
		return &websocket.HeadError{Status: http.StatusUpgradeRequired, Text: "this address speaks WebSocket: connect to it with ws:// or wss://"}
	case !websocket.IsUpgrade(r.Header):
		s.servePage(r)
		return nil
	case r.Method != http.MethodGet:
		return websocket.CheckHandshake(r)
	case !isRoom:
		return &websocket.HeadError{Status: http.StatusNotFound, Text: "no such address: rooms are at /ws/chat/ROOM/ and /ws/raw/ROOM/"}
	case refusal != nil:
		return refusal
	}
	if refusal = websocket.CheckHandshake(r); refusal != nil {
		return refusal
	}
	origin, present := r.Header["Origin"]
	if present && !s.poller().srv.origins.Allowed(strings.Join(origin, ","), r.Host, true) {
		return &websocket.HeadError{Status: http.StatusForbidden, Text: "this page may not connect: its origin is not allowed (see --origins)"}
	}
	s.join(target, r.Header.Get("Sec-WebSocket-Key"))
	return nil
}

// join asks for the room; Joined answers the handshake.
func (s *session) join(t protocol.Target, key string) {
	variant := variantV1
	if t.Space == protocol.Raw {
		variant, s.raw = variantRaw, true
	}
	s.phase = phaseAnswer
	s.extra = &extra{key: key}
	s.Join(t.Key(), variant)
	if s.phase == phaseAnswer {
		s.Hold() // Joined comes later; what the client sends early waits for it
	}
}
