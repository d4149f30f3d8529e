package server

import (
	"net/http"
	"strings"
	"testing"
)

// A page may use a room over HTTP if it may open a WebSocket. Without an Origin the host decides.
func TestWhichPagesAndHostsMayUseARoomOverHTTP(t *testing.T) {
	s := startServer(t, func(c *Config) {
		open(c)
		c.Origins = []string{"https://app.example.org", "*.example.net"}
	})
	for _, row := range []struct {
		host, origin string
		ok           bool
		advice       string
	}{
		{"localhost", "", true, ""},
		{"LOCALHOST:1234", "", true, ""},
		{"127.0.0.1:8000", "", true, ""},
		{"[::1]:8000", "", true, ""},
		{"192.0.2.7", "", true, ""},
		{"app.example.org", "", true, ""},
		{"app.example.org:8443", "", true, ""},
		{"a.b.example.net", "", true, ""},
		{"example.net", "", false, "--origins=example.net"},
		{"rebound.example", "", false, "--origins=rebound.example"},
		{"rebound.example:8000", "", false, "--origins=rebound.example:8000"},
		{"localhost.rebound.example", "", false, "--origins=localhost.rebound.example"},
		{"127.0.0.1.rebound.example", "", false, "--origins=127.0.0.1.rebound.example"},
		{"a:b:c", "", false, "proxy"},
		{"localhost", "http://localhost", true, ""},
		{"rebound.example", "http://rebound.example", false, "--origins=http://rebound.example"},
		{"localhost", "https://app.example.org", true, ""},
		{"rebound.example", "https://app.example.org", true, ""}, // the page is listed, whatever the server is called
		{"localhost", "https://evil.example", false, "--origins=https://evil.example"},
		{"localhost", "http://localhost:5173", false, "--origins=http://localhost:5173"},
		{"localhost", "null", false, "null"},
	} {
		var lines []string
		if row.origin != "" {
			lines = append(lines, "Origin: "+row.origin)
		}
		for _, request := range []string{
			requestFor("GET", "/sse/chat/lobby/", lines...), postOf("/chat/lobby/", "1", append(lines, "Content-Type: text/plain")...),
			requestFor("OPTIONS", "/chat/lobby/", lines...), requestFor("OPTIONS", "/sse/chat/lobby/", lines...),
		} {
			w := s.dial(t)
			w.write(strings.Replace(request, "Host: localhost", "Host: "+row.host, 1))
			r := w.response()
			if (r.StatusCode < 300) != row.ok || !row.ok && r.StatusCode != 403 || r.Header.Get("Vary") != "Origin" {
				t.Errorf("%.7s with Host %s, Origin %q: HTTP %d, Vary %q; want it served: %v", request, row.host, row.origin, r.StatusCode, r.Header.Get("Vary"), row.ok)
			}
			want := ""
			if row.ok {
				want = row.origin
			}
			if got := r.Header.Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("%.7s with Host %s, Origin %q: the answer is for %q, want %q", request, row.host, row.origin, got, want)
			}
			if !row.ok {
				if text, err := w.r.ReadString('}'); err != nil || !strings.Contains(text, row.advice) {
					t.Errorf("Host %s, Origin %q: %q (%v), want %q in it", row.host, row.origin, text, err, row.advice)
				}
			}
			_ = w.Close()
		}
	}
	if s.logs.FilterMessage("request refused because of its host").Len() == 0 || s.logs.FilterMessage("page refused because of its origin").Len() == 0 {
		t.Error("the log does not have the refusals")
	}
}

// A browser asks before a POST with JSON. The answer to the question and the answer to the POST come over one connection.
func TestABrowserMayAskBeforeAPost(t *testing.T) {
	s := startServer(t, func(c *Config) { open(c); c.Origins = []string{"https://app.example.org"} })
	w := s.dial(t)
	w.write(requestFor("OPTIONS", "/chat/lobby/", "Origin: https://app.example.org", "Access-Control-Request-Method: POST",
		"Access-Control-Request-Headers: content-type,idempotency-key"))
	r := w.response()
	if r.StatusCode != http.StatusNoContent || r.Header.Get("Access-Control-Allow-Methods") != "POST" || r.Header.Get("Access-Control-Allow-Credentials") != "true" ||
		!strings.Contains(r.Header.Get("Access-Control-Allow-Headers"), "Content-Type, Idempotency-Key") || r.Header.Get("Allow") != "POST, OPTIONS" {
		t.Errorf("HTTP %d %v", r.StatusCode, r.Header)
	}
	w.write(postOf("/chat/lobby/", "1", "Origin: https://app.example.org", "Content-Type: application/json"))
	status, body, head := w.answer()
	idIn(t, status, body)
	if head.Get("Access-Control-Allow-Origin") != "https://app.example.org" {
		t.Errorf("answered with %v", head)
	}
	w.write(postOf("/chat/lobby/", "{", "Origin: https://app.example.org")) // the page can read an error, too
	if status, _, head := w.answer(); status != 400 || head.Get("Access-Control-Allow-Origin") != "https://app.example.org" {
		t.Errorf("HTTP %d %v", status, head)
	}
}

func TestWithOriginsOfAllEverythingIsServed(t *testing.T) {
	s := startServer(t, func(c *Config) { open(c); c.Origins = []string{"*"} })
	for _, lines := range [][]string{{"Origin: https://any.example"}, {"Origin: null"}, nil} {
		w := s.dial(t)
		w.write(strings.Replace(postOf("/chat/lobby/", "1", lines...), "Host: localhost", "Host: any.example", 1))
		status, body, _ := w.answer()
		idIn(t, status, body)
	}
}
