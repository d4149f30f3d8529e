package server

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// caller is a client of the admin address. It can stop in the middle of a request.
type caller struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func (a *admin) call(t *testing.T, text string) *caller {
	t.Helper()
	conn, err := net.Dial("tcp", a.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	c := &caller{conn, t, bufio.NewReader(conn)}
	c.say(text)
	return c
}

// get returns a whole GET request.
func get(target string, lines ...string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + strings.Join(append(lines, "\r\n"), "\r\n")
}

const withToken = "Authorization: Bearer secret"

func (c *caller) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads a response. If the response announces the end of the connection, answer reads that end too.
func (c *caller) answer() (status int, closes bool) {
	c.t.Helper()
	response, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		c.t.Fatal(err)
	}
	if response.Close {
		c.ends()
	}
	return response.StatusCode, response.Close
}

// ends checks that the stream ends, with no bytes before the end.
func (c *caller) ends() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err == nil || isTimeout(err) {
		c.t.Fatalf("got %q, %v, want the end", b, err)
	}
}

// idlers counts the connections that wait for their peers.
func (l *adminListener) idlers() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.open {
		if c.idle() {
			n++
		}
	}
	return n
}

func TestTheOldestHalfHeadOnTheAdminAddressGivesWay(t *testing.T) {
	for token, places := range map[string]int{"": mostShare - 1, "secret": mostShare - 1 - (mostShare / 2)} {
		a := bareAdmin(t, func(c *Config) { c.AdminToken = token })
		a.start()
		var callers []*caller
		for i := range places {
			callers = append(callers, a.call(t, "GET /healthz HTTP/1.1\r\nX: "))
			eventually(t, "half a head is read", func() bool { return a.listener.idlers() == i+1 })
		}
		callers = append(callers, a.call(t, "GET /healthz HTTP/1.1\r\nX: "))
		callers[0].ends()
		for i, c := range callers[1:] {
			c.say("\r\nHost: x\r\n\r\n")
			if status, _ := c.answer(); status != http.StatusOK {
				t.Errorf("half a head, number %d: got HTTP %d for the whole, want 200", i+1, status)
			}
		}
		if n := a.srv.counts.adminCut.Load(); n != 1 {
			t.Errorf("%d connections were cut, want 1", n)
		}
	}
}

func TestAnAdminRequestThatIsBeingAnsweredIsNotCut(t *testing.T) {
	for _, token := range []string{"", "secret"} {
		a := bareAdmin(t, func(c *Config) { c.AdminToken = token })
		release := make(chan struct{})
		a.mux.HandleFunc("POST /slow", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body)
			<-release
		})
		a.start()
		var slow []*caller
		for range mostShare / 2 {
			slow = append(slow, a.call(t, "POST /slow HTTP/1.1\r\nHost: localhost\r\n"+withToken+"\r\nContent-Length: 2\r\n\r\n{}"))
		}
		eventually(t, "all are being answered", func() bool { return len(a.answering) == (mostShare / 2) })
		if status, _ := a.call(t, get("/metrics", withToken)).answer(); status != http.StatusServiceUnavailable {
			t.Errorf("token %q: one more got HTTP %d, want 503", token, status)
		}
		for range 2 * mostShare {
			a.call(t, "GET /healthz HTTP/1.1\r\nX: ")
		}
		eventually(t, "others are cut", func() bool { return a.srv.counts.adminCut.Load() > mostShare })
		if status, _ := a.call(t, get("/healthz")).answer(); status != http.StatusOK {
			t.Errorf("token %q: /healthz got HTTP %d, want 200", token, status)
		}
		close(release)
		for _, c := range slow {
			if status, _ := c.answer(); status != http.StatusOK {
				t.Errorf("token %q: a slow request got HTTP %d, want 200", token, status)
			}
		}
	}
}

func TestAnAdminRequestWithoutTheTokenEndsItsConnection(t *testing.T) {
	for _, row := range []struct {
		token, request string
		status         int
		closes         bool
	}{
		{"secret", get("/metrics", withToken), 200, false},
		{"secret", get("/healthz", withToken), 200, false},
		{"secret", get("/nothing", withToken), 404, false},
		{"secret", get("/api/rooms/chat/nobody", withToken), 404, false},
		{"secret", "POST /api/rooms/chat/%FF/messages HTTP/1.1\r\nHost: localhost\r\n" + withToken + "\r\nContent-Length: 2\r\n\r\n{}", 400, false},
		{"secret", get("/healthz"), 200, true},
		{"secret", get("/readyz"), 503, true}, // the node was never started
		{"secret", get("/metrics"), 401, true},
		{"secret", get("/metrics", "Authorization: Bearer wrong"), 401, true},
		{"secret", get("/%00"), 401, true},
		{"secret", "POST /api/rooms/chat/lobby/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", 401, true},
		{"secret", get("/metrics", "Sec-Fetch-Site: cross-site"), 401, true},
		{"secret", "nonsense\r\n\r\n", 400, true},
		{"", get("/healthz"), 200, true},
		{"", get("/metrics"), 200, true},
		{"", get("/metrics", withToken), 200, true},
		{"", "GET /metrics HTTP/1.1\r\nHost: chat.example\r\n\r\n", 403, true},
		{"", "DELETE /api/connections/0700000000000001 HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n", 403, true},
		{"", get("/nothing"), 404, true},
	} {
		a := bareAdmin(t, func(c *Config) { c.AdminToken = row.token })
		a.start()
		c := a.call(t, "")
		if row.token != "" { // another connection, which has shown the token before
			c.say(get("/metrics", withToken))
			if status, closes := c.answer(); status != http.StatusOK || closes {
				t.Fatalf("with the token: got HTTP %d, closed: %v, want 200 and more", status, closes)
			}
		}
		c.say(row.request)
		if status, closes := c.answer(); status != row.status || closes != row.closes {
			t.Errorf("token %q, %.40q: got HTTP %d, closed: %v, want %d, %v", row.token, row.request, status, closes, row.status, row.closes)
		}
	}
}

