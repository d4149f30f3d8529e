package server

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
	"dotsconnect/server/websocket"
)

// Chat rooms over plain HTTP: GET /sse/chat/ROOM/ (sse.go) and POST /chat/ROOM/ (post.go). This file has what both share: which pages and
// hosts may use them (CORS), and their answers, which are JSON.

// overHTTP is what a session does for such a request.
type overHTTP struct{ *session }

// exchange is a request at an address of a room, and what its answers need.
type exchange struct {
	r      *http.Request
	method string // the one method of this address
	origin string // of the page that may read the answer, or ""
	keep   bool   // the connection stays open after the answer
}

// routeRoom serves a request at an address of a room, or reports that the request is for another address.
func (s overHTTP) routeRoom(r *http.Request, path, query string) (served bool) {
	if t, ok, refusal := protocol.ParseSSE(path, query, r.Header.Get("Last-Event-ID")); ok {
		if x := s.admit(r, http.MethodGet, refusal); x != nil {
			sse(s).open(x, &t)
		}
		return true
	}
	if t, ok, refusal := protocol.ParsePost(path); ok {
		if x := s.admit(r, http.MethodPost, refusal); x != nil {
			s.beginPost(x, &t)
		}
		return true
	}
	return false
}

// admit checks everything that does not depend on the method's meaning. It returns nil if it has answered the request. bad is what is
// wrong with the address, or nil.
func (s overHTTP) admit(r *http.Request, method string, bad *websocket.HeadError) *exchange {
	s.Took() // a connection can send many requests at once
	x := &exchange{r: r, method: method, keep: r.ProtoAtLeast(1, 1) && !r.Close && r.ContentLength <= 0}
	if advice := s.strange(r); advice != "" {
		s.deny(x, http.StatusForbidden, protocol.CloseForbidden, "forbidden", advice)
		return nil
	}
	x.origin = r.Header.Get("Origin")
	switch {
	case r.Method == http.MethodOptions:
		s.allow(x)
	case r.Method != method:
		s.deny(x, http.StatusMethodNotAllowed, protocol.CloseBadFrame, "bad_request", "this address takes only "+method)
	case bad != nil:
		s.deny(x, bad.Status, protocol.CloseBadFrame, "bad_request", bad.Text)
	default:
		return x
	}
	return nil
}

// strange says why a page may not send the request, or "" if it may. A browser names the page in Origin, but not with a GET to the page's
// own host. So without an Origin the host must be one that no stranger can let point to this server.
func (s overHTTP) strange(r *http.Request) (advice string) {
	rules := s.rules()
	if origin := r.Header.Get("Origin"); origin != "" {
		if rules.origins.Allowed(origin, r.Host) {
			return ""
		}
		advice = originAdvice(origin)
		s.logOrigin(r, advice)
		return fmt.Sprintf("pages of the origin %q may not use this address: %s", brief(origin), advice)
	}
	if rules.origins.AllowedHost(r.Host) {
		return ""
	}
	advice = "a proxy must pass on the host that the client named"
	if pattern := websocket.HostPattern(r.Host); pattern != "" {
		advice = "to allow this host, add it to the server's origins, as in --origins=" + pattern
	}
	if line := s.poller().srv.log.Check(zap.InfoLevel, "request refused because of its host"); line != nil {
		line.Write(append(whatItSaid(r), zap.String("remote", s.remoteAddr()), zap.String("advice", advice))...)
	}
	return fmt.Sprintf("requests for the host %q are not answered at this address: %s", brief(r.Host), advice)
}

// allow answers OPTIONS, the question of a browser before the request of a page (preflight).
func (s overHTTP) allow(x *exchange) {
	s.poller().srv.counts.pages.Add(1)
	fields := "Allow: " + x.method + ", OPTIONS\r\n"
	if x.origin != "" {
		fields += "Access-Control-Allow-Methods: " + x.method + "\r\n" +
			"Access-Control-Allow-Headers: Content-Type, Idempotency-Key, Last-Event-ID, Cache-Control\r\nAccess-Control-Max-Age: 600\r\n"
	}
	s.reply(x, http.StatusNoContent, fields, nil)
}

