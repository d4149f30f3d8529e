package server

import (
	"testing"
	"unsafe"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

// maxSession limits the memory in the heap for a connection, without nbio's part. The next size class has 176 bytes.
const maxSession = 160

func TestASessionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(session{}); n > maxSession {
		t.Errorf("a session has %d bytes, want at most %d: what few connections need belongs into extra", n, maxSession)
	}
}

// Each reason for which the core kicks members must have a code. The reasons of slow members, and no others, have
// 4101. A reason without a code would get 1011.
func TestEachReasonToKickHasItsCode(t *testing.T) {
	before := map[loop.CloseReason]bool{ // not kicks: the peer left, the session ended the connection, or it never was a member
		loop.ReasonLeft: true, loop.ReasonClosed: true, loop.ReasonGap: true, loop.ReasonHandshake: true, loop.ReasonRoomFull: true, loop.ReasonNodeFull: true,
	}
	s := startServer(t, nil)
	for reason := range loop.CloseReason(loop.NumReasons) {
		if before[reason] {
			continue
		}
		w := s.join(t, "/ws/chat/lobby/")
		for _, l := range s.node.Loops() {
			_, err := onLoop(t, l, func(l *loop.Loop) (any, error) {
				l.Each(func(c *loop.Conn) bool { c.Peer().Kick(reason); return true })
				return nil, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		code, text, _ := w.ends()
		if code == protocol.CloseInternalError || (code == protocol.CloseSlowConsumer) != reason.Slow() {
			t.Errorf("%v: closed with %d %q: give it a case in session.Kick", reason, code, text)
		}
	}
}
