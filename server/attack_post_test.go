package server

import (
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Rows H9 to H11, H13 and J4 of ATTACKS.md: requests with a body, and streams of events.

func TestAttackDrippedBodiesAreCutInTime(t *testing.T) {
	s := startServer(t, func(c *Config) { hostile(c); open(c) })
	by := s.watch(t, "/ws/chat/room")
	const drippers = 50
	var all []*wire
	began := time.Now()
	for range drippers {
		w := s.dial(t)
		w.write(requestFor("POST", "/chat/room", "Content-Length: 60000") + `"`)
		all = append(all, w)
	}
	for time.Since(began) < s.cfg.HandshakeTimeout+200*time.Millisecond {
		for _, w := range all {
			w.try("x")
		}
		by.exchange()
	}
	for _, w := range all {
		if status, text := w.refused(); status != http.StatusRequestTimeout || !strings.Contains(text, `"code":1008`) {
			t.Fatalf("HTTP %d %q, want 408", status, text)
		}
	}
	if others := by.exchange(); len(others) != 0 {
		t.Errorf("bystanders heard %q", others)
	}
	s.empty(t, 2, 1)
}

func TestAttackTheAnnouncedLengthOfABodyTakesNoMemory(t *testing.T) {
	s := startServer(t, func(c *Config) { open(c); c.HandshakeTimeout = time.Hour })
	const posts = 200
	var all []*wire
	for range posts {
		all = append(all, s.dial(t))
	}
	before := heapInUse()
	for _, w := range all {
		w.write(requestFor("POST", "/chat/room", "Content-Length: 60000") + `"x`)
	}
	for _, w := range all {
		eventually(t, "its head is read", func() bool { return s.phaseOf(t, w) == phaseBody })
	}
	grown := heapInUse() - before
	runtime.KeepAlive(all)
	t.Logf("a body of 2 bytes takes %d bytes, with its connection and its head", grown/posts)
	if grown > posts*12_000 {
		t.Errorf("a body of 2 bytes takes %d bytes, whatever its length will be", grown/posts)
	}
}

func TestAttackAHugeBodyIsRefusedBeforeItComes(t *testing.T) {
	s := startServer(t, func(c *Config) { hostile(c); open(c) })
	by := s.watch(t, "/ws/chat/room")
	for _, length := range []string{"65525", "999999999", "999999999999999999"} {
		w := s.dial(t)
		w.write(requestFor("POST", "/chat/room", "Content-Length: "+length))
		for range 64 {
			if !w.try(strings.Repeat("x", 16<<10)) {
				break
			}
		}
		if status := w.response().StatusCode; status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s bytes: HTTP %d, want 413", length, status)
		}
		_ = w.Close()
	}
	by.exchange()
	s.empty(t, 2, 1)
}

// Two parsers must not read the length of a body differently.
func TestAttackAmbiguousBodiesAreRefusedWith400(t *testing.T) {
	s := startServer(t, func(c *Config) { hostile(c); open(c) })
	by := s.watch(t, "/ws/chat/room")
	for name, lines := range map[string][]string{
		"chunks":                  {"Transfer-Encoding: chunked"},
		"length and chunks":       {"Content-Length: 1", "Transfer-Encoding: chunked"},
		"chunks and length":       {"Transfer-Encoding: chunked", "Content-Length: 1"},
		"unknown encoding":        {"Transfer-Encoding: xchunked", "Content-Length: 1"},
		"identity":                {"Transfer-Encoding: identity", "Content-Length: 1"},
		"two lengths":             {"Content-Length: 1", "Content-Length: 2"},
		"the same length twice":   {"Content-Length: 1", "Content-Length: 1"},
		"a list of lengths":       {"Content-Length: 1, 1"},
		"a signed length":         {"Content-Length: +1"},
		"a negative length":       {"Content-Length: -1"},
		"a hexadecimal length":    {"Content-Length: 0x1"},
		"an octal length":         {"Content-Length: 01"},
		"a length with a dot":     {"Content-Length: 1.0"},
		"a length of two words":   {"Content-Length: 1 1"},
		"no length":               {"Content-Length:"},
		"a length beyond 64 bits": {"Content-Length: 18446744073709551617"},
		"space before the colon":  {"Content-Length : 1"},
	} {
		w := s.dial(t)
		w.write(requestFor("POST", "/chat/room", lines...) + "1")
		if status, text := w.refused(); status != 400 || strings.TrimSpace(text) == "" {
			t.Errorf("%s: HTTP %d %q, want 400", name, status, text)
		}
	}
	for _, request := range []string{ // elsewhere a body is not served at all
		requestFor("GET", "/chat/room", "Content-Length: 1") + "1",
		requestFor("POST", "/sse/chat/room", "Content-Length: 1") + "1",
		requestFor("POST", "/ws/chat/room", "Content-Length: 1") + "1",
		requestFor("POST", "/%63hat/room", "Content-Length: 1") + "1",
		requestFor("post", "/chat/room", "Content-Length: 1") + "1",
	} {
		w := s.dial(t)
		w.write(request)
		if status, _ := w.refused(); status != 400 {
			t.Errorf("%.40q: HTTP %d, want 400", request, status)
		}
	}
	if others := by.exchange(); len(others) != 0 {
		t.Errorf("bystanders heard %q", others)
	}
	s.empty(t, 2, 1)
}

