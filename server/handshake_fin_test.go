package server

import (
	"io"
	"net"
	"testing"
)

// A client sends its handshake, messages and FIN in one segment, and still reads. It must get the 101, its own messages, and
// the last words. This is hard because nbio closes the socket as soon as the loop returns to it.
func TestAHandshakeWithFINIsAnsweredAndItsMessagesComeBack(t *testing.T) {
	const tries = 200
	s := startServer(t, nil)
	listener := s.join(t, "/ws/chat/lobby/")
	for i := range tries {
		w := s.dial(t)
		w.write(upgradeRequest("/ws/chat/lobby/") + string(frame(1, true, []byte(`{"message":"a"}`))) + string(frame(1, true, []byte(`{"message":"b"}`))))
		if err := w.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if status := w.response().StatusCode; status != 101 {
			t.Fatalf("try %d: HTTP %d, want 101", i, status)
		}
		w.hears("a")
		w.hears("b")
		if rest, err := io.ReadAll(w.r); len(rest) > 0 || err != nil {
			t.Fatalf("try %d: %q, %v after the messages, want the end", i, rest, err)
		}
		listener.hears("a")
		listener.hears("b")
		w.Close()
	}
	for i := range tries { // sends only the handshake and FIN
		w := s.dial(t)
		w.write(upgradeRequest("/ws/raw/lobby/"))
		if err := w.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if status := w.response().StatusCode; status != 101 {
			t.Fatalf("try %d without a message: HTTP %d, want 101", i, status)
		}
		w.closed()
		w.Close()
	}
}
