package server

import (
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/loop"
)

// Defects that the attacks found. Each test failed when it was written; its comment describes the defect, which is repaired. Two
// limits remain: a client that sends FIN gets its last words at once, perhaps without its own last messages; and bytes after
// urgent data, which no WebSocket client sends, are read only together with the next byte.

// The defect: a closed connection kept its unfinished message in memory. nbio cuts its list of asynchronous calls (timer.Async)
// to length 0 without clearing it. So up to 1,024 calls of OnClose per loop stayed reachable, each with its connection, the
// session and the parser's buffer of up to 64 KiB. Up to 64 MiB per loop stayed in memory in this way, and no metric counted
// them.
func TestAttackConnectionsThatAreGoneKeepNothing(t *testing.T) {
	s := startServer(t, nil)
	const holders = 200
	before := heapAfterGC()
	wires := make([]*wire, holders)
	for i := range wires {
		wires[i] = s.join(t, "/ws/raw/room")
		wires[i].write(head(0x82, 64<<10) + strings.Repeat("r", 64<<10-1))
	}
	s.settle(t)
	for _, w := range wires {
		w.reset()
	}
	clear(wires)
	s.empty(t, 0, 0)
	s.settle(t)
	if left := heapAfterGC() - before; left > 3<<20 {
		t.Errorf("%d bytes are left of %d connections that are gone", left, holders)
	}
}

// The defect: when the server was full, one goroutine refused new connections one after the other, and each could be silent for
// 200 ms. So an honest client behind 10 silent clients waited 2 s for its 503 (behind 64 silent clients 13 s). A stop and a
// drain waited that long, too.
func TestAttackSilentOnesHoldUpNeitherTheRefusalOfOthersNorTheStop(t *testing.T) {
	s := startServer(t, func(cfg *Config) { hostile(cfg); cfg.MaxConns = 1 })
	s.join(t, "/ws/chat/room")
	const silent = 10
	for range silent {
		s.dial(t)
	}
	began := time.Now()
	honest := s.dial(t)
	honest.write(upgradeRequest("/ws/chat/room"))
	if status, _ := honest.refused(); status != 503 {
		t.Errorf("HTTP %d, want 503", status)
	}
	if after := time.Since(began); after > silent*refusalTime/2 {
		t.Errorf("the refusal took %v: the time of the silent ones adds up", after)
	}
	for range silent {
		s.dial(t)
	}
	eventually(t, "they wait to be refused", func() bool { return s.counts.full.Load() == 2*silent+1 })
	began = time.Now()
	if err := s.acceptor.stop(); err != nil {
		t.Error(err)
	}
	if after := time.Since(began); after > silent*refusalTime/2 {
		t.Errorf("to stop took %v: the time of the silent ones adds up", after)
	}
}

// The defect: PROTOCOL.md says "405: a method other than GET", but a POST to a room without an upgrade got 426. Also, a response
// to HEAD must not have a body (RFC 9110 section 9.3.2).
func TestAttackOtherMethodsToARoomAreRefused(t *testing.T) {
	s := startServer(t, hostile)
	post := s.dial(t)
	post.write("POST /ws/chat/room HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
	if status := post.response().StatusCode; status != 405 {
		t.Errorf("POST to a room: HTTP %d, want 405", status)
	}
	head := s.dial(t)
	head.write("HEAD /ws/chat/room HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if all, err := io.ReadAll(head.r); err != nil || !strings.HasSuffix(string(all), "\r\n\r\n") {
		t.Errorf("HEAD to a room has a body: %q, %v", all, err)
	}
}

// The defect: a client that sent its whole request and then FIN (nc -N, some health checks) got no answer. Another goroutine made
// the page, and meanwhile the transport closed the connection because the peer had finished.
func TestAttackARequestFollowedByFINIsAnswered(t *testing.T) {
	s := startServer(t, hostile)
	w := s.dial(t)
	w.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	w.finish()
	if all, err := io.ReadAll(w.r); err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 200") {
		t.Errorf("got %q, %v", all, err)
	}
}

// The limit: recv(2) stops at urgent data, so it returns fewer bytes than were asked for although more are there. The loop then
// believes that the socket is empty, and an edge-triggered epoll does not report it again. So the bytes after the urgent byte
// wait for the next byte of the peer, and are lost if FIN comes instead. This affects only a client that sends urgent data (no
// WebSocket client does).
func TestAttackUrgentDataHarmsNobodyElse(t *testing.T) {
	s := startServer(t, func(cfg *Config) { hostile(cfg); cfg.Loops = 1 })
	by := s.watch(t, "/ws/raw/room")
	w := s.join(t, "/ws/raw/room")
	held, goOn := make(chan struct{}), make(chan struct{})
	s.node.Loops()[0].Call(func(*loop.Loop) { close(held); <-goOn })
	<-held
	w.text("before")
	w.control(func(fd int) error { return unix.Sendto(fd, []byte{'!'}, unix.MSG_OOB, nil) })
	w.text("behind")
	w.arrived()
	w.finish()
	close(goOn)
	s.empty(t, 2, 1)
	if others := by.exchange(); len(others) == 0 || others[0] != "before" {
		t.Errorf("the others heard %q", others)
	}
}

// The defect: a member broke a rule while its own messages were still on their way back, so its connection waited for these
// messages. If the peer had already sent FIN but still read, the transport closed the connection before they came. So the peer
// got neither its own last messages nor the reason of the close.
func TestAttackAMistakeFollowedByFINIsAnswered(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/chat/room")
	w := s.join(t, "/ws/chat/room")
	w.write(textFrame(`{"message":1}`) + textFrame("not JSON"))
	w.finish()
	code, reason, heard, err := w.countUntilClose()
	if code != 4500 || err != nil {
		t.Errorf("closed with %d %q, %v after %d messages; want 4500", code, reason, err, heard)
	}
	if others := by.exchange(); len(others) != 1 {
		t.Errorf("the others heard %q", others)
	}
}