// The bytes of a body are never read as a request, and the request behind a body is one of its own, wherever the bytes are cut.
func TestAttackARequestHiddenInABodyIsPublishedAsText(t *testing.T) {
	s := startServer(t, func(c *Config) { hostile(c); open(c); c.HandshakeTimeout = time.Minute })
	by := s.watch(t, "/ws/chat/room")
	hidden := `"POST /chat/room HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\n\"hidden\""`
	stream := postOf("/chat/room", hidden) + postOf("/chat/room", `"behind"`)
	for cut := 0; cut < len(stream); cut += 7 {
		w := s.dial(t)
		if cut > 0 {
			w.write(stream[:cut])
			s.settle(t)
		}
		w.write(stream[cut:])
		for range 2 {
			status, body, _ := w.answer()
			idIn(t, status, body)
		}
		_ = w.Close()
		want := []string{`{"message":` + hidden + `}`, `{"message":"behind"}`}
		if others := by.exchange(); len(others) != 2 || others[0] != want[0] || others[1] != want[1] {
			t.Fatalf("cut at %d: bystanders heard %q", cut, others)
		}
	}
	w := s.dial(t) // a body that is longer than its length: the rest is the next request, and not a valid one
	w.write(requestFor("POST", "/chat/room", "Content-Length: 1") + "12\r\n")
	status, body, _ := w.answer()
	idIn(t, status, body)
	if status, _ := w.refused(); status != 400 {
		t.Errorf("HTTP %d, want 400", status)
	}
}

func TestAttackAClientThatReadsNoAnswersIsCut(t *testing.T) {
	s := startServer(t, func(c *Config) { hostile(c); open(c) })
	by := s.watch(t, "/ws/chat/room")
	w := s.narrow(t)
	go func() {
		request := []byte(strings.Repeat(postOf("/chat/elsewhere", "{"), 100))
		for {
			if _, err := w.Conn.Write(request); err != nil {
				return
			}
		}
	}()
	eventually(t, "it is cut", func() bool { return s.stats().Conns == 2 })
	by.exchange()
	s.empty(t, 2, 1)
}

func TestAttackAReaderThatSendsIsCut(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/chat/room")
	little, _ := s.follow(t, "/sse/chat/room")
	little.write(requestFor("GET", "/sse/chat/room") + postOf("/chat/room", "1")) // requests behind a stream are not served
	much, _ := s.follow(t, "/sse/chat/room")
	for range 64 {
		if !much.try(strings.Repeat("x", 4<<10)) {
			break
		}
	}
	data, ok := much.next()
	if !ok || !strings.Contains(data, `"code":1008`) {
		t.Errorf("got %q, want the error 1008", data)
	}
	if others := by.exchange(); len(others) != 0 {
		t.Errorf("bystanders heard %q", others)
	}
	little.hears("bystander 0 says 3")
	little.hears("bystander 1 says 4")
}

func TestAttackAMessageCannotForgeALineOfAStream(t *testing.T) {
	s := startServer(t, hostile)
	one := s.join(t, "/ws/chat/room")
	r, _ := s.follow(t, "/sse/chat/room")
	for _, x := range []string{"\"a\\r\\ndata: forged\\n\\n\"", "{\"a\":\r\n\r\ndata\":1}", "[1,\n\nid: 5\n\n2]", "[1,\r\rretry: 1\r\r2]", "\"\u2028\u2029\u0085\""} {
		one.text(`{"message":` + x + `}`)
		if op, _, err := one.next(); err != nil || op == 8 { // text that is not JSON ends the sender only
			one = s.join(t, "/ws/chat/room")
			continue
		}
		if got, want := r.event(), strings.NewReplacer("\r", " ", "\n", " ").Replace(x); !strings.HasSuffix(got, `"message":`+want+`}`) || r.retry == "1" {
			t.Errorf("%q came as %q", x, got)
		}
	}
}
