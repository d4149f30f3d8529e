package server

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"dotsconnect/loop"
)

func open(cfg *Config) { cfg.Publish = "open" }

// postOf returns a POST with a body.
func postOf(path, body string, lines ...string) string {
	return requestFor("POST", path, append(lines, fmt.Sprintf("Content-Length: %d", len(body)))...) + body
}

// answer reads one answer of a connection that stays open.
func (w *wire) answer() (status int, body string, head http.Header) {
	w.t.Helper()
	r := w.response()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Fatalf("read the answer: %v", err)
	}
	return r.StatusCode, strings.TrimSuffix(string(text), "\n"), r.Header
}

// idIn returns the id in the answer to a POST that was published.
func idIn(t *testing.T, status int, body string) string {
	t.Helper()
	var a struct{ ID string }
	if err := json.Unmarshal([]byte(body), &a); err != nil || status != 200 || len(a.ID) != 16 || body != `{"id":"`+a.ID+`"}` {
		t.Fatalf("HTTP %d %s, want 200 with an id", status, body)
	}
	return a.ID
}

func TestAPostIsAMessageWithTheIDOfItsAnswer(t *testing.T) {
	s := startLogging(t, zapcore.DebugLevel, nil, open)
	one, two := s.join(t, "/ws/chat/lobby/"), s.join2(t, "")
	stream, _ := s.follow(t, "/sse/chat/lobby/")
	w := s.dial(t)
	for _, body := range []string{`"hello"`, ` {"a":1.50, "b":[]} `, "7", "null", `"` + strings.Repeat("x", 50_000) + `"`} {
		w.write(postOf("/chat/lobby/", body, "Content-Type: text/plain"))
		status, text, head := w.answer()
		id, value := idIn(t, status, text), strings.TrimSpace(body)
		if head.Get("Cache-Control") != "no-store" || head.Get("Content-Type") != "application/json" || head.Get("Keep-Alive") != "timeout=5" {
			t.Errorf("answered with %v", head)
		}
		if got := one.message(); got != `{"message":`+value+`}` {
			t.Errorf("version 1 got %.100s", got)
		}
		if o := two.read(); o.ID != id || o.From != "" {
			t.Errorf("version 2 got %.100v, want the id %s", o, id)
		}
		if got := stream.event(); got != `{"id":"`+id+`","message":`+value+`}` {
			t.Errorf("the stream got %.100s", got)
		}
	}
	w.write(postOf("/chat/nobody/is/there", "1")) // no such address; and the connection ends
	if r := w.response(); r.StatusCode != 400 && r.StatusCode != 404 {
		t.Errorf("HTTP %d", r.StatusCode)
	}
	alone := s.dial(t)
	alone.write(postOf("/chat/empty", "1"))
	status, text, _ := alone.answer()
	idIn(t, status, text)
	alone.write(postOf("/chat/empty", "1", "Idempotency-Key: k"))
	alone.answer()
	m := s.scrape(t)
	if m["dots_posts_total"] != "7" || m["dots_event_streams_total"] != "1" || m["dots_idempotency_keys"] != "1" {
		t.Errorf("counted %s posts, %s streams and %s keys, want 7, 1 and 1", m["dots_posts_total"], m["dots_event_streams_total"], m["dots_idempotency_keys"])
	}
	if lines := s.logs.FilterMessage("message published by POST"); lines.Len() != 7 || lines.All()[0].ContextMap()["room"] != "chat/lobby" {
		t.Errorf("logged %v", lines.All())
	}
}

// The answer of a room without members has an id of the same order.
func TestWhatWasPostedBeforeAReaderCameIsInTheHistory(t *testing.T) {
	s := startServer(t, open)
	s.join2(t, "") // from the first client of version 2 on, messages are kept
	w := s.dial(t)
	var ids []string
	for i := range 3 {
		w.write(postOf("/chat/quiet/", fmt.Sprintf(`"%d"`, i)))
		status, body, _ := w.answer()
		ids = append(ids, idIn(t, status, body))
	}
	r, _ := s.follow(t, "/sse/chat/quiet/?since="+ids[0])
	r.hears("1")
	r.hears("2")
	if r.lastID != ids[2] {
		t.Errorf("the last event has the id %s, want %s", r.lastID, ids[2])
	}
}

