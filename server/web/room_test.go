package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
)

// roomServer serves the page, and the part of protocol version 1 that the page's tests need: it relays messages, counts
// heartbeats, and ends connections as a test asks.
type roomServer struct {
	*httptest.Server

	mu      sync.Mutex
	members map[*member]struct{} // guarded by mu
	refusal *websocket.CloseError
	foreign string         // pages of this origin may not connect; guarded by mu
	beats   map[string]int // heartbeats by room, guarded by mu
	joins   map[string]int // number of connections made so far, by room; guarded by mu
	asked   atomic.Int64   // number of requests of /origin-check
}

type member struct {
	room string
	conn *websocket.Conn
	tcp  *net.TCPConn
}

type connKey struct{}

func startRoomServer(t *testing.T) *roomServer {
	t.Helper()
	s := &roomServer{members: map[*member]struct{}{}, beats: map[string]int{}, joins: map[string]int{}}
	mux := http.NewServeMux()
	mux.Handle("/", Handler())
	mux.HandleFunc("GET /ws/chat/{room}/", s.serveRoom)
	mux.HandleFunc("POST /origin-check", s.serveOriginCheck)
	s.Server = httptest.NewUnstartedServer(mux)
	s.Config.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, conn)
	}
	s.Start()
	t.Cleanup(func() {
		s.cut("")
		s.Close()
	})
	return s
}

// serveOriginCheck answers whether pages of the request's origin may connect: 204 if they may, or 403 with the reason in the
// first line of the body.
func (s *roomServer) serveOriginCheck(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	origin := r.Header.Get("Origin")
	if !s.forbidden(origin) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	http.Error(w, fmt.Sprintf("the page's origin `%s` is not allowed: add it with --origins=%s\nsecond line", origin, origin), http.StatusForbidden)
}

func (s *roomServer) forbidden(origin string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return origin == s.foreign
}

// forbid makes the server refuse the handshakes of pages from this origin; "" forbids none.
func (s *roomServer) forbid(origin string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.foreign = origin
}

func (s *roomServer) serveRoom(w http.ResponseWriter, r *http.Request) {
	if s.forbidden(r.Header.Get("Origin")) {
		http.Error(w, "foreign origin", http.StatusForbidden)
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(64 << 10)
	tcp, _ := r.Context().Value(connKey{}).(*net.TCPConn)
	m := &member{room: r.PathValue("room"), conn: conn, tcp: tcp}
	s.mu.Lock()
	s.members[m] = struct{}{}
	s.joins[m.room]++
	refusal := s.refusal
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.members, m)
	}()
	if refusal != nil {
		_ = conn.Close(refusal.Code, refusal.Reason)
		return
	}
	for {
		// The request's context would end when the server is stopped at the end of a test, and the page must not take that for a
		// kick.
		_, frame, err := conn.Read(context.Background())
		if err != nil {
			return
		}
		s.handle(m, frame)
	}
}

func (s *roomServer) handle(m *member, frame []byte) {
	if string(frame) == `"heartbeat"` {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.beats[m.room]++
		return
	}
	var envelope struct {
		Message json.RawMessage `json:"message"`
	}
	if err := json.Unmarshal(frame, &envelope); err != nil || envelope.Message == nil {
		_ = m.conn.Close(4500, "bad_frame: not a message")
		return
	}
	s.publish(m.room, string(envelope.Message))
}

// publish sends a value, given as JSON, to all members of the room. The lock gives the room its single order.
func (s *roomServer) publish(room, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for m := range s.members {
		if m.room == room {
			_ = m.conn.Write(context.Background(), websocket.MessageText, []byte(`{"message":`+value+`}`))
		}
	}
}

// close ends the connections of a room with a close code.
func (s *roomServer) close(room string, code websocket.StatusCode, reason string) {
	for _, m := range s.in(room) {
		_ = m.conn.Close(code, reason)
	}
}

// cut resets the TCP connections of a room, or of all rooms if room is "". Without a closing handshake the peer sees code 1006.
func (s *roomServer) cut(room string) {
	for _, m := range s.in(room) {
		_ = m.tcp.SetLinger(0)
		_ = m.tcp.Close()
	}
}

// refuse makes the server close every new connection with code. If code is 0, it closes none.
func (s *roomServer) refuse(code websocket.StatusCode, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = nil
	if code != 0 {
		s.refusal = &websocket.CloseError{Code: code, Reason: reason}
	}
}

func (s *roomServer) in(room string) []*member {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*member
	for m := range s.members {
		if room == "" || m.room == room {
			found = append(found, m)
		}
	}
	return found
}

func (s *roomServer) joined(room string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.joins[room]
}

func (s *roomServer) beaten(room string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.beats[room]
}
