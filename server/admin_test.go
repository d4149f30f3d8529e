package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"dotsconnect/loop"
)

// response is an answer of the admin address, read to its end.
type response struct {
	status int
	header http.Header
	body   string
}

// into decodes a JSON body that has only the keys of v.
func (r response) into(t *testing.T, v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("HTTP %d with the body %q: %v", r.status, r.body, err)
	}
}

// errorText checks the form of an API error, and returns its text.
func (r response) errorText(t *testing.T) string {
	t.Helper()
	var body struct{ Error apiError }
	r.into(t, &body)
	if body.Error.Status != r.status || body.Error.Text == "" || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("HTTP %d, %s: got the error %+v, want the same status, a text, and JSON", r.status, r.header.Get("Content-Type"), body.Error)
	}
	return body.Error.Text
}

// request asks the admin address of a running server. target is sent unchanged.
func (s *testServer) request(t *testing.T, method, target, body string, header ...string) response {
	t.Helper()
	path, query, _ := strings.Cut(target, "?")
	r := &http.Request{
		Method: method, URL: &url.URL{Scheme: "http", Host: s.AdminAddr(), Opaque: path, RawQuery: query},
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return response{answer.StatusCode, answer.Header, string(got)}
}

// get sends a GET request and expects HTTP 200.
func (s *testServer) get(t *testing.T, target string) response {
	t.Helper()
	r := s.request(t, "GET", target, "")
	if r.status != http.StatusOK {
		t.Fatalf("GET %s: HTTP %d %s, want 200", target, r.status, r.body)
	}
	return r
}

// bareAdmin makes an admin server for a node that was never started. Tests whose requests need no loop use it.
func bareAdmin(t *testing.T, change func(*Config)) *admin {
	t.Helper()
	cfg := Default()
	cfg.Admin = "127.0.0.1:0"
	if change != nil {
		change(&cfg)
	}
	node := loop.New(loop.Config{Loops: 1, Lanes: 1, Ring: func(int) {}})
	s := &Server{cfg: cfg, log: zap.NewNop(), counts: newCounts(), node: node, version: "test", files: fileShares{clients: 10, admin: 32}}
	r, err := newRules(cfg, s.files)
	if err != nil {
		t.Fatal(err)
	}
	s.rules.Store(r)
	socket, err := listenAdmin(cfg.Admin)
	if err != nil {
		t.Fatal(err)
	}
	a, err := newAdmin(s, socket, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.stop(t.Context()); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("stop: %v", err)
		}
	})
	return a
}

// serve makes the admin server answer a request without a network. header holds names and values in turn; "Host" sets the host of
// the request, too.
func (a *admin) serve(method, target string, header ...string) response {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "127.0.0.1"
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return response{w.Code, w.Header(), w.Body.String()}
}

func TestTheIndexListsWhatThereIs(t *testing.T) {
	s := startServer(t, nil)
	got := s.get(t, "/").body
	for _, address := range []string{"/metrics", "/healthz", "/readyz", "/debug/pprof/", "/api/rooms", "/api/ledger", "DELETE  /api/connections/{id}"} {
		if !strings.Contains(got, address+" ") {
			t.Errorf("%s is not in the index:\n%s", address, got)
		}
	}
	for line := range strings.SplitSeq(got, "\n") {
		method, rest, _ := strings.Cut(line, " ")
		if address, _, _ := strings.Cut(strings.TrimSpace(rest), " "); method == "GET" && !strings.Contains(address, "{") {
			s.get(t, address)
		}
	}
}

func TestANodeThatDrainsIsHealthyAndNotReady(t *testing.T) {
	s := startServer(t, nil)
	if got := s.get(t, "/readyz").body; got != "ready\n" {
		t.Errorf("got %q, want ready", got)
	}
	s.phase.Store(phaseDraining)
	if got := s.request(t, "GET", "/readyz", ""); got.status != http.StatusServiceUnavailable || got.body != "draining\n" {
		t.Errorf("got HTTP %d %q, want 503 draining", got.status, got.body)
	}
	if got := s.get(t, "/healthz").body; got != "ok\n" {
		t.Errorf("got %q, want ok", got)
	}
}