func TestPostsThatCannotBeServedAreToldWhy(t *testing.T) {
	off, on := startServer(t, nil), startServer(t, open)
	for _, row := range []struct {
		s       *testServer
		request string
		status  int
		text    string
	}{
		{off, postOf("/chat/lobby/", "1"), 403, "--publish=open"},
		{on, postOf("/chat/lobby/", ""), 400, "one JSON value"},
		{on, requestFor("POST", "/chat/lobby/"), 400, "one JSON value"},
		{on, postOf("/chat/lobby/", "{"), 400, "ends too early"},
		{on, postOf("/chat/lobby/", "1 2"), 400, "after the JSON value"},
		{on, postOf("/chat/lobby/", "NaN"), 400, "NaN"},
		{on, postOf("/chat/lobby/", "\xff"), 400, "not JSON"},
		{on, postOf("/chat/lobby/", strings.Repeat("[", 129)+strings.Repeat("]", 129)), 400, "128 levels"},
		{on, postOf("/chat/%00/", "1"), 400, "control"},
		{on, postOf("/chat/", "1"), 400, "empty"},
		{on, postOf("/chat/lobby/", "1", "Expect: a miracle"), 417, "100-continue"},
		{on, postOf("/chat/lobby/", "1", "Idempotency-Key: "), 400, "Idempotency-Key"},
		{on, postOf("/chat/lobby/", "1", "Idempotency-Key: a", "Idempotency-Key: a"), 400, "Idempotency-Key"},
		{on, postOf("/chat/lobby/", "1", "Idempotency-Key: "+strings.Repeat("k", 256)), 400, "Idempotency-Key"},
		{on, requestFor("POST", "/chat/lobby/", "Content-Length: 99999999999999999"), 413, "--max-message"},
		{on, postOf("/chat/lobby/", strings.Repeat(" ", 64<<10)), 413, "65524 bytes"},
		{on, requestFor("GET", "/chat/lobby/"), 405, "POST"},
		{on, requestFor("HEAD", "/chat/lobby/"), 405, ""},
		{on, requestFor("DELETE", "/chat/lobby/"), 405, "POST"},
	} {
		w := row.s.dial(t)
		w.write(row.request)
		method, _, _ := strings.Cut(row.request, " ")
		r, err := http.ReadResponse(w.r, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%.60q: %v", row.request, err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		var e struct {
			Error struct {
				Code       int
				Name, Text string
			}
		}
		if method != "HEAD" && (json.Unmarshal(body, &e) != nil || e.Error.Code == 0 || e.Error.Name == "") {
			t.Errorf("%.60q: %s is not an error object", row.request, body)
		}
		if r.StatusCode != row.status || !strings.Contains(e.Error.Text, row.text) || (row.status == 405) != (r.Header.Get("Allow") == "POST, OPTIONS") {
			t.Errorf("%.60q: HTTP %d %s, want %d with %q", row.request, r.StatusCode, body, row.status, row.text)
		}
		_ = w.Close()
	}
}

// The largest X of a WebSocket message is also the largest body.
func TestABodyOfExactlyTheLimitIsPublished(t *testing.T) {
	s := startServer(t, func(c *Config) { open(c); c.MaxMessage = 1000 })
	by := s.join(t, "/ws/chat/lobby/")
	x := `"` + strings.Repeat("x", 1000-len(`{"message":}`)-2) + `"`
	w := s.dial(t)
	w.write(postOf("/chat/lobby/", x))
	status, body, _ := w.answer()
	idIn(t, status, body)
	by.text(`{"message":` + x + `}`)
	for range 2 {
		if got := by.message(); got != `{"message":`+x+`}` {
			t.Errorf("got %d bytes", len(got))
		}
	}
}

