package server

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"
)

// Requests in the forms in which real proxies and clients other than browsers send them.

// exchange sends a request and returns the answer. It checks that the server then closes.
func (s *testServer) exchange(t *testing.T, request string) (head *http.Response, body string) {
	t.Helper()
	w := s.dial(t)
	w.write(request)
	method, _, _ := strings.Cut(strings.TrimLeft(request, "\r\n"), " ")
	r, err := http.ReadResponse(w.r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	w.closed()
	return r, string(text)
}

func TestPlainRequestsOfHTTP10AreAnswered(t *testing.T) {
	s := startServer(t, nil)
	for request, want := range map[string]string{
		"GET /healthz HTTP/1.0\r\n\r\n":                                      "ok\n",
		"GET /healthz HTTP/1.0\r\nHost: a.example\r\n\r\n":                   "ok\n",
		"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n":            "ok\n",
		"GET / HTTP/1.0\r\nHost: backend\r\nConnection: close\r\n\r\n":       "<!doctype html>",
		"\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n":               "ok\n",
		"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n":   "ok\n",
		"GET http://a.example/healthz?x HTTP/1.1\r\nHost: b.example\r\n\r\n": "ok\n",
	} {
		if r, body := s.exchange(t, request); r.StatusCode != 200 || !strings.HasPrefix(strings.ToLower(body), want) || !r.Close {
			t.Errorf("%q: HTTP %d, close %v, %.40q; want 200, the end, and %q", request, r.StatusCode, r.Close, body, want)
		}
	}
}

// nginx with only proxy_pass sends HTTP/1.0, without Upgrade, and with its own name as Host. If proxy_http_version is set, too,
// nginx sends HTTP/1.1.
func TestAHandshakeThatAProxyHasSpoiltIsToldWhatTheProxyNeeds(t *testing.T) {
	s := startServer(t, nil)
	for _, request := range []string{
		"GET /ws/chat/a/ HTTP/1.0\r\nHost: backend\r\nConnection: close\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		"GET /ws/chat/a/ HTTP/1.1\r\nHost: backend\r\nConnection: close\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		"GET /ws/chat/a/ HTTP/1.1\r\nHost: backend\r\nConnection: close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		strings.Replace(upgradeRequest("/ws/chat/a/"), "HTTP/1.1", "HTTP/1.0", 1),
	} {
		r, body := s.exchange(t, request)
		for _, line := range []string{"proxy_http_version 1.1;", "proxy_set_header Upgrade $http_upgrade;", `proxy_set_header Connection "upgrade";`, "proxy_set_header Host $http_host;"} {
			if r.StatusCode != 400 || !strings.Contains(body, line) {
				t.Errorf("%.60q: HTTP %d %q, want 400 with %s", request, r.StatusCode, body, line)
			}
		}
	}
}

// The authority in an absolute target replaces Host (RFC 9112 section 3.2.2), also in the check of the Origin.
func TestTheAuthorityOfTheTargetIsWhatTheOriginIsComparedWith(t *testing.T) {
	s := startServer(t, nil)
	for _, row := range []struct {
		authority, host, origin string
		status                  int
	}{
		{"localhost", "localhost", "http://localhost", 101},
		{"localhost:8000", "evil.example", "http://localhost:8000", 101},
		{"localhost:8000", "evil.example", "http://evil.example", 403},
		{"evil.example", "localhost", "http://localhost", 403},
		{"evil.example", "localhost", "http://evil.example", 403},
		{"127.0.0.1:1", "evil.example", "", 101},
	} {
		request := upgradeRequest("http://"+row.authority+"/ws/chat/absolute/", "Origin: "+row.origin)
		request = strings.Replace(request, "Host: localhost", "Host: "+row.host, 1)
		w := s.dial(t)
		w.write(request)
		if status := w.response().StatusCode; status != row.status {
			t.Errorf("target %s, Host %s, Origin %q: HTTP %d, want %d", row.authority, row.host, row.origin, status, row.status)
		}
		if row.status == 101 {
			w.say("served")
			w.hears("served")
		}
		w.Close()
	}
}

func TestHEADHasTheLengthOfGET(t *testing.T) {
	s := startServer(t, nil)
	for _, path := range []string{"/", "/client.js", "/healthz", "/nowhere", "/ws/chat/a/", "/ws/chat/%00/"} {
		request := func(method string) string { return method + " " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n" }
		get, body := s.exchange(t, request("GET"))
		head, nothing := s.exchange(t, request("HEAD"))
		if strings.HasPrefix(path, "/ws/") { // methods other than GET are refused in rooms
			if head.StatusCode != 405 || head.ContentLength < 1 || nothing != "" {
				t.Errorf("HEAD %s: HTTP %d, length %d, %q, want 405, a length and no body", path, head.StatusCode, head.ContentLength, nothing)
			}
			continue
		}
		if head.StatusCode != get.StatusCode || head.ContentLength != get.ContentLength || head.ContentLength != int64(len(body)) || nothing != "" {
			t.Errorf("HEAD %s: HTTP %d, length %d, %q; GET has %d and %d", path, head.StatusCode, head.ContentLength, nothing, get.StatusCode, get.ContentLength)
		}
	}
}

func TestLargeHeadsAreServedUpToTheSetting(t *testing.T) {
	for _, limit := range []ByteSize{16 * KiB, 32 * KiB} {
		s := startServer(t, func(cfg *Config) { cfg.MaxHeader = limit })
		for size, want := range map[int]int{12 << 10: 101, int(limit) - 300: 101, int(limit): 431} {
			w := s.dial(t)
			w.write(upgradeRequest("/ws/chat/cookies/", "Cookie: session="+strings.Repeat("c", size)))
			if status := w.response().StatusCode; status != want {
				t.Errorf("--max-header=%v: a cookie of %d bytes: HTTP %d, want %d", limit, size, status, want)
			}
			w.Close()
		}
		fields := make([]string, 94) // the handshake adds six more
		for i := range fields {
			fields[i] = fmt.Sprintf("X-Field-%d: x", i)
		}
		w := s.dial(t)
		w.write(upgradeRequest("/ws/chat/fields/", fields...))
		if status := w.response().StatusCode; status != 101 {
			t.Errorf("99 fields: HTTP %d, want 101", status)
		}
	}
}

// A head that arrives byte by byte takes memory until it is complete or its time is over. The memory must stay within the limit,
// and the metric must show it.
func TestDrippingHeadsAreCountedAndBounded(t *testing.T) {
	const heads, size = 200, 15 << 10
	s := startServer(t, func(cfg *Config) { cfg.HandshakeTimeout = time.Hour })
	input := func() (n int64) { return s.stats().UnparsedBytes }
	before := heapInUse()
	for range heads {
		w := s.dial(t)
		w.write("GET / HTTP/1.1\r\nHost: localhost\r\nCookie: " + strings.Repeat("c", size/2))
		w.write(strings.Repeat("c", size/2))
	}
	eventually(t, "all heads are read", func() bool { return input() >= heads*size })
	if grown, limit := heapInUse()-before, int64(heads*(2*16<<10)); grown > limit {
		t.Errorf("%d heads of %d bytes hold %d bytes, want at most %d", heads, size, grown, limit)
	}
	if got, limit := input(), int64(heads*16<<10); got > limit {
		t.Errorf("counted %d bytes, want at most %d", got, limit)
	}
	_ = s.get(t, "/metrics")
}

func TestASubprotocolIsChosenOfThoseOffered(t *testing.T) {
	s := startServer(t, func(cfg *Config) { cfg.Subprotocols = []string{"chat", "mqtt"} })
	for _, row := range []struct {
		path    string
		offered []string
		status  int
		chosen  string
	}{
		{"/ws/chat/a/", nil, 101, ""},
		{"/ws/chat/a/", []string{"dots.v1"}, 101, "dots.v1"},
		{"/ws/chat/a/", []string{"chat, dots.v1"}, 101, "dots.v1"},
		{"/ws/chat/a/", []string{"dots.v2, dots.v1"}, 101, "dots.v1"},
		{"/ws/chat/a/", []string{"dots.v2", "dots.v1"}, 101, "dots.v1"},
		{"/ws/chat/a/", []string{"dots.v2"}, 101, "dots.v2"},
		{"/ws/chat/a/", []string{"dots.v2, chat"}, 101, "dots.v2"},
		{"/ws/chat/a/?v=2", []string{"dots.v1"}, 101, ""},
		{"/ws/chat/a/?v=2", []string{"dots.v1, dots.v2"}, 101, "dots.v2"},
		{"/ws/chat/a/?v=1", []string{"dots.v2"}, 400, ""},
		{"/ws/chat/a/", []string{"unknown, chat"}, 101, "chat"},
		{"/ws/chat/a/", []string{"unknown"}, 101, ""},
		{"/ws/chat/a/", []string{"Dots.V1"}, 101, ""}, // subprotocol names are compared byte by byte
		{"/ws/raw/a/", []string{"dots.v1"}, 101, ""},  // raw rooms have no JSON, so the server does not choose its own subprotocol there
		{"/ws/raw/a/", []string{"chat"}, 101, "chat"},
		{"/ws/raw/a/", []string{"mqtt"}, 101, "mqtt"}, // the operator's setting is enough in a raw room
	} {
		var lines []string
		for _, field := range row.offered {
			lines = append(lines, "Sec-WebSocket-Protocol: "+field)
		}
		w := s.dial(t)
		w.write(upgradeRequest(row.path, lines...))
		r := w.response()
		if got := r.Header.Get("Sec-WebSocket-Protocol"); r.StatusCode != row.status || got != row.chosen {
			t.Errorf("%s offers %q: HTTP %d with %q, want %d with %q", row.path, row.offered, r.StatusCode, got, row.status, row.chosen)
		}
		w.Close()
	}
}

func TestClientsOfOtherSystemsAreToldAtOnce(t *testing.T) {
	s := startServer(t, nil)
	for _, row := range []struct{ path, subprotocol, want string }{
		{"/ws/chat/a/?EIO=4&transport=websocket", "", "Socket.IO"},
		{"/socket.io/?EIO=4&transport=websocket", "", "Socket.IO"},
		{"/ws/chat/websocket?vsn=2.0.0", "", "Phoenix"},
		{"/ws/chat/a/websocket?vsn=2.0.0", "", "Phoenix"},
		{"/app/key?protocol=7&client=js&version=8.4.0&flash=false", "", "Pusher"},
		{"/ws/chat/a/", "graphql-transport-ws", "GraphQL"},
		{"/ws/chat/a/", "graphql-ws", "GraphQL"},
		{"/ws/raw/a/", "v12.stomp, v11.stomp", "STOMP"},
		{"/ws/raw/a/", "mqtt", "MQTT"},
	} {
		var lines []string
		if row.subprotocol != "" {
			lines = append(lines, "Sec-WebSocket-Protocol: "+row.subprotocol)
		}
		if r, body := s.exchange(t, upgradeRequest(row.path, lines...)); r.StatusCode != 400 || !strings.Contains(body, row.want) ||
			strings.Contains(body, "--subprotocols") != (row.subprotocol != "") { // the advice is only for a client that offers a subprotocol
			t.Errorf("%s %s: HTTP %d %q, want 400 with %q", row.path, row.subprotocol, r.StatusCode, body, row.want)
		}
	}
	for _, path := range []string{"/ws/chat/a/?EIO=4", "/ws/chat/a/?transport=websocket", "/ws/chat/a/?vsn=2.0.0", "/ws/chat/websocket", "/ws/chat/a/?protocol=7&client=js"} {
		s.join(t, path) // one sign of a foreign client alone does not count
	}
}

// okhttp, .NET and Java keep a connection alive only by answering pings.
func TestUnderAnyLifeAClientThatOnlyAnswersPingsStays(t *testing.T) {
	s := startServer(t, func(cfg *Config) { cfg.MaxAge, cfg.ChatLife = 600*time.Millisecond, "any" })
	w := s.join(t, "/ws/chat/a/")
	for range 6 { // this takes twice the maximum age
		op, payload, err := w.next()
		if err != nil || op != 9 {
			t.Fatalf("got opcode %d %q, %v, want a ping", op, payload, err)
		}
		w.write(string(frame(10, true, payload)))
	}
	w.say("still here")
	for op, payload, err := w.next(); op != 1; op, payload, err = w.next() {
		if err != nil || op != 9 {
			t.Fatalf("got opcode %d %q, %v, want the message", op, payload, err)
		}
	}
	silent := s.join(t, "/ws/chat/a/")
	for {
		op, payload, err := silent.next()
		if err != nil {
			t.Fatal(err)
		}
		if op == 8 {
			if code := int(payload[0])<<8 | int(payload[1]); code != 4100 {
				t.Errorf("a client that answers no pings was closed with %d, want 4100", code)
			}
			break
		}
	}
	quiet := startServer(t, func(cfg *Config) { cfg.MaxAge = 600 * time.Millisecond }).join(t, "/ws/chat/a/")
	if op, payload, err := quiet.next(); err != nil || op != 8 { // by default there are no pings, so 4100 comes
		t.Errorf("got opcode %d %q, %v, want a close frame and no ping", op, payload, err)
	}
}

func TestReadinessIsOnTheClientAddressIfTheSettingSaysSo(t *testing.T) {
	request := "GET /readyz HTTP/1.0\r\nHost: www.example.org\r\n\r\n"
	if r, body := startServer(t, nil).exchange(t, request); r.StatusCode != 404 || !strings.Contains(body, "--public-readyz") {
		t.Errorf("by default: HTTP %d %q, want 404 that names the setting", r.StatusCode, body)
	}
	s := startServer(t, func(cfg *Config) { cfg.PublicReadyz = true })
	if r, body := s.exchange(t, request); r.StatusCode != 200 || body != "ready\n" {
		t.Errorf("HTTP %d %q, want 200", r.StatusCode, body)
	}
	s.phase.Store(phaseDraining)
	if r, body := s.exchange(t, request); r.StatusCode != 503 || body != "draining\n" {
		t.Errorf("while draining: HTTP %d %q, want 503 and why", r.StatusCode, body)
	}
}

func TestAPageIsToldWhetherItMayConnect(t *testing.T) {
	s := startServer(t, func(cfg *Config) { cfg.Origins = []string{"https://app.example.org"} })
	for _, row := range []struct {
		host, origin string
		status       int
	}{
		{"localhost", "http://localhost", 204},
		{"localhost", "https://app.example.org", 204},
		{"rebound.example", "http://rebound.example", 403},
		{"localhost", "http://localhost:5173", 403}, // a development server on another port
		{"localhost", "null", 403},
		{"localhost", "", 204},
	} {
		r, body := s.exchange(t, "POST /origin-check HTTP/1.1\r\nHost: "+row.host+"\r\nOrigin: "+row.origin+"\r\nContent-Length: 0\r\n\r\n")
		if r.StatusCode != row.status {
			t.Errorf("Host %s, Origin %q: HTTP %d, want %d", row.host, row.origin, r.StatusCode, row.status)
		}
		if row.status == 403 && (!strings.Contains(body, "--origins="+row.origin) || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain")) {
			t.Errorf("got %q (%s), want a text with --origins=%s", body, r.Header.Get("Content-Type"), row.origin)
		}
	}
	if r, _ := s.exchange(t, "GET /origin-check HTTP/1.1\r\nHost: localhost\r\n\r\n"); r.StatusCode != 404 {
		t.Errorf("GET: HTTP %d, want 404", r.StatusCode)
	}
}

// At debug level each connection has its lines. At info level only a page that is refused for its origin has one.
func TestTheLogTellsOfConnections(t *testing.T) {
	s := startLogging(t, zapcore.DebugLevel, nil, nil)
	w := s.dial(t)
	w.write(upgradeRequest("/ws/chat/lobby/", "Origin: http://localhost", "Sec-WebSocket-Protocol: dots.v1, other"))
	w.response()
	line := func(message string) map[string]any {
		t.Helper()
		eventually(t, "a line "+message, func() bool { return s.logs.FilterMessage(message).Len() > 0 })
		return s.logs.FilterMessage(message).All()[0].ContextMap()
	}
	opened := line("connection opened")
	if opened["room"] != "chat/lobby" || opened["remote"] != w.LocalAddr().String() || opened["origin"] != "http://localhost" || opened["host"] != "localhost" ||
		opened["subprotocols"] != "dots.v1, other" || opened["subprotocol"] != "dots.v1" || len(fmt.Sprint(opened["connection"])) != 16 {
		t.Errorf("opened: %v", opened)
	}
	w.Close()
	if ended := line("connection ended"); ended["code"] != int64(1006) || ended["room"] != "chat/lobby" || ended["connection"] != opened["connection"] ||
		ended["remote"] != opened["remote"] && ended["remote"] != "" { // the address is unknown if the peer has already gone
		t.Errorf("ended: %v", ended)
	}
	w = s.dial(t)
	w.write(upgradeRequest("/ws/chat/lobby/", "Origin: https://chat.example.org"))
	if status, text := w.refused(); status != 403 || !strings.Contains(text, `"https://chat.example.org"`) || !strings.Contains(text, "--origins=https://chat.example.org") {
		t.Errorf("HTTP %d %q, want 403 that names the origin and the setting", status, text)
	}
	if refused := line("page refused because of its origin"); refused["origin"] != "https://chat.example.org" || refused["host"] != "localhost" ||
		!strings.Contains(fmt.Sprint(refused["advice"]), "--origins=https://chat.example.org") || refused["remote"] != w.LocalAddr().String() {
		t.Errorf("refused by origin: %v", refused)
	}
	w = s.join(t, "/ws/chat/lobby/")
	w.text("nonsense")
	w.endsWith(4500)
	if bad := s.logs.FilterMessage("client sent a bad message").FilterLevelExact(zapcore.InfoLevel); bad.Len() != 1 || bad.All()[0].ContextMap()["code"] != int64(4500) {
		t.Errorf("bad message: %v", bad.All())
	}
	w = s.dial(t)
	w.write("GET /ws/chat/%00/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
	_, _ = w.refused()
	if refused := line("request refused"); fmt.Sprint(refused["status"]) == "" || refused["remote"] == "" {
		t.Errorf("refused: %v", refused)
	}
}
