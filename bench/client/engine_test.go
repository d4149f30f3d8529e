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

// log records the calls of an engine's handlers.
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
		t.Fatalf("%s did not happen: err %v, %d open, closes %v, texts %.200q", what, err, len(l.opens), l.closes, l.texts)
	}
}

func (l *log) untilClosed(t *testing.T) Close {
	t.Helper()
	l.until(t, "the end", func() bool { return len(l.closes) > 0 })
	return l.closes[0]
}

// echo sends every message back, until the close handshake or the client's
// FIN.
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
	stream := bytes.Join([][]byte{stub.Frame(stub.Text, []byte("one")), stub.Frame(stub.Ping, []byte("p")),
		{0x01, 2, 't', 'w'}, stub.Frame(stub.Pong, nil), {0x80, 1, 'o'},
		stub.Frame(stub.Text, bytes.Repeat([]byte("3"), 300)), stub.CloseFrame(4100, "heartbeat_missed")}, nil)
	url := stub.Start(t, func(c *stub.Conn) {
		for i := range stream {
			c.Write(stream[i : i+1])
			if i%3 == 0 {
				time.Sleep(50 * time.Microsecond) // so that most bytes arrive separately
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

func TestAnswersToOneReadLeaveInOneWrite(t *testing.T) {
	const messages = 20
	answers := make(chan string, messages)
	url := stub.Start(t, func(c *stub.Conn) {
		defer close(answers)
		var all []byte
		for i := range messages {
			all = append(all, stub.Frame(stub.Text, []byte{'a' + byte(i)})...)
		}
		c.Write(all)
		for range messages {
			_, payload, err := c.Read()
			if err != nil {
				return
			}
			answers <- string(payload)
		}
	})
	l := newLog(t, url, func(c *Config) { c.Gather = true })
	held, handled := 0, 0
	l.e.h.OnMessage = func(id int32, payload []byte, _ int64) {
		if _, err := l.e.Send(id, payload); err != nil {
			t.Error(err)
		}
		held, handled = max(held, len(l.e.held)), handled+1
	}
	l.dial(t)
	l.until(t, "the last message", func() bool { return handled == messages })
	if one := len(AppendFrame(nil, OpText, []byte("a"))); held < 2*one {
		t.Errorf("at most %d bytes were held, want several answers of %d", held, one)
	}
	for i := range messages {
		if got, want := <-answers, string(rune('a'+i)); got != want {
			t.Fatalf("answer %d: got %q, want %q", i, got, want)
		}
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
	t.Error("100 MB were accepted for a peer that does not read")
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

func TestQuietConnectionCostsAtMost150Bytes(t *testing.T) {
	// Each slot needs a conn, an entry in the free list, and, until DialTimeout
	// has passed, a deadline. The queue of deadlines may have twice the size
	// that it needs.
	got := unsafe.Sizeof(conn{}) + unsafe.Sizeof(int32(0)) + 2*unsafe.Sizeof(deadline{})
	if got > 150 {
		t.Errorf("a quiet connection costs %d bytes", got)
	}
}