// A connection takes one request after the other, also if they come at once, and a handshake at its end.
func TestAConnectionServesManyPosts(t *testing.T) {
	s := startServer(t, open)
	by := s.join(t, "/ws/chat/lobby/")
	w := s.dial(t)
	const many = 200 // more than a connection may have parsed in one turn
	var all strings.Builder
	for i := range many {
		all.WriteString(postOf("/chat/lobby/", fmt.Sprintf(`"%d"`, i)))
	}
	all.WriteString(upgradeRequest("/ws/chat/lobby/") + textFrame(`{"message":"at last"}`))
	go func() { _, _ = io.WriteString(w.Conn, all.String()) }()
	last := ""
	for range many {
		status, body, _ := w.answer()
		id := idIn(t, status, body)
		if id <= last {
			t.Fatalf("%s comes behind %s", id, last)
		}
		last = id
	}
	if status := w.response().StatusCode; status != 101 {
		t.Fatalf("HTTP %d, want 101", status)
	}
	w.hears("at last")
	for i := range many {
		by.hears(fmt.Sprint(i))
	}
	by.hears("at last")
}

func TestAConnectionEndsAfterAPostIfItsClientSaysSo(t *testing.T) {
	s := startServer(t, open)
	for _, request := range []string{
		postOf("/chat/lobby/", "1", "Connection: close"),
		strings.Replace(postOf("/chat/lobby/", "1"), "HTTP/1.1", "HTTP/1.0", 1),
	} {
		head, body := s.exchange(t, request)
		idIn(t, head.StatusCode, strings.TrimSuffix(body, "\n"))
		if !head.Close {
			t.Errorf("%q: the answer does not say that the connection ends", request)
		}
	}
	w := s.dial(t) // a client that sends FIN behind its request gets its answer
	w.write(postOf("/chat/lobby/", "1"))
	w.finish()
	status, body, _ := w.answer()
	idIn(t, status, body)
}

func TestAClientThatAsksFirstIsToldToContinue(t *testing.T) {
	s := startServer(t, open)
	w := s.dial(t)
	for range 2 {
		w.write(requestFor("POST", "/chat/lobby/", "Content-Length: 5", "Expect: 100-continue"))
		if status := w.response().StatusCode; status != http.StatusContinue {
			t.Fatalf("HTTP %d, want 100", status)
		}
		w.write(`"abc"`)
		status, body, _ := w.answer()
		idIn(t, status, body)
	}
}

func TestAnIdleConnectionEndsWithoutAnAnswer(t *testing.T) {
	s := startServer(t, func(c *Config) { open(c); c.HandshakeTimeout = 300 * time.Millisecond })
	w := s.dial(t)
	w.write(postOf("/chat/lobby/", "1"))
	status, body, _ := w.answer()
	idIn(t, status, body)
	w.closed()

	w = s.dial(t)
	w.write(postOf("/chat/lobby/", "1"))
	w.answer()
	w.write("POST /chat/lobby/ HT") // it is not idle any more
	if status, text := w.refused(); status != http.StatusRequestTimeout {
		t.Errorf("HTTP %d %q, want 408", status, text)
	}
}