func TestTheTokenIsAskedForEverywhereButForHealth(t *testing.T) {
	a := bareAdmin(t, func(c *Config) { c.AdminToken = "secret" })
	for _, row := range []struct {
		target, authorization string
		want                  int
	}{
		{"/healthz", "", 200},
		{"/readyz", "", 503}, // the node was never started
		{"/", "", 401},
		{"/metrics", "", 401},
		{"/debug/pprof/", "", 401},
		{"/api/rooms", "", 401},
		{"/api/nothing", "", 401},
		{"/healthz/../metrics", "", 401},
		{"//healthz", "", 401},
		{"/metrics", "Bearer secre", 401},
		{"/metrics", "Bearer secrets", 401},
		{"/metrics", "Bearer ", 401},
		{"/metrics", "Basic secret", 401},
		{"/metrics", "secret", 401},
		{"/metrics", "Bearer secret", 200},
		{"/metrics", "bearer  secret", 200},
		{"/api/rooms", "Bearer secret", 200},
	} {
		got := a.serve("GET", row.target, "Authorization", row.authorization)
		if got.status != row.want {
			t.Errorf("%s with %q: got HTTP %d, want %d", row.target, row.authorization, got.status, row.want)
		}
		if challenge := got.header.Get("WWW-Authenticate"); (got.status == 401) != (challenge != "") {
			t.Errorf("%s with %q: HTTP %d has the challenge %q", row.target, row.authorization, got.status, challenge)
		}
	}
}

func TestTheTokenMayStandInAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	for text, fine := range map[string]bool{"": false, "\n": false, "two words\n": false, " secret\n": true} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := Default()
		cfg.Admin, cfg.AdminTokenFile = "127.0.0.1:0", file
		if !fine {
			var mistake *SettingError
			_, err := New(cfg, zap.NewNop(), "test")
			if !errors.As(err, &mistake) || mistake.Name != "admin-token-file" {
				t.Errorf("file with %q: got %v, want an error about admin-token-file", text, err)
			}
		} else {
			a := bareAdmin(t, func(c *Config) {
				c.AdminTokenFile = file
				if err := c.LoadAdminToken(); err != nil {
					t.Fatal(err)
				}
			})
			if got := a.serve("GET", "/", "Authorization", "Bearer secret").status; got != 200 {
				t.Errorf("file with %q: got HTTP %d, want 200", text, got)
			}
		}
	}
}

func TestAPageThatPointsItsNameAtUsIsRefused(t *testing.T) {
	local := bareAdmin(t, func(c *Config) { c.Admin = "localhost:0" })
	public := bareAdmin(t, func(c *Config) { c.Admin, c.AdminToken = "0.0.0.0:0", "secret" })
	locked := bareAdmin(t, func(c *Config) { c.AdminToken = "secret" })
	for host, want := range map[string]int{
		"127.0.0.1:8001": 200, "127.0.0.1": 200, "localhost:8001": 200, "LOCALHOST": 200, "[::1]:8001": 200, "[::1]": 200,
		"10.1.2.3:8001": 200, "": 200,
		"evil.example": 403, "evil.example:8001": 403, "127.0.0.1.evil.example:8001": 403, "localhost.evil.example": 403,
	} {
		if got := local.serve("GET", "/metrics", "Host", host); got.status != want {
			t.Errorf("on loopback, Host %q: got HTTP %d, want %d", host, got.status, want)
		}
		for where, a := range map[string]*admin{"on all addresses": public, "on loopback": locked} {
			if got := a.serve("GET", "/metrics", "Host", host, "Authorization", "Bearer secret"); got.status != 200 {
				t.Errorf("%s, Host %q with the token: got HTTP %d, want 200", where, host, got.status)
			}
		}
	}
}