func TestKnownAdminConnectionsGiveWayToEachOtherOnly(t *testing.T) {
	a := bareAdmin(t, func(c *Config) { c.AdminToken = "secret" })
	a.start()
	ask := func(c *caller) {
		t.Helper()
		if status, closes := c.answer(); status != http.StatusOK || closes {
			t.Fatalf("got HTTP %d, closed: %v, want 200 and more", status, closes)
		}
	}
	var known []*caller
	for i := range mostShare / 2 {
		known = append(known, a.call(t, get("/healthz", withToken)))
		ask(known[i])
		eventually(t, "it is idle", func() bool { return a.listener.idlers() == i+1 })
	}
	stranger := a.call(t, "GET /healthz HTTP/1.1\r\nX: ")
	known[0].say(get("/metrics", withToken)) // so that another connection is the one whose last request is oldest
	ask(known[0])
	eventually(t, "all are idle", func() bool { return a.listener.idlers() == (mostShare/2)+1 })
	known = append(known, a.call(t, get("/metrics", withToken)))
	ask(known[mostShare/2])
	known[1].ends()
	stranger.say("\r\nHost: x\r\n\r\n")
	if status, closes := stranger.answer(); status != http.StatusOK || !closes {
		t.Errorf("without the token: got HTTP %d, closed: %v, want 200 and the end", status, closes)
	}
	for _, c := range append(known[2:], known[0]) {
		c.say(get("/healthz", withToken))
		ask(c)
	}
}

// The listener first closes a connection without unread bytes. If there is none, it closes a connection with unread bytes from
// which it has read a whole request before. It never closes a connection from which it has read nothing yet.
func TestAnAdminConnectionIsNotCutBeforeItWasRead(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var cut atomic.Uint64
	l := newAdminListener(inner, mostShare, false, &cut)
	t.Cleanup(func() { l.Close() })
	l.maxOthers = 2
	accept := func() (net.Conn, *adminConn) {
		t.Helper()
		client, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return client, conn.(*adminConn)
	}
	gone := func(c *adminConn) bool { return !slices.Contains(l.open, c) }
	client, silent, unread := net.Conn(nil), (*adminConn)(nil), (*adminConn)(nil)
	client, unread = accept()
	_, silent = accept()
	unread.waiting, silent.waiting = true, true
	if _, err := io.WriteString(client, "x"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the byte is there", unread.unread)
	_, third := accept()
	if !gone(silent) || gone(unread) {
		t.Fatalf("cut: the silent one %v, the one with something to read %v, want the silent one", gone(silent), gone(unread))
	}
	_, fourth := accept()
	if !gone(unread) || gone(third) {
		t.Fatalf("cut: the one that was read once %v, the new one %v, want the former", gone(unread), gone(third))
	}
	if l.oldest(false) != nil {
		t.Error("one that was never read would lose its place")
	}
	fourth.answering, fourth.waiting = true, true
	if l.oldest(false) != nil {
		t.Error("one that is being answered would lose its place")
	}
	for name, change := range map[string]func(*adminConn){
		"one whose body is thrown away": func(c *adminConn) { c.ended = true },
		"one that only lingers":         func(c *adminConn) { c.ended, c.waiting, c.lingers = false, false, true },
	} {
		change(fourth)
		if l.oldest(false) != fourth {
			t.Errorf("%s would keep its place", name)
		}
	}
	if n := cut.Load(); n != 2 {
		t.Errorf("%d were cut, want 2", n)
	}
}

// countingListener counts the connections that have a descriptor.
type countingListener struct {
	net.Listener
	now, most atomic.Int64
}

type countedConn struct {
	*net.TCPConn
	closed func()
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	n := l.now.Add(1)
	for most := l.most.Load(); n > most && !l.most.CompareAndSwap(most, n); most = l.most.Load() {
	}
	return &countedConn{conn.(*net.TCPConn), sync.OnceFunc(func() { l.now.Add(-1) })}, nil
}

func (c *countedConn) Close() error {
	err := c.TCPConn.Close()
	c.closed()
	return err
}

var _ syscall.Conn = (*countedConn)(nil)

func TestTheAdminAddressHasABoundOfDescriptors(t *testing.T) {
	for _, token := range []string{"", "secret"} {
		a := bareAdmin(t, func(c *Config) { c.AdminToken = token })
		a.large()
		counting := &countingListener{Listener: a.listener.Listener}
		a.listener.Listener = counting
		a.start()
		t.Run(fmt.Sprintf("token %q", token), func(t *testing.T) {
			besiege(t, a.addr(), slices.Collect(maps.Values(adminAttacks))...)
			for range questions {
				var kept []*caller
				for range mostShare {
					kept = append(kept, a.call(t, get("/healthz", withToken)))
				}
				for _, c := range kept {
					if status, _ := c.answer(); status != http.StatusOK {
						t.Fatalf("got HTTP %d, want 200", status)
					}
				}
			}
		})
		if most := counting.most.Load(); most > mostShare {
			t.Errorf("token %q: %d connections at a time, want at most %d", token, most, mostShare)
		}
		eventually(t, "all are closed", func() bool { return counting.now.Load() == 0 })
	}
}