func TestADrainEndsIdleConnectionsAndAnswersTheOthers(t *testing.T) {
	s := startServer(t, open)
	idle, busy := s.dial(t), s.dial(t)
	idle.write(postOf("/chat/lobby/", "1"))
	idle.answer()
	busy.write(requestFor("POST", "/chat/lobby/", "Content-Length: 5") + "1")
	eventually(t, "the head is read", func() bool { return s.phaseOf(t, busy) == phaseBody })
	if err := s.Drain(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	idle.closed()
	if status, text := busy.refused(); status != 503 || !strings.Contains(text, `"code":4200`) {
		t.Errorf("HTTP %d %s, want 503 with the code 4200", status, text)
	}
}

// phaseOf returns the phase of a client's session.
func (s *testServer) phaseOf(t *testing.T, w *wire) (p phase) {
	t.Helper()
	for _, l := range s.node.Loops() {
		_, _ = onLoop(t, l, func(l *loop.Loop) (struct{}, error) {
			for i := range l.Slots() {
				if c := l.Slot(i); c != nil && c.Peer().(*session).remoteAddr() == w.LocalAddr().String() {
					p = c.Peer().(*session).phase
				}
			}
			return struct{}{}, nil
		})
	}
	return p
}

func TestAPostThatTheOtherNodesMayNotGetIsToldSo(t *testing.T) {
	s, f := startWithBackend(t, open)
	w := s.dial(t)
	f.refuses.Store(true)
	w.write(postOf("/chat/lobby/", "1", "Idempotency-Key: k"))
	if status, body, head := w.answer(); status != 503 || head.Get("Retry-After") != "5" || !strings.Contains(body, `"code":4104`) || strings.Contains(body, "maybe") {
		t.Errorf("refused: HTTP %d %s, %v", status, body, head)
	}
	f.refuses.Store(false)
	f.doubts.Store(true)
	for range 2 { // a key remembers that nobody knows
		w.write(postOf("/chat/lobby/", "1", "Idempotency-Key: k"))
		if status, body, _ := w.answer(); status != 503 || !strings.Contains(body, `"maybe":true`) {
			t.Errorf("in doubt: HTTP %d %s", status, body)
		}
	}
	f.doubts.Store(false)
	w.write(postOf("/chat/lobby/", "1", "Idempotency-Key: l"))
	status, body, _ := w.answer()
	idIn(t, status, body)
}

// While Redis is away under --redis-down=local, a message has no place in the order of all nodes.
func TestAPostThatOnlyThisNodeGetsHasNoID(t *testing.T) {
	s, f := startWithBackend(t, open)
	w := s.dial(t)
	stream, _ := s.follow(t, "/sse/chat/lobby/")
	before := stream.lastID
	f.local.Store(true)
	w.write(postOf("/chat/lobby/", `"x"`))
	if status, body, _ := w.answer(); status != 200 || body != `{"scope":"node"}` {
		t.Errorf("HTTP %d %s, want 200 without an id", status, body)
	}
	if got := stream.event(); got != `{"message":"x"}` || stream.lastID != before {
		t.Errorf("got %s with the id %q, want no id", got, stream.lastID)
	}
}

// The answer comes when the bus has decided, also if the connection that asked is gone: the client that comes back with its key gets it.
func TestTheOutcomeIsThatOfTheKeyAndNotOfTheConnection(t *testing.T) {
	s, f := startWithBackend(t, open)
	f.keeps.Store(true)
	request := postOf("/chat/lobby/", `"x"`, "Idempotency-Key: k")
	w := s.dial(t)
	w.write(request)
	eventually(t, "it is with the bus", func() bool { return f.keptCount() == 1 })
	w.reset()
	eventually(t, "the connection is gone", func() bool { return s.connections() == 0 })
	again := s.dial(t)
	again.write(request)
	if status, body, head := again.answer(); status != 503 || head.Get("Retry-After") != "1" || !strings.Contains(body, "still waits") {
		t.Errorf("before the outcome: HTTP %d %s, want 503", status, body)
	}
	f.keeps.Store(false)
	f.release()
	again.write(request)
	status, body, _ := again.answer()
	id := idIn(t, status, body)
	again.write(request)
	if status, body, _ := again.answer(); idIn(t, status, body) != id {
		t.Errorf("got another id than %s: %s", id, body)
	}
}

// A drain waits for the outcome of a message that was accepted.
func TestADrainAnswersAPostThatWaitsForItsPlace(t *testing.T) {
	s, f := startWithBackend(t, open)
	f.keeps.Store(true)
	w := s.dial(t)
	w.write(postOf("/chat/lobby/", `"x"`))
	eventually(t, "it is with the bus", func() bool { return f.keptCount() == 1 })
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(t.Context(), 0) }()
	eventually(t, "the node drains", func() bool { return s.ready() != nil })
	f.release()
	status, body, head := w.answer()
	idIn(t, status, body)
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	t.Logf("answered with %v", head)
}

func TestAPostIntoABusyRoomIsToldToTryAgain(t *testing.T) {
	s, f := startWithBackend(t, func(c *Config) { open(c); c.SoftBacklog = 1 })
	s.join(t, "/ws/chat/lobby/")
	f.keeps.Store(true)
	first, second := s.dial(t), s.dial(t)
	first.write(postOf("/chat/lobby/", `"x"`))
	eventually(t, "it is with the bus", func() bool { return f.keptCount() == 1 })
	second.write(postOf("/chat/lobby/", `"y"`))
	if status, body, head := second.answer(); status != 503 || head.Get("Retry-After") != "1" || !strings.Contains(body, `"code":4102`) {
		t.Errorf("HTTP %d %s, want 503", status, body)
	}
	f.release()
	status, body, _ := first.answer()
	idIn(t, status, body)
}
