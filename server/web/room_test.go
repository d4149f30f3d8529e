package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
)

// roomServer serves the page, and the part of protocol version 2 that the page's tests need: it relays messages with ids, keeps
// them for clients that come back, counts heartbeats, and ends connections as a test asks.
type roomServer struct {
	*httptest.Server

	mu      sync.Mutex
	members map[*member]struct{} // guarded by mu
	refusal *websocket.CloseError
	foreign string              // pages of this origin may not connect; guarded by mu
	history map[string][]string // the frames of each room's messages, the first one with id 1; guarded by mu
	forgot  map[string]int      // by room: the number of messages that clients cannot get any more; guarded by mu
	beats   map[string]int      // heartbeats by room, guarded by mu
	joins   map[string]int      // number of connections made so far, by room; guarded by mu
	asked   atomic.Int64        // number of requests of /origin-check
}

type member struct {
	room, me string
	conn     *websocket.Conn
	tcp      *net.TCPConn
}

type connKey struct{}

func startRoomServer(t *testing.T) *roomServer {
	t.Helper()
	s := &roomServer{members: map[*member]struct{}{}, history: map[string][]string{}, forgot: map[string]int{}, beats: map[string]int{}, joins: map[string]int{}}
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
	if refusal := s.enter(m, r.URL.Query().Get("since"), r.URL.Query().Has("was")); refusal != nil {
		_ = conn.Close(refusal.Code, refusal.Reason)
		return
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.members, m)
	}()
	for {
		// The request's context would end when the server is stopped at the end of a test, and the page must not take that for a
		// kick.
		_, frame, err := conn.Read(context.Background())
		if err != nil {
			return
		}
		s.handle(m, string(frame))
	}
}

// enter makes m a member, and sends the messages after the position since. If the server takes no members, enter returns the
// reason.
func (s *roomServer) enter(m *member, since string, was bool) (refusal *websocket.CloseError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.joins[m.room]++
	if s.refusal != nil {
		return s.refusal
	}
	s.members[m] = struct{}{}
	count := 0
	for other := range s.members {
		if other.room == m.room {
			count++
		}
	}
	m.me = fmt.Sprintf("me-%05d", s.joins[m.room])
	history := s.history[m.room]
	at, resumed := len(history), ""
	if since != "" {
		var n int
		_, err := fmt.Sscanf(since, "%016d", &n)
		ok := err == nil && n >= s.forgot[m.room] && n <= len(history)
		if ok {
			at = n
		}
		resumed = fmt.Sprintf(`,"resumed":%t`, ok)
	}
	m.write(fmt.Sprintf(`{"event":"open","v":2,"id":"%016d","me":%q,"key":"0123456789abcdef","heartbeat":20,"max_age":60%s,"count":%d}`, at, m.me, resumed, count))
	for _, frame := range history[at:] {
		m.write(frame)
	}
	if since != "" {
		m.write(fmt.Sprintf(`{"event":"live","id":"%016d","fenced":%t}`, len(history), was))
	}
	return nil
}

func (s *roomServer) handle(m *member, frame string) {
	if frame == `"heartbeat"` {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.beats[m.room]++
		m.write(fmt.Sprintf(`{"event":"heartbeat","id":"%016d"}`, len(s.history[m.room])))
		return
	}
	var request struct {
		Message json.RawMessage `json:"message"`
		Ref     int             `json:"ref"`
	}
	if err := json.Unmarshal([]byte(frame), &request); err != nil || request.Message == nil || request.Ref == 0 {
		_ = m.conn.Close(4500, "bad_frame: not a message with a ref")
		return
	}
	if strings.Contains(frame, "please refuse this") {
		m.write(fmt.Sprintf(`{"error":{"code":4104,"name":"backend_unavailable","text":"no backend"},"ref":%d}`, request.Ref))
		return
	}
	s.say(m.room, fmt.Sprintf(`"from":%q,"ref":%d,"message":%s`, m.me, request.Ref, request.Message))
	m.write(fmt.Sprintf(`{"event":"ack","ref":%d}`, request.Ref))
}

func (m *member) write(frame string) {
	_ = m.conn.Write(context.Background(), websocket.MessageText, []byte(frame))
}

// publish sends a value, given as JSON, to all members of the room.
func (s *roomServer) publish(room, value string) { s.say(room, `"message":`+value) }

// say sends a message with the next id of the room. The lock gives the room its single order.
func (s *roomServer) say(room, keys string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	frame := fmt.Sprintf(`{"id":"%016d",%s}`, len(s.history[room])+1, keys)
	s.history[room] = append(s.history[room], frame)
	s.writeTo(room, frame)
}

// tell sends an event, given as JSON, to all members of the room.
func (s *roomServer) tell(room, event string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeTo(room, event)
}

// writeTo needs s.mu.
func (s *roomServer) writeTo(room, frame string) {
	for m := range s.members {
		if m.room == room {
			m.write(frame)
		}
	}
}

// forget makes the server unable to resume clients of the room from the positions that they have now.
func (s *roomServer) forget(room string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgot[room] = len(s.history[room]) + 1
	s.history[room] = append(s.history[room], "")
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
