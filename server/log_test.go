package server

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// TestHostileEventsHaveNoLogLineEach causes, at full speed, all events that a stranger on the network can cause. It checks the
// lines that the logger received before any sampling: only the two kinds that an operator must know may be there. The attack
// must have no effect on two members of a room.
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
				_ = conn.(*net.TCPConn).SetLinger(0) // makes the close a reset
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

// Texts of strangers are cut in the log and in answers. If they were not, ten lines a second with a whole head each could fill a
// disk.
func TestLongWordsOfStrangersAreCut(t *testing.T) {
	const long, most = 15_000, 4000
	s := startLogging(t, zapcore.DebugLevel, nil, nil)
	for _, request := range []string{
		upgradeRequest("/ws/chat/a/", "Origin: "+strings.Repeat("\xff", long)),
		upgradeRequest("/ws/chat/a/", "Origin: https://"+strings.Repeat("a", long)),
		upgradeRequest("/ws/chat/a/?"+strings.Repeat(`"`, long), "Origin: https://evil.example"),
		upgradeRequest("/ws/chat/%00/?" + strings.Repeat(`"`, long)),
		upgradeRequest("/ws/chat/%00/", "Sec-WebSocket-Protocol: "+strings.Repeat("a", long)),
		strings.Replace(upgradeRequest("/ws/chat/%00/"), "Host: localhost", "Host: "+strings.Repeat("h", long), 1),
	} {
		if r, body := s.exchange(t, request); r.StatusCode/100 != 4 || len(body) > most {
			t.Errorf("%.40q: HTTP %d with %d bytes, want 400 or 403 with at most %d", request, r.StatusCode, len(body), most)
		}
	}
	w := s.dial(t)
	w.write(upgradeRequest("/ws/chat/a/", "Sec-WebSocket-Protocol: "+strings.Repeat("a", long)))
	w.response()
	eventually(t, "it is opened", func() bool { return s.logs.FilterMessage("connection opened").Len() > 0 })
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	for _, entry := range s.logs.All() {
		line, err := encoder.EncodeEntry(entry.Entry, entry.Context)
		if err != nil {
			t.Fatal(err)
		}
		if line.Len() > most {
			t.Errorf("a line of %d bytes, want at most %d: %.200s", line.Len(), most, line.String())
		}
	}
}

func TestThePageOfALocalFileIsToldWhatWouldHelp(t *testing.T) {
	s := startServer(t, nil)
	r, body := s.exchange(t, upgradeRequest("/ws/chat/a/", "Origin: null"))
	if r.StatusCode != 403 || strings.Contains(body, "but *") || !strings.Contains(body, "local file") {
		t.Errorf("HTTP %d %q, want 403 with an explanation of null", r.StatusCode, body)
	}
}
