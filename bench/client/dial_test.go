package client

import (
	"io"
	"net"
	"testing"
	"time"

	"dotsconnect/bench/internal/stub"
)

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
	time.Sleep(5 * time.Millisecond) // the server must have read the bytes before an RST discards them
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
		for len(from) == 0 { // the engine has no event when the server accepts a connection, so poll in short steps
			if err := l.e.Poll(l.e.Now() + int64(time.Millisecond)); err != nil {
				t.Fatal(err)
			}
		}
		seen[<-from]++
	}
	if seen["127.0.0.1"] != 2 || seen["127.0.0.2"] != 2 {
		t.Errorf("got %v", seen)
	}
	sources, err := newSources(Config{MaxConns: 250_000, Target: l.e.cfg.Target})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(sources.all); n != 42 {
		t.Errorf("250,000 connections get %d sources, want 42", n)
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
			t.Errorf("%q was accepted", raw)
		}
	}
}
