package server

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"slices"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
	"dotsconnect/server/websocket"
)

// headReader has the buffers that a loop needs to parse request heads; they are reused for each head.
type headReader struct {
	bytes bytes.Reader
	bufio *bufio.Reader
}

// parse parses a head that websocket.HeadScanner has accepted. So net/http never gets a head that it would accept although the
// scanner refuses it.
func (h *headReader) parse(head []byte) (*http.Request, error) {
	h.bytes.Reset(bytes.TrimLeft(head, "\r\n"))
	if h.bufio == nil {
		h.bufio = bufio.NewReader(&h.bytes)
	}
	h.bufio.Reset(&h.bytes)
	return http.ReadRequest(h.bufio)
}

// head waits for the whole request head and answers it. It returns the length of the head, or 0 if it needs more bytes or has
// refused the request.
func (s *session) head(p []byte) (used int) {
	heads := s.rules().heads
	if s.phase == phaseNext { // the time for a request begins with its first byte
		s.phase = phaseHead
		loop.Plain{Conn: &s.Conn}.Restart(s.Loop().Now())
	}
	if s.extra != nil && !heads.Again(p, s.extra.scanned) {
		return 0
	}
	n, refusal := heads.Scan(p)
	switch {
	case refusal != nil:
		s.refuse(refusal, loop.ReasonClosed)
		return 0
	case n == 0:
		extraOf(s).scanned = len(p)
		return 0
	}
	r, err := s.poller().heads.parse(p[:n])
	if err != nil {
		s.refuse(&websocket.HeadError{Status: http.StatusBadRequest, Text: "malformed request: " + err.Error()}, loop.ReasonClosed)
		return 0
	}
	if refusal = s.route(r); refusal == nil {
		return n
	}
	s.refuseRequest(r, refusal)
	return 0
}

// route passes a request on to a room or to the pages. It returns an error to refuse the request.
func (s *session) route(r *http.Request) *websocket.HeadError {
	path, query := websocket.SplitTarget(r.RequestURI)
	if (overHTTP{s}).routeRoom(r, path, query) {
		return nil
	}
	upgrade := websocket.IsUpgrade(r.Header)
	offered := websocket.Offered(r.Header)
	if upgrade && slices.Contains(offered, subprotocolV2) && !slices.Contains(offered, subprotocolV1) {
		query += "&v=2"
	}
	target, isRoom, refusal := protocol.ParseTarget(path, query)
	switch {
	case !upgrade && path == originCheckPath && r.Method == http.MethodPost:
		return s.checkOrigin(r)
	case isRoom && r.Method != http.MethodGet:
		return &websocket.HeadError{Status: http.StatusMethodNotAllowed, Text: "to join a room, send a GET request with a WebSocket handshake"}
	case !upgrade && isRoom:
		return &websocket.HeadError{Status: http.StatusUpgradeRequired, Text: "this address accepts only WebSocket connections: connect to it with ws:// or wss://"}
	case !upgrade:
		s.servePage(r)
		return nil
	case r.Method != http.MethodGet:
		return websocket.CheckHandshake(r)
	}
	subprotocol := s.poller().srv.subprotocol(offered, &target)
	if system := protocol.Foreign(path, query, offered); system != "" && subprotocol == "" {
		text := "this client speaks " + system + ", but this server relays plain WebSocket messages (see server/PROTOCOL.md): use a plain WebSocket client"
		if len(offered) > 0 {
			text += "; if it does send plain messages, list its subprotocol in --subprotocols"
		}
		return &websocket.HeadError{Status: http.StatusBadRequest, Text: text}
	}
	switch {
	case !isRoom:
		return &websocket.HeadError{Status: http.StatusNotFound, Text: "no such address: rooms are at /ws/chat/ROOM/ and /ws/raw/ROOM/"}
	case refusal != nil:
		return refusal
	}
	if refusal = websocket.CheckHandshake(r); refusal != nil {
		return refusal
	}
	if refusal = notServed(&target); refusal != nil {
		return refusal
	}
	if refusal = s.refuseOrigin(r); refusal != nil {
		return refusal
	}
	s.join(r, target, subprotocol)
	return nil
}

