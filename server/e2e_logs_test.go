package server

import (
	"fmt"
	"io"
	"net"
	"testing"
)

// TestHostileEventsHaveNoLogLineEach floods the server with what anybody on the network can do, at full speed, and looks at
// what its logger was given, before any sampling: nothing but the two kinds that an operator must know of. Two members notice
// nothing.
func TestHostileEventsHaveNoLogLineEach(t *testing.T) {
	const times = 500
	s := startServer(t, nil)
	a, b := s.join(t, "/ws/chat/calm/"), s.join(t, "/ws/chat/calm/")
	frames := func(bytes ...byte) string { return upgradeRequest("/ws/chat/calm/") + string(bytes) }
	floods := map[string]string{
		"garbage":         "\x00\x01\x02\r\n\r\n",
		"TLS hello":       "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"bad version":     "GET /ws/chat/calm/ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n\r\n",
		"bad room":        upgradeRequest("/ws/chat/%00/"),
		"foreign origin":  upgradeRequest("/ws/chat/calm/", "Origin: https://evil.example"),
		"half a request":  "GET /ws/chat/calm/ HTTP/1.1\r\nHo",
		"unmasked frame":  frames(0x81, 1, 'x'),
		"reserved opcode": frames(0x83, 0x80, 0, 0, 0, 0),
		"not JSON":        frames(frame(1, true, []byte("nonsense"))...),
		"half a frame":    frames(0x81, 0xfe, 0x10),
	}
	var all []func() error
	for name, text := range floods {
		all = append(all, func() error {
			for i := range times {
				conn, err := net.Dial("tcp", s.Addr())
				if err != nil {
					return fmt.Errorf("%s, %d: %w", name, i, err)
				}
				_, _ = io.WriteString(conn, text)
				_ = conn.(*net.TCPConn).SetLinger(0) // a reset
				_ = conn.Close()
			}
			return nil
		})
	}
	together(t, all...)
	eventually(t, "all are gone", func() bool { return s.connections() == 2 })
	a.say("still here")
	a.hears("still here")
	b.hears("still here")
	lines := map[string]int{}
	for _, e := range s.logs.All() {
		lines[e.Message]++
	}
	for message, n := range lines {
		if !sampledKinds[message] || n > times {
			t.Errorf("%d lines %q", n, message)
		}
	}
	if len(lines) == 0 {
		t.Error("no line for a page that its origin keeps out, nor for bad messages")
	}
	t.Logf("%d hostile connections of %d kinds left lines: %v", times*len(floods), len(floods), lines)
}