// A load balancer may send the site's name as Host, or no Host at all, as HTTP/1.0 allows.
func TestHealthAndReadinessAreToldUnderAnyName(t *testing.T) {
	s := startServer(t, nil)
	for _, path := range []string{"/healthz", "/readyz"} {
		for _, head := range []string{
			"GET " + path + " HTTP/1.1\r\nHost: chat.example\r\nConnection: close\r\n\r\n",
			"GET " + path + " HTTP/1.1\r\nHost: chat.example:8443\r\nConnection: close\r\n\r\n",
			"GET http://chat.example" + path + " HTTP/1.1\r\nHost: chat.example\r\nConnection: close\r\n\r\n",
			"GET " + path + " HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
			"GET " + path + " HTTP/1.0\r\nHost: chat.example\r\n\r\n",
			"GET " + path + " HTTP/1.0\r\n\r\n",
			"HEAD " + path + " HTTP/1.0\r\n\r\n",
		} {
			if got := s.askAdmin(t, head); !strings.Contains(got, " 200 OK\r\n") {
				t.Errorf("%q: got %.60q, want 200", head, got)
			}
		}
	}
	for _, path := range []string{"/metrics", "/", "/healthz/", "/readyz/x"} {
		if got := s.askAdmin(t, "GET "+path+" HTTP/1.0\r\nHost: chat.example\r\n\r\n"); !strings.Contains(got, " 403 Forbidden\r\n") {
			t.Errorf("%s under a foreign name: got %.60q, want 403", path, got)
		}
	}
}

// askAdmin sends bytes to the admin address and reads until the server closes.
func (s *testServer) askAdmin(t *testing.T, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", s.AdminAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, request) // if it fails, the answer shows it
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("%.60q: %v after %q", request, err, got)
	}
	return string(got)
}

func TestAPageOfAnotherOriginMayNotChangeAnything(t *testing.T) {
	a := bareAdmin(t, nil)
	const gone = "/api/connections/0700000000000001" // a request that is accepted gets 404, because there is no such loop
	for _, row := range []struct {
		name   string
		header []string
		want   int
	}{
		{"no browser", nil, 404},
		{"our own page", []string{"Origin", "http://127.0.0.1"}, 404},
		{"our own page in a new browser", []string{"Origin", "http://127.0.0.1", "Sec-Fetch-Site", "same-origin"}, 404},
		{"foreign page", []string{"Origin", "https://evil.example"}, 403},
		{"another port of this machine", []string{"Origin", "http://127.0.0.1:3000"}, 403},
		{"a file", []string{"Origin", "null"}, 403},
		{"foreign page in a new browser", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"page of a sibling name", []string{"Sec-Fetch-Site", "same-site"}, 403},
	} {
		if got := a.serve("DELETE", gone, row.header...); got.status != row.want {
			t.Errorf("%s: got HTTP %d %s, want %d", row.name, got.status, got.body, row.want)
		}
		if got := a.serve("GET", "/api/rooms", row.header...); got.status != 200 {
			t.Errorf("%s, only reading: got HTTP %d, want 200", row.name, got.status)
		}
	}
}

