package server

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
)

// startWaiting starts a node that waits for its backend, on free ports.
func startWaiting(t *testing.T, change func(*Config)) *Waiting {
	t.Helper()
	cfg := Default()
	cfg.Listen, cfg.Admin, cfg.Loops = "127.0.0.1:0", "127.0.0.1:0", 2
	if change != nil {
		change(&cfg)
	}
	w, err := NewWaiting(cfg, zap.NewNop(), "test", "Redis")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}

const handshakeHead = "GET /ws/chat/lobby/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"

// say sends a request unchanged, and returns the answer, which must be complete.
func say(t testing.TB, address, request string) (*http.Response, string, error) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, "", err
	}
	defer conn.Close()
	if _, err = io.WriteString(conn, request); err != nil {
		return nil, "", err
	}
	method, _, _ := strings.Cut(request, " ")
	answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusSwitchingProtocols {
		return answer, "", nil
	}
	body, err := io.ReadAll(answer.Body)
	return answer, string(body), err
}

// TestWhatANodeAnswersWhileItWaits sends every kind of request to both addresses.
func TestWhatANodeAnswersWhileItWaits(t *testing.T) {
	const token = "secret"
	w := startWaiting(t, func(c *Config) { c.AdminToken, c.PublicReadyz = token, true })
	hidden := startWaiting(t, func(c *Config) { c.Admin = "" })
	if hidden.AdminAddr() != "" {
		t.Errorf("the admin address is off, and %s", hidden.AdminAddr())
	}
	w.Because("redis at x: no")
	w.Because("redis at x: not yet")
	const come = "waiting for Redis: try again later\n"
	get := func(path string, more ...string) string {
		return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + strings.Join(more, "") + "\r\n"
	}
	known := "Authorization: Bearer " + token + "\r\n"
	for _, row := range []struct {
		name, address, request string
		status                 int
		body                   string
	}{
		{"health", w.Addr(), get("/healthz"), 200, "ok\n"},
		{"health by HTTP/1.0", w.Addr(), "GET /healthz HTTP/1.0\r\n\r\n", 200, "ok\n"},
		{"readiness", w.Addr(), get("/readyz"), 503, "waiting for Redis: redis at x: not yet\n"},
		{"readiness, not served here", hidden.Addr(), get("/readyz"), 404, ""},
		{"the page", w.Addr(), get("/"), 503, come},
		{"its head", w.Addr(), strings.Replace(get("/"), "GET", "HEAD", 1), 503, ""},
		{"a handshake", w.Addr(), handshakeHead, 503, come},
		{"a handshake with more after it", w.Addr(), handshakeHead + strings.Repeat("x", 8<<10), 503, come},
		{"a handshake at /healthz", w.Addr(), strings.Replace(handshakeHead, "/ws/chat/lobby/", "/healthz", 1), 503, come},
		{"a room without a handshake", w.Addr(), get("/ws/chat/lobby/"), 503, come},
		{"a body", w.Addr(), "POST /origin-check HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 503, come},
		{"a head that is none", w.Addr(), "what?\r\n\r\n", 400, ""},
		{"too long a head", w.Addr(), get("/", "X: "+strings.Repeat("x", 32<<10)+"\r\n"), 431, ""},
		{"health for the admin", w.AdminAddr(), get("/healthz"), 200, "ok\n"},
		{"readiness for the admin", w.AdminAddr(), get("/readyz"), 503, "waiting for Redis: redis at x: not yet\n"},
		{"metrics without the token", w.AdminAddr(), get("/metrics"), 401, ""},
		{"the API without the token", w.AdminAddr(), get("/api/rooms"), 401, ""},
		{"the API", w.AdminAddr(), get("/api/rooms", known), 503, ""},
		{"a message", w.AdminAddr(), "POST /api/rooms/chat/x/messages HTTP/1.1\r\nHost: x\r\n" + known + "Content-Length: 1\r\n\r\n1", 503, ""},
		{"the API's root", w.AdminAddr(), get("/api", known), 503, ""},
		{"the index", w.AdminAddr(), get("/", known), 200, ""},
		{"profiles", w.AdminAddr(), get("/debug/pprof/goroutine?debug=1", known), 200, ""},
	} {
		answer, body, err := say(t, row.address, row.request)
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		if answer.StatusCode != row.status || row.body != "" && body != row.body {
			t.Errorf("%s: got HTTP %d %q, want %d %q", row.name, answer.StatusCode, body, row.status, row.body)
		}
		if ready := strings.HasPrefix(body, "waiting for Redis: redis"); row.status == 503 && !ready && answer.Header.Get("Retry-After") == "" {
			t.Errorf("%s: 503 without Retry-After: %v", row.name, answer.Header)
		}
		if len(row.request) < 10<<10 && row.status != 400 && answer.StatusCode/100 != 2 && row.status != 404 && answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: a cache may keep it: %v", row.name, answer.Header)
		}
	}
	_, metrics, err := say(t, w.AdminAddr(), get("/metrics", known, "Connection: close\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"dots_ready 0\n", `dots_build_info{goversion="go`, `dots_connections{loop="1"} 0`, `dots_handshakes_refused_total{status="503"} 7`, "dots_http_requests_total 3\n"} {
		if !strings.Contains(metrics, line) {
			t.Errorf("no %q in the metrics", line)
		}
	}
	for _, m := range Metrics() {
		if !strings.Contains(metrics, "\n# TYPE "+m.Name+" ") {
			t.Errorf("%s is not there", m.Name)
		}
	}
	_, body, err := say(t, w.AdminAddr(), get("/api/rooms", known))
	var answer struct{ Error apiError }
	if err != nil || json.Unmarshal([]byte(body), &answer) != nil || answer.Error.Status != 503 {
		t.Errorf("the API answers %q and %v", body, err)
	}
}

// TestIncompleteRequestsTakeNoPlaceWhileItWaits: connections with half a request displace each other, and every whole request must
// get an answer.
func TestIncompleteRequestsTakeNoPlaceWhileItWaits(t *testing.T) {
	w := startWaiting(t, nil)
	var slow []net.Conn
	defer func() {
		for _, c := range slow {
			c.Close()
		}
	}()
	for range mostWaiting + 50 {
		conn, err := net.Dial("tcp", w.Addr())
		if err != nil {
			t.Fatal(err)
		}
		slow = append(slow, conn)
		if _, err := conn.Write([]byte("GET")); err != nil {
			t.Fatal(err)
		}
	}
	if answer, _, err := say(t, w.Addr(), handshakeHead); err != nil || answer.StatusCode != 503 {
		t.Errorf("got %v and %v, want 503", answer, err)
	}
	if n := w.node.counts.full.Load(); n < 50 {
		t.Errorf("%d were closed, want 50 or more", n)
	}
}

// TestNobodyIsLostWhenANodeBegins: clients connect all the time while a node stops waiting and begins, and each must get an
// answer.
func TestNobodyIsLostWhenANodeBegins(t *testing.T) {
	w := startWaiting(t, func(c *Config) { c.PublicReadyz = true })
	const clients = 16
	var refused, taken, alive atomic.Int64
	stop := make(chan struct{})
	var wait sync.WaitGroup
	for i := range clients {
		wait.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				address, request, want := w.Addr(), handshakeHead, &taken
				if i%4 == 0 {
					address, request, want = w.AdminAddr(), "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", &alive
				}
				answer, body, err := say(t, address, request)
				switch {
				case err != nil:
					t.Errorf("no answer: %v", err)
					return
				case answer.StatusCode == 503 && i%4 != 0:
					refused.Add(1)
				case answer.StatusCode == 101 || answer.StatusCode == 200:
					want.Add(1)
				default:
					t.Errorf("got HTTP %d %q", answer.StatusCode, body)
				}
			}
		})
	}
	half, err := net.Dial("tcp", w.Addr()) // a client that has sent half a request must get an answer too
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	fmt.Fprint(half, handshakeHead[:20])
	eventually(t, "they are refused", func() bool { return refused.Load() > 200 && alive.Load() > 50 })
	s, err := NewConnected(w.cfg, zap.NewNop(), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	before := alive.Load()
	if err := s.TakeOver(w); err != nil {
		t.Fatal(errors.Join(err, s.Close()))
	}
	defer s.Close()
	if s.Addr() != w.Addr() || s.AdminAddr() != w.AdminAddr() {
		t.Errorf("it serves at %s and %s, and waited at %s and %s", s.Addr(), s.AdminAddr(), w.Addr(), w.AdminAddr())
	}
	eventually(t, "they are served", func() bool { return taken.Load() > 500 && alive.Load() > before+50 })
	close(stop)
	wait.Wait()
	fmt.Fprint(half, handshakeHead[20:])
	_ = half.SetReadDeadline(time.Now().Add(patience))
	if answer, err := http.ReadResponse(bufio.NewReader(half), nil); err != nil || answer.StatusCode != 503 {
		t.Errorf("half a request: got %v and %v, want 503", answer, err)
	}
	if got, least := s.counts.refused[503].Load(), uint64(refused.Load()); got < least {
		t.Errorf("%d refusals are counted after it has begun, want at least %d", got, least)
	}
	t.Logf("%d were refused, %d taken, %d asked for health", refused.Load(), taken.Load(), alive.Load())
}

func TestAnAddressInUseIsAnErrorBeforeTheWait(t *testing.T) {
	w := startWaiting(t, nil)
	cfg := w.cfg
	for _, change := range []func(*Config){
		func(c *Config) { c.Listen = w.Addr() },
		func(c *Config) { c.Admin = w.AdminAddr() },
	} {
		c := cfg
		change(&c)
		if _, err := NewWaiting(c, zap.NewNop(), "test", "Redis"); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("got %v, want that it is in use", err)
		}
	}
}
