package client

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"dotsconnect/bench/internal/stub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 5 * time.Second

// log records what an engine tells its handlers.
type log struct {
	e      *Engine
	opens  []Open
	texts  []string
	closes []Close
	beats  []int64
}

func newLog(t *testing.T, url string, change func(*Config)) *log {
	t.Helper()
	target, err := ParseTarget(url)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Target: target, MaxConns: 8}
	if change != nil {
		change(&cfg)
	}
	l := &log{}
	l.e, err = New(cfg, Handlers{
		OnOpen:    func(_ int32, o Open) { l.opens = append(l.opens, o) },
		OnMessage: func(_ int32, p []byte, _ int64) { l.texts = append(l.texts, string(p)) },
		OnClose:   func(_ int32, c Close) { l.closes = append(l.closes, c) },
		OnBeat:    func(_ int32, before, _ int64) { l.beats = append(l.beats, before) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.e.Close() })
	return l
}

func (l *log) dial(t *testing.T) int32 {
	t.Helper()
	id, err := l.e.Dial("/ws/chat/a/")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (l *log) until(t *testing.T, what string, done func() bool) {
	t.Helper()
	ok, err := l.e.Run(l.e.Now()+int64(patience), done)
	if err != nil || !ok {
		t.Fatalf("%s did not come about: err %v, %d open, closes %v, texts %.200q", what, err, len(l.opens), l.closes, l.texts)
	}
}

func (l *log) untilClosed(t *testing.T) Close {
	t.Helper()
	l.until(t, "the end", func() bool { return len(l.closes) > 0 })
	return l.closes[0]
}

// echo sends back what comes, until the close handshake or the client's FIN.
func echo(c *stub.Conn) {
	for {
		op, payload, err := c.Read()
		if err != nil || op == stub.Close {
			return
		}
		c.Write(stub.Frame(op, payload))
	}
}

func TestEchoesOfEverySizeClassArriveWhole(t *testing.T) {
	l := newLog(t, stub.Start(t, echo), nil)
	id := l.dial(t)
	l.until(t, "the 101", func() bool { return len(l.opens) == 1 })
	o := l.opens[0]
	if o.Dialed > o.Requested || o.Requested > o.Stamp {
		t.Errorf("stamps out of order: %+v", o)
	}
	for _, n := range []int{0, 1, 125, 126, 65535, 65536, 200_000} {
		want := strings.Repeat("x", n)
		l.texts = nil
		if _, err := l.e.Send(id, []byte(want)); err != nil {
			t.Fatal(err)
		}
		l.until(t, fmt.Sprintf("the echo of %d bytes", n), func() bool { return len(l.texts) == 1 })
		if l.texts[0] != want {
			t.Errorf("%d bytes came back as %d", n, len(l.texts[0]))
		}
	}
}

func TestFramesCutAtEveryByteAreReadWhole(t *testing.T) {
	stream := slicesConcat(stub.Frame(stub.Text, []byte("one")), stub.Frame(stub.Ping, []byte("p")),
		[]byte{0x01, 2, 't', 'w'}, stub.Frame(stub.Pong, nil), []byte{0x80, 1, 'o'},
		stub.Frame(stub.Text, bytes.Repeat([]byte("3"), 300)), stub.CloseFrame(4100, "heartbeat_missed"))
	url := stub.Start(t, func(c *stub.Conn) {
		for i := range stream {
			c.Write(stream[i : i+1])
			if i%3 == 0 {
				time.Sleep(50 * time.Microsecond) // lets most bytes travel alone
			}
		}
		echo(c)
	})
	l := newLog(t, url, nil)
	l.dial(t)
	end := l.untilClosed(t)
	if end.How != ByFrame || end.Code != 4100 || end.Reason != "heartbeat_missed" || !end.Opened {
		t.Errorf("got end %+v", end)
	}
	if got, want := strings.Join(l.texts, " "), "one two "+strings.Repeat("3", 300); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func slicesConcat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestHeadAndFramesInOneSegmentAreBothRead(t *testing.T) {
	addr := stub.StartRaw(t, func(nc *net.TCPConn) {
		b := make([]byte, 4096)
		n, _ := nc.Read(b)
		_, key, _ := strings.Cut(string(b[:n]), "Sec-WebSocket-Key: ")
		key, _, _ = strings.Cut(key, "\r\n")
		_, _ = nc.Write(append([]byte(stub.Accept(key)), stub.Frame(stub.Text, []byte("early"))...))
		_, _ = io.Copy(io.Discard, nc)
	})
	l := newLog(t, "ws://"+addr, nil)
	l.dial(t)
	l.until(t, "the message", func() bool { return len(l.texts) == 1 })
}

func TestPingsAreAnsweredWithTheirPayload(t *testing.T) {
	got := make(chan string, 1)
	url := stub.Start(t, func(c *stub.Conn) {
		c.Write(stub.Frame(stub.Ping, []byte("are you there")))
		op, payload, _ := c.Read()
		got <- fmt.Sprint(op, " ", string(payload))
	})
	l := newLog(t, url, nil)
	l.dial(t)
	l.untilClosed(t)
	if s := <-got; s != "10 are you there" {
		t.Errorf("got %q", s)
	}
}

func TestEndsAreToldApart(t *testing.T) {
	raw := func(answer string) func(*testing.T) string {
		return func(t *testing.T) string {
			return "ws://" + stub.StartRaw(t, func(nc *net.TCPConn) {
				_, _ = nc.Read(make([]byte, 4096))
				_, _ = io.WriteString(nc, answer)
			})
		}
	}
	serve := func(f func(c *stub.Conn)) func(*testing.T) string {
		return func(t *testing.T) string { return stub.Start(t, f) }
	}
	tests := map[string]struct {
		server func(*testing.T) string
		want   string
		opened bool
	}{
		"close with a code": {serve(func(c *stub.Conn) { c.Write(stub.CloseFrame(4101, "slow_consumer: hard")); echo(c) }),
			"closed with 4101 slow_consumer: hard", true},
		"close without one": {serve(func(c *stub.Conn) { c.Write(stub.Frame(stub.Close, nil)); echo(c) }), "closed with 1005 ", true},
		"half a code":       {serve(func(c *stub.Conn) { c.Write(stub.Frame(stub.Close, []byte{3})); echo(c) }), "broken: a close frame with half a code", true},
		"FIN":               {serve(func(*stub.Conn) {}), "EOF", true},
		"RST":               {serve((*stub.Conn).Reset), "RST", true},
		"close, then RST": {serve(func(c *stub.Conn) { c.Write(stub.CloseFrame(4200, "draining")); c.Reset() }),
			"closed with 4200 draining", true},
		"masked":        {serve(func(c *stub.Conn) { c.Write([]byte{0x81, 0x80, 0, 0, 0, 0}); echo(c) }), "broken: a masked frame from the server", true},
		"lost fragment": {serve(func(c *stub.Conn) { c.Write([]byte{0x80, 0}); echo(c) }), "broken: a continuation of nothing", true},
		"too big": {serve(func(c *stub.Conn) {
			c.Write(make([]byte, 0))
			c.Write([]byte{0x81, 127, 1, 0, 0, 0, 0, 0, 0, 0})
			echo(c)
		}), "broken: a frame of 72057594037927936 bytes, over the limit of 262144", true},
		"no place":         {raw("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\n\r\nfull\n"), "rejected with HTTP 503 full", false},
		"wrong accept":     {raw("HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: eA==\r\n\r\n"), "broken: the 101 lacks a right Upgrade, Connection or Sec-WebSocket-Accept", false},
		"not HTTP":         {raw("SSH-2.0-x\r\n\r\n"), `broken: not an HTTP/1.1 answer: "SSH-2.0-x"`, false},
		"EOF, no response": {raw(""), "EOF", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := newLog(t, test.server(t), nil)
			l.dial(t)
			end := l.untilClosed(t)
			if end.String() != test.want || end.Opened != test.opened {
				t.Errorf("got %q opened %v, want %q opened %v", end, end.Opened, test.want, test.opened)
			}
			l.until(t, "a free slot", func() bool { return len(l.e.free) == 8 })
			if len(l.closes) != 1 || l.e.opened != 0 || l.e.opening != 0 {
				t.Errorf("told %d times, opened %d, opening %d", len(l.closes), l.e.opened, l.e.opening)
			}
		})
	}
}

func TestRefusedPortIsTold(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	l := newLog(t, "ws://"+ln.Addr().String(), nil)
	l.dial(t)
	if end := l.untilClosed(t); end.How != Refused || end.Opened {
		t.Errorf("got %+v", end)
	}
}

func TestServersThatNeverAnswerOrNeverGoAreLeftInTime(t *testing.T) {
	addr := stub.StartRaw(t, func(nc *net.TCPConn) { _, _ = io.Copy(io.Discard, nc) })
	l := newLog(t, "ws://"+addr, func(c *Config) { c.DialTimeout = 20 * time.Millisecond })
	l.dial(t)
	if end := l.untilClosed(t); end.How != TimedOut {
		t.Errorf("got %+v", end)
	}
	url := stub.Start(t, func(c *stub.Conn) {
		c.Write(stub.CloseFrame(1001, ""))
		for _, _, err := c.Read(); err == nil; _, _, err = c.Read() {
			continue // keeps the socket open after the close handshake
		}
	})
	l = newLog(t, url, func(c *Config) { c.CloseTimeout = 20 * time.Millisecond })
	l.dial(t)
	l.until(t, "a free slot", func() bool { return len(l.closes) == 1 && len(l.e.free) == 8 })
}

func TestWhatTheKernelDoesNotTakeFollowsLaterInOrder(t *testing.T) {
	const messages, size = 60, 100_000
	start := make(chan struct{})
	url := stub.Start(t, func(c *stub.Conn) {
		<-start
		for i := range messages {
			_, payload, err := c.Read()
			if err != nil || len(payload) != size || payload[0] != byte(i) || payload[size-1] != byte(i) {
				c.Write(stub.CloseFrame(4000, fmt.Sprintf("message %d: %d bytes, err %v", i, len(payload), err)))
				return
			}
		}
		c.Write(stub.Frame(stub.Text, []byte("all")))
		echo(c)
	})
	l := newLog(t, url, func(c *Config) { c.MaxBacklog = messages * (size + 14) })
	id := l.dial(t)
	l.until(t, "the 101", func() bool { return len(l.opens) == 1 })
	for i := range messages {
		if _, err := l.e.Send(id, bytes.Repeat([]byte{byte(i)}, size)); err != nil {
			t.Fatal(err)
		}
	}
	if l.e.Unsent(id) == 0 {
		t.Fatal("the kernel took everything: the test tests nothing")
	}
	close(start)
	l.until(t, "the last message", func() bool { return len(l.texts) == 1 || len(l.closes) == 1 })
	if len(l.texts) != 1 || l.e.Unsent(id) != 0 {
		t.Errorf("got texts %q, closes %v, unsent %d", l.texts, l.closes, l.e.Unsent(id))
	}
}

func TestBacklogIsBounded(t *testing.T) {
	done := make(chan struct{})
	defer close(done)
	url := stub.Start(t, func(*stub.Conn) { <-done })
	l := newLog(t, url, func(c *Config) { c.MaxBacklog = 1 << 20 })
	id := l.dial(t)
	l.until(t, "the 101", func() bool { return len(l.opens) == 1 })
	for range 1000 {
		if _, err := l.e.Send(id, make([]byte, 100_000)); err != nil {
			if err != ErrBacklog || l.e.Unsent(id) > 1<<20 {
				t.Errorf("err %v with %d unsent", err, l.e.Unsent(id))
			}
			return
		}
	}
	t.Error("100 MB were taken for a peer that does not read")
}

func TestHeartbeatsAreSpreadOverThePeriod(t *testing.T) {
	const period = 80 * time.Millisecond
	l := newLog(t, stub.Start(t, echo), func(c *Config) { c.BeatEvery = period })
	if err := l.e.OpenAll(8, 4, func(int) string { return "/" }, patience); err != nil {
		t.Fatal(err)
	}
	for id := range int32(8) {
		l.e.Beat(id, true)
	}
	l.until(t, "four rounds", func() bool { return len(l.beats) >= 33 })
	gaps := l.beats[32] - l.beats[0]
	if want := int64(4 * period); gaps < want-want/4 || gaps > 3*want {
		t.Errorf("four rounds took %v, want %v", time.Duration(gaps), time.Duration(want))
	}
	l.until(t, "their echoes", func() bool { return len(l.texts) >= 33 })
	if l.texts[0] != `"heartbeat"` {
		t.Errorf("got %q", l.texts[0])
	}
}

func TestCursorSkipsRoundsThatAStallMissed(t *testing.T) {
	var b beats
	b.init(100, 10, 1000)
	b.on = 1
	b.k = 3
	if got, want := b.next(), int64(1030); got != want {
		t.Errorf("beat 3 is due at %d, want %d", got, want)
	}
	b.skip(1130)
	if b.k != 3 {
		t.Errorf("a beat exactly one period late was left out")
	}
	b.skip(9999)
	if late := 9999 - b.next(); late > 100 || late < 90 {
		t.Errorf("after a stall the cursor is %d behind, want just under a period", late)
	}
}

func TestResetShowsAsRSTAtTheServer(t *testing.T) {
	got := make(chan error, 1)
	url := stub.Start(t, func(c *stub.Conn) { _, _, err := c.Read(); got <- err })
	l := newLog(t, url, nil)
	id := l.dial(t)
	l.until(t, "the 101", func() bool { return len(l.opens) == 1 })
	l.e.Reset(id)
	if err := <-got; err == nil || !strings.Contains(err.Error(), "reset by peer") {
		t.Errorf("the server saw %v", err)
	}
	if len(l.closes) != 0 || len(l.e.free) != 8 {
		t.Errorf("closes %v, %d free", l.closes, len(l.e.free))
	}
}

func TestCutRequestsStopWhereTheyShould(t *testing.T) {
	got := make(chan string, 1)
	addr := stub.StartRaw(t, func(nc *net.TCPConn) {
		b, _ := io.ReadAll(nc)
		got <- string(b)
	})
	l := newLog(t, "ws://"+addr, nil)
	cutDone := false
	l.e.h.OnCut = func(id int32) { cutDone = true }
	id, err := l.e.DialCut("/abc", 7)
	if err != nil {
		t.Fatal(err)
	}
	l.until(t, "the cut", func() bool { return cutDone })
	time.Sleep(5 * time.Millisecond) // an RST may overtake unread bytes
	l.e.Reset(id)
	if s := <-got; s != "GET /ab" {
		t.Errorf("the server read %q", s)
	}
}

func TestSourcesAreUsedInTurn(t *testing.T) {
	from := make(chan string, 4)
	addr := stub.StartRaw(t, func(nc *net.TCPConn) {
		host, _, _ := net.SplitHostPort(nc.RemoteAddr().String())
		from <- host
		_, _ = io.Copy(io.Discard, nc)
	})
	l := newLog(t, "ws://"+addr, func(c *Config) { c.Sources = 2 })
	seen := map[string]int{}
	for range 4 {
		l.dial(t)
		for len(from) == 0 { // no event of the engine tells of it
			if err := l.e.Poll(l.e.Now() + int64(time.Millisecond)); err != nil {
				t.Fatal(err)
			}
		}
		seen[<-from]++
	}
	if seen["127.0.0.1"] != 2 || seen["127.0.0.2"] != 2 {
		t.Errorf("got %v", seen)
	}
	if n := len(newSources(Config{MaxConns: 250_000, Target: l.e.cfg.Target})); n != 42 {
		t.Errorf("250,000 connections get %d sources, want 42", n)
	}
}

func TestFullEngineRefusesAndSlotsComeBack(t *testing.T) {
	l := newLog(t, stub.Start(t, echo), func(c *Config) { c.MaxConns = 1 })
	for range 50 {
		id := l.dial(t)
		if _, err := l.e.Dial("/"); err != ErrNoSlot {
			t.Fatalf("got %v, want ErrNoSlot", err)
		}
		n := len(l.opens)
		l.until(t, "the 101", func() bool { return len(l.opens) > n })
		l.e.Reset(id)
	}
}

func TestTalksToAForeignServer(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		kind, b, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, b) != nil {
			return
		}
		ctx := c.CloseRead(r.Context())
		if c.Ping(ctx) == nil {
			_ = c.Close(4100, "heartbeat_missed")
		}
	}))
	defer srv.Close()
	l := newLog(t, "ws"+strings.TrimPrefix(srv.URL, "http"), nil)
	id := l.dial(t)
	l.until(t, "the 101", func() bool { return len(l.opens) == 1 })
	if _, err := l.e.Send(id, []byte(`{"message":"é"}`)); err != nil {
		t.Fatal(err)
	}
	if end := l.untilClosed(t); end.Code != 4100 || len(l.texts) != 1 || l.texts[0] != `{"message":"é"}` {
		t.Errorf("got end %v, texts %q", end, l.texts)
	}
}

