package server

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Rows H1 to H8 of ATTACKS.md: bad requests before the first frame.

func TestAttackDrippedHeadsAreCutInTimeAndHonestHandshakesGoOn(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/chat/room")
	const drippers = 240
	request := upgradeRequest("/ws/chat/room", "Cookie: "+strings.Repeat("x", 4000))
	type dripper struct {
		*wire
		began time.Time
		sent  int
	}
	drip := make([]dripper, drippers)
	for i := range drip {
		drip[i] = dripper{wire: s.dial(t), began: time.Now()}
	}
	for began := time.Now(); time.Since(began) < s.cfg.HandshakeTimeout+200*time.Millisecond; {
		for i := range drip {
			d := &drip[i]
			d.try(request[d.sent : d.sent+7])
			d.sent += 7
		}
		honest := s.join(t, "/ws/chat/elsewhere")
		honest.say("hello")
		honest.hears("hello")
		honest.Close()
		by.exchange()
	}
	for i := range drip {
		d := &drip[i]
		if status, text := d.refused(); status != http.StatusRequestTimeout || !strings.Contains(text, "500ms") {
			t.Fatalf("dripper %d: HTTP %d %q, want 408", i, status, text)
		}
		if after := time.Since(d.began); after < s.cfg.HandshakeTimeout {
			t.Errorf("dripper %d was cut after %v, before %v", i, after, s.cfg.HandshakeTimeout)
		}
		d.Close()
	}
	if others := by.exchange(); len(others) != 0 {
		t.Errorf("bystanders heard %q", others)
	}
	s.empty(t, 2, 1)
	s.quiet(t)
}

func TestAttackWhoSaysNothingIsCutAtTheHandshakeTimeoutAndNotBefore(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/chat/room")
	began := time.Now()
	silent := s.dial(t)
	by.exchange()
	if status, _ := silent.refused(); status != http.StatusRequestTimeout {
		t.Errorf("HTTP %d, want 408", status)
	}
	if after := time.Since(began); after < s.cfg.HandshakeTimeout {
		t.Errorf("cut after %v, before %v", after, s.cfg.HandshakeTimeout)
	}
	by.exchange()
}

func TestAttackWhatIsNotHTTPIsRefusedAtItsFirstByte(t *testing.T) {
	s := startServer(t, nil) // with the real timeout, because the test does not wait for it
	by := s.watch(t, "/ws/chat/room")
	for _, c := range []struct{ bytes, want string }{
		{"\x16\x03\x01\x02\x00\x01", "TLS"},
		{"\x16", "TLS"},
		{"\x00\x00\x00\x00", "not an HTTP request"},
		{"\xff\xfe\xfd", "not an HTTP request"},
		{" GET / HTTP/1.1\r\n", "not an HTTP request"},
		{"\r\n\r\n\x00\r\nQUIT\n", "PROXY protocol"},
		{"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY protocol"},
		{"\x81\x85abcdxxxxx", "not an HTTP request"},
		{"SSH-2.0-OpenSSH_9.9\r\n", "request line"},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "slash"},
		{"GET ftp://localhost/ HTTP/1.1\r\n", "slash"},
		{"GET /ws/chat/my room/ HTTP/1.1\r\n", "write it as %20"},
		{"GET /\x00 HTTP/1.1\r\n", "percent-encoded"},
		{"GET /\xff HTTP/1.1\r\n", "percent-encoded"},
		{"GET /%zz HTTP/1.1\r\n", "percent-encoding"},
		{"GET / HTTP/2.0\r\n", "only HTTP/1.1"},
		{"GET / HTTQ", "only HTTP/1.1"},
		{"GET /\r\n", "request line"},
	} {
		w := s.dial(t)
		w.write(c.bytes)
		if status, text := w.refused(); status != http.StatusBadRequest || !strings.Contains(text, c.want) {
			t.Errorf("%q: HTTP %d %q, want 400 with %q", c.bytes, status, text, c.want)
		}
	}
	if err := tls.Client(s.dial(t), &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
		t.Error("TLS on the plain port")
	}
	by.exchange()
	s.quiet(t)
}