// deny answers with an error, and closes the connection.
func (s overHTTP) deny(x *exchange, status, code int, name, text string) {
	x.keep = false
	s.denyWith(x, status, &protocol.ErrorEvent{Code: code, Name: name, Text: text})
}

// denyWith answers with an error.
func (s overHTTP) denyWith(x *exchange, status int, e *protocol.ErrorEvent) {
	s.poller().srv.counts.refuse(status)
	s.logRefused(x.r, &websocket.HeadError{Status: status, Text: e.Text})
	fields := ""
	switch status {
	case http.StatusMethodNotAllowed:
		fields = "Allow: " + x.method + ", OPTIONS\r\n"
	case http.StatusServiceUnavailable:
		fields = "Retry-After: " + strconv.Itoa(max(e.Retry, 1)) + "\r\n"
	}
	s.reply(x, status, fields, protocol.TextOf(e.Append(nil)))
}

// reply sends an answer with a JSON body, or without a body. The connection then waits for the next request, or ends.
func (s overHTTP) reply(x *exchange, status int, fields string, body []byte) {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	if x.keep {
		fmt.Fprintf(&b, "Keep-Alive: timeout=%d\r\n", int(max(s.rules().cfg.HandshakeTimeout/time.Second, 1)))
	} else {
		b.WriteString("Connection: close\r\n")
	}
	b.WriteString(fields)
	b.WriteString(corsFields(x.origin))
	b.WriteString("Cache-Control: no-store\r\n")
	if body != nil {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body)+1)
	}
	b.WriteString("\r\n")
	if body != nil && x.r.Method != http.MethodHead {
		b.Write(body)
		b.WriteByte('\n')
	}
	if !x.keep {
		s.Finish([]byte(b.String()), loop.ReasonClosed)
		return
	}
	s.Say([]byte(b.String()))
	s.awaitNext()
}

// corsFields are the fields that let the page read an answer. The answer depends on Origin in any case, so no cache may mix the answers for
// two pages.
func corsFields(origin string) string {
	if origin == "" {
		return "Vary: Origin\r\n"
	}
	return "Vary: Origin\r\nAccess-Control-Allow-Origin: " + origin +
		"\r\nAccess-Control-Allow-Credentials: true\r\nAccess-Control-Expose-Headers: Retry-After\r\n"
}

// awaitNext makes the session wait for the next request on this connection.
func (s overHTTP) awaitNext() {
	s.phase = phaseNext
	forgetExtra(s.session)
	loop.Plain{Conn: &s.Conn}.Restart(s.Loop().Now())
	s.Release()
}

// refuseRoom answers a client at an address of a room whose request cannot be served, or is not complete. It reports whether the session
// is such a client.
func (s overHTTP) refuseRoom(e *websocket.HeadError, why loop.CloseReason) bool {
	switch {
	case s.phase == phaseNext: // an answer now would be taken for the answer to the next request
		s.Finish(nil, why)
	case s.phase == phaseBody || s.phase == phasePost:
		code, name := protocol.ClosePolicy, "policy"
		switch e.Status {
		case http.StatusServiceUnavailable:
			code, name = protocol.CloseDraining, "draining"
		case http.StatusInternalServerError:
			code, name = protocol.CloseInternalError, "internal error"
		}
		s.deny(&s.extra.post.exchange, e.Status, code, name, e.Text)
	case s.speaks == speaksSSE:
		code := protocol.CloseInternalError
		if e.Status == http.StatusServiceUnavailable {
			code = protocol.CloseDraining
		}
		sse(s).refuse(code, e.Text, why)
	default:
		return false
	}
	return true
}