func TestTargetsAreParsed(t *testing.T) {
	for raw, want := range map[string]string{
		"ws://127.0.0.1:8000":            "/ws/chat/a%20b/",
		"ws://127.0.0.1:8000/":           "/ws/chat/a%20b/",
		"ws://127.0.0.1:8000/r?x={room}": "/r?x=a%20b",
		"ws://[::1]:8000/x":              "/x",
	} {
		target, err := ParseTarget(raw)
		if err != nil || target.Room("a b") != want {
			t.Errorf("%s: got %q, %v, want %q", raw, target.Room("a b"), err, want)
		}
	}
	for _, raw := range []string{"", "http://x:1", "ws://x", "ws://127.0.0.1:99999", "ws://127.0.0.1:1/a b"} {
		if _, err := ParseTarget(raw); err == nil {
			t.Errorf("%q was taken", raw)
		}
	}
}

func TestQuietConnectionCostsAtMost150Bytes(t *testing.T) {
	// Per slot: the connection, its entry in the free list, and its share of
	// the dial deadlines, which are gone after DialTimeout.
	got := unsafe.Sizeof(conn{}) + unsafe.Sizeof(int32(0)) + 2*unsafe.Sizeof(deadline{})
	if got > 150 {
		t.Errorf("a quiet connection costs %d bytes", got)
	}
}