func TestAttackEndlessHeadsAreRefusedAndKeepNoMemory(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/chat/room")
	before := heapAfterGC()
	for _, c := range []struct {
		begin, more string
		status      int
	}{
		{"GET / HTTP/1.1\r\nHost: localhost\r\nA: ", strings.Repeat("x", 1024), 431},
		{"GET / HTTP/1.1\r\nHost: localhost\r\n", "A: b\r\nA: b\r\nA: b\r\nA: b\r\n", 431},
		{"GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", 100), "A: b\r\n", 431},
		{"GET /ws/chat/", strings.Repeat("x", 1024), 414},
		{"GET /?", strings.Repeat("y", 1024), 414},
		{strings.Repeat("G", 1024), strings.Repeat("G", 1024), 414},
	} {
		w := s.dial(t)
		w.try(c.begin)
		for range 1024 {
			if !w.try(c.more) {
				break
			}
		}
		if status := w.response().StatusCode; status != c.status {
			t.Errorf("%.30q...: HTTP %d, want %d", c.begin, status, c.status)
		}
		w.Close()
	}
	big := s.dial(t)
	big.try("GET /" + strings.Repeat("z", 1<<20))
	if status := big.response().StatusCode; status != 414 {
		t.Errorf("1 MB: HTTP %d, want 414", status)
	}
	big.Close()
	by.exchange()
	s.empty(t, 2, 1)
	if grown := heapAfterGC() - before; grown > 1<<20 {
		t.Errorf("%d bytes are kept", grown)
	}
}

// A head whose size is exactly the limit is served, as the documentation says.
func TestAttackAHeadOfExactlyTheLimitIsServed(t *testing.T) {
	s := startServer(t, hostile)
	request := upgradeRequest("/ws/chat/room", "Cookie: ")
	request = strings.Replace(request, "Cookie: ", "Cookie: "+strings.Repeat("c", int(s.cfg.MaxHeader)-len(request)), 1)
	w := s.dial(t)
	w.write(request + textFrame(`{"message":1}`))
	if status := w.response().StatusCode; status != 101 {
		t.Fatalf("HTTP %d, want 101", status)
	}
	if got := w.message(); got != `{"message":1}` {
		t.Errorf("got %q", got)
	}
	w = s.dial(t)
	w.write(strings.Replace(request, "Cookie: ", "Cookie: c", 1))
	if status, _ := w.refused(); status != 431 {
		t.Errorf("one byte more: HTTP %d, want 431", status)
	}
}