func TestErrorsOfTheAPIAreJSON(t *testing.T) {
	a := bareAdmin(t, nil)
	for _, row := range []struct {
		method, target string
		want           int
		allow          string
	}{
		{"GET", "/api", 404, ""},
		{"GET", "/api/", 404, ""},
		{"GET", "/api/nothing", 404, ""},
		{"GET", "/api/rooms/", 404, ""},
		{"GET", "/api/rooms/dm/lobby", 404, ""},
		{"GET", "/api/rooms/chat/nobody", 404, ""},
		{"GET", "/api/rooms/chat/../raw/x", 400, ""},
		{"GET", "/api//rooms", 400, ""},
		{"GET", "/api/connections/xyz", 405, "DELETE"},
		{"POST", "/api/rooms", 405, "GET, HEAD"},
		{"DELETE", "/api/rooms/chat/lobby", 405, "GET, HEAD"},
		{"OPTIONS", "/api/ledger", 405, "GET, HEAD"},
		{"GET", "/api/rooms/chat/lobby/messages", 405, "POST"},
		{"BREW", "/api/rooms", 405, "GET, HEAD"},
	} {
		got := a.serve(row.method, row.target)
		if allow := got.header.Get("Allow"); got.status != row.want || allow != row.allow {
			t.Errorf("%s %s: got HTTP %d, Allow %q, want %d, %q", row.method, row.target, got.status, allow, row.want, row.allow)
		}
		got.errorText(t)
	}
	if got := a.serve("GET", "/api/rooms", "Host", "evil.example"); got.status != 403 || got.errorText(t) == "" {
		t.Errorf("got HTTP %d, want 403", got.status)
	}
	for _, target := range []string{"/nothing", "/apis"} {
		if got := a.serve("GET", target); got.status != 404 || got.header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: got HTTP %d in %s, want 404 in plain text", target, got.status, got.header.Get("Content-Type"))
		}
	}
}

func TestAnswersAreNotKeptAndNotGuessedAt(t *testing.T) {
	a := bareAdmin(t, nil)
	for _, target := range []string{"/", "/healthz", "/metrics", "/api/rooms", "/api/nothing", "/nothing"} {
		h := a.serve("GET", target).header
		if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: got %v, want no-store and nosniff", target, h)
		}
	}
}

func TestProfilesAreServed(t *testing.T) {
	s := startServer(t, nil)
	for _, target := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/heap?debug=1", "/debug/pprof/cmdline", "/debug/pprof/symbol"} {
		if s.get(t, target).body == "" {
			t.Errorf("%s is empty", target)
		}
	}
}

func TestAPanicIsCountedAndAnswered(t *testing.T) {
	a := bareAdmin(t, nil)
	a.mux.HandleFunc("GET /api/bug", func(http.ResponseWriter, *http.Request) { panic("bug") })
	got := a.serve("GET", "/api/bug")
	if got.status != 500 || strings.Contains(got.errorText(t), "goroutine") {
		t.Errorf("got HTTP %d %s, want 500 without a stack", got.status, got.body)
	}
	if n := a.srv.counts.panics.Load(); n != 1 {
		t.Errorf("%d panics were counted, want 1", n)
	}
}

func TestAHeadThatDripsOrIsTooLargeIsCut(t *testing.T) {
	a := bareAdmin(t, nil)
	a.http.ReadHeaderTimeout = 20 * time.Millisecond
	a.start()
	for name, row := range map[string]struct{ head, want string }{
		"half a head": {"GET / HTTP/1.1\r\nHost: x", ""},
		"a large one": {"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 2*maxAdminHead) + "\r\n\r\n", "HTTP/1.1 431 "},
	} {
		conn, err := net.Dial("tcp", a.addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(conn, row.head) // if it fails, the answer shows it
		got, err := io.ReadAll(conn)
		if isTimeout(err) || !strings.HasPrefix(string(got), row.want) {
			t.Errorf("%s: got %.60q, %v, want %q and the end", name, got, err, row.want)
		}
	}
}

func TestStoppingEndsWhatRequestsWaitFor(t *testing.T) {
	s := startServer(t, nil)
	release := make(chan struct{})
	defer close(release)
	held := make(chan struct{})
	s.node.Loops()[0].Call(func(*loop.Loop) { close(held); <-release })
	<-held
	answered := make(chan int, 1)
	go func() { answered <- s.request(t, "GET", "/api/ledger", "").status }()
	eventually(t, "the request asks the loops", func() bool { return len(s.admin.api.walking) == 1 })
	if err := s.admin.stop(t.Context()); err != nil {
		t.Errorf("stop: %v", err)
	}
	if got := <-answered; got != http.StatusServiceUnavailable {
		t.Errorf("got HTTP %d, want 503", got)
	}
}