// The server's own subprotocols (RFC 6455 section 1.9). Each of them names a version of PROTOCOL.md.
const (
	subprotocolV1 = "dots.v1"
	subprotocolV2 = "dots.v2"
)

// subprotocol chooses one of the offered subprotocols, or "" for none. In a chat room it chooses the server's own subprotocol,
// if it is offered; otherwise the first offered subprotocol that the operator accepts.
func (s *Server) subprotocol(offered []string, t *protocol.Target) string {
	own := subprotocolV1
	if t.Version == 2 {
		own = subprotocolV2
	}
	if t.Space == protocol.Chat && slices.Contains(offered, own) {
		return own
	}
	for _, name := range offered {
		if slices.Contains(s.rules.Load().cfg.Subprotocols, name) {
			return name
		}
	}
	return ""
}

// refuseOrigin returns the reason why the page in the Origin field may not connect. It returns nil if the page may connect, or if
// there is no Origin.
func (s *session) refuseOrigin(r *http.Request) *websocket.HeadError {
	origin := r.Header.Get("Origin") // HeadScanner accepts at most one
	if s.rules().origins.Allowed(origin, r.Host) {
		return nil
	}
	advice := originAdvice(origin)
	s.logOrigin(r, advice)
	return &websocket.HeadError{Status: http.StatusForbidden, Text: fmt.Sprintf("pages of the origin %q may not connect: %s", brief(origin), advice)}
}

// originAdvice returns advice: which setting would let the pages of an origin connect.
func originAdvice(origin string) string {
	if pattern := websocket.PatternFor(origin); pattern != "" {
		return "to allow this origin, add it to the server's origins, as in --origins=" + pattern
	}
	if origin == "null" {
		return "local files and pages in sandboxed frames have this origin: serve the page over HTTP, outside such a frame (--origins=null would allow this origin, but every site can make pages that have it)"
	}
	return "this origin does not have the form SCHEME://HOST:PORT, so only --origins=* (every page) would allow it"
}

// originCheckPath is the path at which a page asks why its handshake was refused: the browser does not tell the page the
// reason.
const originCheckPath = "/origin-check"

// checkOrigin answers a POST with 204 if the page may connect, and otherwise with the refusal that the handshake of the page
// got. A browser sends the Origin field also with a POST to the page's own host. It shows the answer only to pages from this
// host.
func (s *session) checkOrigin(r *http.Request) *websocket.HeadError {
	if refusal := s.refuseOrigin(r); refusal != nil {
		return refusal
	}
	s.poller().srv.counts.pages.Add(1)
	s.Finish([]byte("HTTP/1.1 204 No Content\r\nConnection: close\r\nCache-Control: no-store\r\n\r\n"), loop.ReasonClosed)
	return nil
}

// refuseRequest answers a complete request with a refusal. For a HEAD request it leaves out the body (RFC 9110 section 9.3.2).
func (s *session) refuseRequest(r *http.Request, refusal *websocket.HeadError) {
	response := websocket.AppendRefusal(nil, refusal)
	if r.Method == http.MethodHead {
		response = headOf(response)
	}
	s.logRefused(r, refusal)
	s.poller().srv.counts.refuse(refusal.Status)
	s.Finish(response, loop.ReasonClosed)
}

// headOf returns a response up to the end of its head.
func headOf(response []byte) []byte {
	return response[:bytes.Index(response, []byte("\r\n\r\n"))+4]
}

// join asks the loop for membership in the room. Joined then answers the handshake.
func (s *session) join(r *http.Request, t protocol.Target, subprotocol string) {
	s.phase = phaseAnswer
	extraOf(s).handshake = s.noteHandshake(r, subprotocol)
	switch {
	case t.Space == protocol.Raw:
		s.speaks = speaksRaw
		s.Join(t.Key(), variantRaw)
	case t.Many:
		v2{s}.beMany(t.V2.Was)
	case t.Version == 2:
		s.speaks = speaksV2
		v2{s}.join(&t, variantV2)
	default:
		s.Join(t.Key(), variantV1)
	}
	if s.phase == phaseAnswer {
		s.Hold() // Joined comes later; until then input from the client waits
	}
}