func TestAttackAmbiguousHeadsAreRefusedWith400(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/chat/room")
	good := upgradeRequest("/ws/chat/room", "Origin: http://localhost")
	with := func(lines ...string) string { return upgradeRequest("/ws/chat/room", lines...) }
	for name, request := range map[string]string{
		"body by length":                   with("Content-Length: 5") + "hello",
		"body by chunks":                   with("Transfer-Encoding: chunked") + "0\r\n\r\n",
		"length and chunks":                with("Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n",
		"chunks and length":                with("Transfer-Encoding: chunked", "Content-Length: 0") + "0\r\n\r\n",
		"identity":                         with("Transfer-Encoding: identity"),
		"two lengths":                      with("Content-Length: 0", "Content-Length: 0"),
		"a list of lengths":                with("Content-Length: 0, 0"),
		"a signed length":                  with("Content-Length: +0"),
		"space before colon":               with("Content-Length : 0"),
		"tab before colon":                 with("X\t: 0"),
		"obs-fold":                         with("X: a", " b"),
		"obs-fold by tab":                  with("X: a", "\tb"),
		"first line folded":                strings.Replace(good, "Host", " Host", 1),
		"bare LF":                          strings.ReplaceAll(good, "\r\n", "\n"),
		"bare LF once":                     strings.Replace(good, "Host: localhost\r\n", "Host: localhost\n", 1),
		"bare CR":                          with("X: a\rY: b"),
		"NUL in a value":                   with("X: a\x00b"),
		"NUL in a name":                    with("X\x00: b"),
		"DEL in a value":                   with("X: \x7f"),
		"empty name":                       with(": b"),
		"no colon":                         with("X"),
		"two hosts":                        with("Host: evil"),
		"two keys":                         with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
		"two versions":                     with("Sec-WebSocket-Version: 13"),
		"two origins":                      with("Origin: http://localhost", "Origin: http://localhost"),
		"no host":                          strings.Replace(good, "Host: localhost\r\n", "", 1),
		"empty host":                       strings.Replace(good, "Host: localhost\r\n", "Host:\r\n", 1),
		"host with user":                   strings.Replace(good, "Host: localhost\r\n", "Host: a@localhost\r\n", 1),
		"host with path":                   strings.Replace(good, "Host: localhost\r\n", "Host: localhost/x\r\n", 1),
		"host with a space":                strings.Replace(good, "Host: localhost\r\n", "Host: localhost evil\r\n", 1),
		"HTTP/1.0":                         strings.Replace(good, "HTTP/1.1", "HTTP/1.0", 1),
		"no key":                           strings.Replace(good, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 1),
		"key of 15 bytes":                  strings.Replace(good, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j", 1),
		"key of 17 bytes":                  strings.Replace(good, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZWU=", 1),
		"key of 18 bytes":                  strings.Replace(good, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZWVl", 1),
		"key not base64":                   strings.Replace(good, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j!!==", 1),
		"key with set bits behind its end": strings.Replace(good, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR==", 1),
		"empty key":                        strings.Replace(good, "dGhlIHNhbXBsZSBub25jZQ==", "", 1),
		"no upgrade field":                 strings.Replace(good, "Upgrade: websocket\r\n", "", 1),
		"no connection field":              strings.Replace(good, "Connection: Upgrade\r\n", "", 1),
		"connection close":                 strings.Replace(good, "Connection: Upgrade\r\n", "Connection: close\r\n", 1),
	} {
		w := s.dial(t)
		w.write(request)
		if status, text := w.refused(); status != 400 || strings.TrimSpace(text) == "" {
			t.Errorf("%s: HTTP %d %q, want 400 and a reason", name, status, text)
		}
	}
	for version, request := range map[string]string{
		"8":    strings.Replace(good, "Version: 13", "Version: 8", 1),
		"14":   strings.Replace(good, "Version: 13", "Version: 14", 1),
		"13 8": strings.Replace(good, "Version: 13", "Version: 13, 8", 1),
		"none": strings.Replace(good, "Sec-WebSocket-Version: 13\r\n", "", 1),
	} {
		w := s.dial(t)
		w.write(request)
		if r := w.response(); r.StatusCode != 426 || r.Header.Get("Sec-WebSocket-Version") != "13" {
			t.Errorf("version %s: HTTP %d %v, want 426 with the version that is spoken", version, r.StatusCode, r.Header)
		}
	}
	for _, method := range []string{"POST", "HEAD", "PUT", "OPTIONS", "CONNECT", "get"} {
		w := s.dial(t)
		w.write(strings.Replace(good, "GET", method, 1))
		if status := w.response().StatusCode; status != 405 {
			t.Errorf("upgrade by %s: HTTP %d, want 405", method, status)
		}
	}
	if others := by.exchange(); len(others) != 0 {
		t.Errorf("bystanders heard %q", others)
	}
	s.empty(t, 2, 1)
	s.quiet(t)
}

func TestAttackBehindAnUpgradeThereAreOnlyFrames(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/chat/room")
	upgrade := upgradeRequest("/ws/chat/room")
	for name, more := range map[string]string{
		"a GET":           "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"the upgrade":     upgrade,
		"two upgrades":    upgrade + upgrade,
		"a POST":          "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx",
		"an empty line":   "\r\n",
		"a byte of HTTP":  "G",
		"an unmasked one": "\x81\x00",
	} {
		w := s.dial(t)
		w.write(upgrade + more)
		if status := w.response().StatusCode; status != 101 {
			t.Fatalf("%s: HTTP %d, want 101", name, status)
		}
		w.endsWith(1002)
		w.closed()
		by.exchange()
	}
}

func TestAttackAnEarlyFrameIsServedWhereverTheSegmentsAreCut(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/chat/room")
	stream := upgradeRequest("/ws/chat/room") + textFrame(`{"message":"early"}`) + closeFrame(1000, "")
	for cut := range len(stream) {
		w := s.dial(t)
		if cut > 0 {
			w.write(stream[:cut])
			s.settle(t)
		}
		w.write(stream[cut:])
		if status := w.response().StatusCode; status != 101 {
			t.Fatalf("cut at %d: HTTP %d, want 101", cut, status)
		}
		if code, _, before := w.ends(); code != 1000 || len(before) != 1 || before[0] != `{"message":"early"}` {
			t.Fatalf("cut at %d: %d after %q, want 1000 after the message", cut, code, before)
		}
		w.closed()
		w.Close()
		if others := by.exchange(); len(others) != 1 {
			t.Fatalf("cut at %d: bystanders heard %q", cut, others)
		}
	}
}

func TestAttackOriginsAreJudgedByOneStrictRule(t *testing.T) {
	own := startServer(t, hostile)
	listed := startServer(t, func(cfg *Config) {
		hostile(cfg)
		cfg.Origins = []string{"https://*.example.org", "http://app.test:8080"}
	})
	for _, c := range []struct {
		s      *testServer
		origin string
		status int
	}{
		{own, "http://localhost", 101},
		{own, "https://localhost", 101},
		{own, "http://LOCALHOST", 101},
		{own, "http://localhost:80", 101},
		{own, "https://localhost:443", 101},
		{own, "http://localhost:8080", 403},
		{own, "https://evil", 403},
		{own, "http://evil/localhost", 403},
		{own, "null", 403},
		{own, "", 101}, // no Origin
		{own, "http://localhost@evil", 403},
		{own, "http://evil@localhost", 403},
		{own, "http://localhost.evil", 403},
		{own, "http://evillocalhost", 403},
		{own, "http://localhost/", 101},
		{own, "http://localhost?", 403},
		{own, "http://localhost, http://localhost", 403},
		{own, "http://localhost http://evil", 403},
		{own, "localhost", 403},
		{own, "//localhost", 403},
		{own, "file://", 403},
		{own, "*", 403},
		{listed, "https://a.example.org", 101},
		{listed, "https://a.b.example.org", 101},
		{listed, "http://app.test:8080", 101},
		{listed, "http://a.example.org", 403},
		{listed, "https://example.org", 403},
		{listed, "https://evilexample.org", 403},
		{listed, "https://a.example.org.evil", 403},
		{listed, "https://a.example.org:444", 403},
		{listed, "https://a.example.org@evil", 403},
		{listed, "https://evil#.example.org", 403},
		{listed, "https://evil/.example.org", 403},
		{listed, "https://.example.org", 403},
		{listed, "http://app.test", 403},
		{listed, "http://localhost", 101},
		{listed, "null", 403},
	} {
		w := c.s.dial(t)
		w.write(upgradeRequest("/ws/chat/room", "Origin: "+c.origin))
		if status := w.response().StatusCode; status != c.status {
			t.Errorf("origin %q: HTTP %d, want %d", c.origin, status, c.status)
		}
		w.Close()
	}
}

func TestAttackRoomNamesAreRefusedByTheOneRuleOrLiteral(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/chat/room")
	for _, c := range []struct {
		path   string
		status int
		reason string
	}{
		{"/ws/chat/", 400, "empty"},
		{"/ws/chat//", 400, "empty"},
		{"/ws/chat", 400, "empty"},
		{"/ws/chat/%00", 400, "control"},
		{"/ws/chat/a%00b/", 400, "control"},
		{"/ws/chat/%0a", 400, "control"},
		{"/ws/chat/%0d%0aX:%20y/", 400, "control"},
		{"/ws/chat/%7f", 400, "control"},
		{"/ws/chat/%c2%80", 400, "control"},
		{"/ws/chat/%ff", 400, "UTF-8"},
		{"/ws/chat/%c0%af", 400, "UTF-8"},
		{"/ws/chat/%ed%a0%80", 400, "UTF-8"},
		{"/ws/chat/%2F", 400, "slash"},
		{"/ws/chat/%2f..%2froom/", 400, "slash"},
		{"/ws/chat/%zz", 400, "percent"},
		{"/ws/chat/%", 400, "percent"},
		{"/ws/chat/%4", 400, "percent"},
		{"/ws/chat/" + strings.Repeat("a", 129), 400, "128"},
		{"/ws/chat/" + strings.Repeat("%C3%A9", 65), 400, "128"},
		{"/ws/chat/" + strings.Repeat("a", 7000), 400, "128"},
		{"/ws/chat/" + strings.Repeat("a", 17000), 414, "16384"},
		{"/ws/chat/a/b", 404, ""},
		{"/ws/chat/../chat/room", 404, ""},
		{"/ws/chat/./room", 404, ""},
		{"//ws/chat/room", 404, ""},
		{"/ws//chat/room", 404, ""},
		{"/WS/chat/room", 404, ""},
		{"/ws/Chat/room", 404, ""},
		{"/%77s/chat/room", 404, ""},
		{"/ws/other/room", 404, ""},
		{"/ws/", 400, ""},
		{"/ws/raw/room?v=2", 400, "raw room"},
		{"/ws/chat/room?v=2&presence=3", 400, "presence"},
		{"/ws/chat/room?v=2&echo=0", 400, "echo"},
		{"/ws/chat/room?v=2&slow=drop", 400, "slow"},
		{"/ws/?v=1", 400, "v=2"},
		{"/ws/?v=2&last=3", 400, "join"},
		{"/ws/chat/room?v=2&batch=1", 400, "batch"},
		{"/ws/chat/room?v=2&was=Zr0-mB7cQ2xW5tY", 400, "was"},
		{"/ws/chat/room?v=2&last=x", 400, "last"},
		{"/ws/chat/room?v=1&v=2", 400, "v"},
		{"/ws/chat/room?v=1&v=3", 400, "v"},
	} {
		w := s.dial(t)
		w.write(upgradeRequest(c.path))
		if status, text := w.refused(); status != c.status || !strings.Contains(text, c.reason) || strings.Contains(text, "..") {
			t.Errorf("%.60s: HTTP %d %q, want %d with %q", c.path, status, text, c.status, c.reason)
		}
	}
	if others := by.exchange(); len(others) != 0 {
		t.Errorf("bystanders heard %q", others)
	}
	// Each of these names is a room of its own: a member joins each of them, all members send their room's name, and each
	// receives only that name.
	literal := []string{"..", ".", "a*", "*", "?", "[a-z]", "%5Ba-z", "room%20", "%20room", "Room", "r%C3%B6om", "ro%CC%88om", "__keyspace@0__:x",
		"chat:room", "r%25oom", "%25", "%2e%2e%5croom", "%E2%80%AE", "%F0%9F%90%B1", "room;", "room&", "$room", "{room}", "%22", "<script>", "a+b", "a%20b",
		strings.Repeat("a", 128), strings.Repeat("%C3%A9", 64), "%EF%BF%BD", "null", "undefined", "constructor", "0", "-1"}
	wires := make([]*wire, 0, 2*len(literal))
	for _, name := range literal {
		name = strings.ReplaceAll(strings.ReplaceAll(name, "?", "%3F"), "%5B", "[")
		wires = append(wires, s.join(t, "/ws/chat/"+name+"/"), s.join(t, "/ws/raw/"+name))
	}
	for i, w := range wires {
		if i%2 == 0 {
			w.say(fmt.Sprint(i))
		} else {
			w.text(fmt.Sprintf("raw %d", i))
		}
	}
	by.exchange()
	for i, w := range wires {
		want := fmt.Sprintf(`{"message":"%d"}`, i)
		if i%2 == 1 {
			want = fmt.Sprintf("raw %d", i)
		}
		if got := w.message(); got != want {
			t.Errorf("room %s: heard %q, want %q", literal[i/2], got, want)
		}
		w.write(closeFrame(1000, ""))
		if code, _, before := w.ends(); code != 1000 || len(before) != 0 {
			t.Errorf("room %s: heard %q of another room, closed with %d", literal[i/2], before, code)
		}
		w.Close()
	}
	if others := by.exchange(); len(others) != 0 {
		t.Errorf("bystanders heard %q", others)
	}
	s.empty(t, 2, 1)
}

func TestAttackPercentEncodingAndSlashDoNotMakeASecondRoom(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/chat/room")
	for _, path := range []string{"/ws/chat/room", "/ws/chat/room/", "/ws/chat/r%6Fom", "/ws/chat/%72%6f%6F%6d/", "/ws/chat/room?v=1", "/ws/chat/room/?x=%zz&"} {
		w := s.join(t, path)
		w.say(path)
		w.hears(path)
		w.Close()
		if others := by.exchange(); len(others) != 1 {
			t.Errorf("%s: bystanders heard %q, want one message", path, others)
		}
	}
}

func TestAttackPlainHTTPIsAnsweredOnceAndClosed(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/chat/room")
	request := func(method, path string, lines ...string) string {
		return method + " " + path + " HTTP/1.1\r\nHost: localhost\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n"
	}
	get := request("GET", "/healthz")
	for _, c := range []struct {
		name, request string
		status        int
		text          string
	}{
		{"page", request("GET", "/"), 200, "<!doctype html"},
		{"health", get, 200, "ok\n"},
		{"nowhere", request("GET", "/nowhere"), 404, "not found: the demo page is at /"},
		{"dots", request("GET", "/x/../../etc/passwd"), 0, ""},
		{"two slashes", request("GET", "//evil.example/"), 0, ""},
		{"a room", request("GET", "/ws/chat/room"), 426, "WebSocket"},
		{"page by POST", request("POST", "/"), 405, ""},
		{"page by POST without a body", request("POST", "/", "Content-Length: 0"), 405, ""},
		{"page by DELETE", request("DELETE", "/"), 405, ""},
		{"a body", request("POST", "/", "Content-Length: 5") + "hello", 400, "only POST /chat/ROOM/ may have a body (see --publish); the API that publishes"},
		{"two requests", get + get, 200, "ok\n"},
		{"a thousand requests", strings.Repeat(get, 1000), 200, "ok\n"},
		{"a request and an upgrade", get + upgradeRequest("/ws/chat/room"), 200, "ok\n"},
		{"a request and rubbish", get + "\x00\xff", 200, "ok\n"},
	} {
		w := s.dial(t)
		w.write(c.request)
		r := w.response()
		body, err := io.ReadAll(r.Body)
		if err != nil || !r.Close || c.status != 0 && r.StatusCode != c.status || !strings.Contains(strings.ToLower(string(body)), strings.ToLower(c.text)) {
			t.Errorf("%s: HTTP %d, close %v, %.80q, %v; want %d with %q", c.name, r.StatusCode, r.Close, body, err, c.status, c.text)
		}
		if at := r.Header.Get("Location"); strings.Contains(at, "evil") && strings.HasPrefix(at, "//") {
			t.Errorf("%s: redirects to %q", c.name, at)
		}
		w.closed()
		by.exchange()
	}
	head := s.dial(t)
	head.write(request("HEAD", "/"))
	rest, err := io.ReadAll(head.r)
	if err != nil || !strings.HasPrefix(string(rest), "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(string(rest), "\r\n\r\n") || strings.Contains(string(rest), "<") {
		t.Errorf("HEAD: %.300q, %v", rest, err)
	}
	if !strings.Contains(string(rest), "Content-Length: ") {
		t.Errorf("the answer to HEAD has no length: %q", rest)
	}
	s.quiet(t)
}

// A thousand unfinished handshakes at the same time do no damage, and those that are completed in time are served normally.
func TestAttackAThousandHalfHandshakesThatGoOnInTimeAreServed(t *testing.T) {
	s := startServer(t, nil)
	by := s.watch(t, "/ws/raw/room")
	const crowd = 1000
	request := upgradeRequest("/ws/raw/crowd")
	wires := make([]*wire, crowd)
	for i := range wires {
		wires[i] = s.dial(t)
		wires[i].write(request[:1+i%(len(request)-1)])
	}
	by.exchange()
	for i, w := range wires {
		w.write(request[1+i%(len(request)-1):])
	}
	for i, w := range wires {
		if status := w.response().StatusCode; status != 101 {
			t.Fatalf("handshake %d: HTTP %d", i, status)
		}
	}
	wires[0].text("hello, crowd")
	for i, w := range wires {
		if got := w.message(); got != "hello, crowd" {
			t.Fatalf("member %d heard %q", i, got)
		}
		w.reset()
	}
	by.exchange()
	s.empty(t, 2, 1)
	s.quiet(t)
}
