package server

import (
	"fmt"
	"testing"

	"dotsconnect/loop"
)

// Defects that the attacks found. Each test stays red until its defect is mended.

// stop holds a loop in the turn that appends a publication to room, between that and its flush, while f runs.
func (s *testServer) holdBeforeFlush(t *testing.T, l *loop.Loop, room string, variant loop.Variant, value string, f func()) {
	t.Helper()
	held, goOn := make(chan struct{}), make(chan struct{})
	l.Call(func(l *loop.Loop) { // both stand in the inbox of the next turn
		s.node.Publish(room, variant, loop.KindText, []byte(value))
		l.Call(func(*loop.Loop) { close(held); <-goOn })
	})
	<-held
	f()
	close(goOn)
}

// What had arrived before a reset is lost if the next thing that happens to the connection is a fan-out: deliver meets
// ECONNRESET and marks the member, sweep calls eof, and eof goes without reading the socket to its end.
func TestAttackFoundWhatArrivedBeforeAResetIsLostWhenAFanOutMeetsItFirst(t *testing.T) {
	s := startServer(t, func(cfg *Config) { hostile(cfg); cfg.Loops = 1 })
	by := s.watch(t, "/ws/raw/room")
	victim := s.join(t, "/ws/raw/room")
	s.holdBeforeFlush(t, s.node.Loops()[0], "raw/room", variantRaw, "for all", func() {
		for i := range 50 {
			victim.text(fmt.Sprintf("message %d", i))
		}
		victim.arrived()
		victim.reset()
	})
	s.empty(t, 2, 1)
	if got := by.exchange(); len(got) != 51 {
		t.Errorf("the others heard %d messages, want 51: %q", len(got), got)
	}
}

// The same for a member with a backlog: the transport's flush meets the reset before the read does and closes the socket.
func TestAttackFoundWhatASlowMemberSaidBeforeItsResetIsLost(t *testing.T) {
	s := startServer(t, func(cfg *Config) { hostile(cfg); cfg.Loops = 1; cfg.HardBacklog = 4 * MiB; cfg.SoftBacklog = 4 * MiB })
	by := s.watch(t, "/ws/raw/room")
	victim := s.join(t, "/ws/raw/room")
	l := s.node.Loops()[0]
	big := make([]byte, 60000)
	for i := range big {
		big[i] = 'x'
	}
	sent := 0
	for l.Stats().LaggingConns == 0 {
		by.pair[0].text(string(big))
		sent++
		by.hear(1)
		if sent > 2000 {
			t.Fatal("the member never lagged")
		}
	}
	held, goOn := make(chan struct{}), make(chan struct{})
	l.Call(func(*loop.Loop) { close(held); <-goOn })
	<-held
	for i := range 50 {
		victim.text(fmt.Sprintf("message %d", i))
	}
	victim.arrived()
	victim.reset()
	close(goOn)
	s.empty(t, 2, 1)
	if got := by.exchange(); len(got) != 50 {
		t.Errorf("the others heard %d messages, want 50", len(got))
	}
}

// The reason of a close that the parser asks for has its name twice: session.frame gives a reason that already reads
// "name: detail" to protocol.Reason, which puts the name before it again.
func TestAttackFoundTheReasonOfAProtocolErrorHasItsNameTwice(t *testing.T) {
	s := startServer(t, hostile)
	for bytes, want := range map[string]string{
		"\x83\x80":                 "protocol error: reserved opcode",
		head(0x81, 1) + "\xff":     "invalid UTF-8: text message",
		head(0x81, 64<<10+1):       "too big: message over the limit",
		"\x81\x01":                 "protocol error: unmasked frame",
		head(0x88, 2) + "\x03\xec": "protocol error: close code not allowed",
	} {
		w := s.join(t, "/ws/chat/room")
		w.write(bytes)
		if _, reason, _ := w.ends(); reason != want {
			t.Errorf("got reason %q, want %q", reason, want)
		}
	}
}
