package client

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"dotsconnect/bench/internal/stub"
)

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
		"half a code":       {serve(func(c *stub.Conn) { c.Write(stub.Frame(stub.Close, []byte{3})); echo(c) }), "broken: a close frame with an incomplete code", true},
		"FIN":               {serve(func(*stub.Conn) {}), "EOF", true},
		"RST":               {serve((*stub.Conn).Reset), "RST", true},
		"close, then RST": {serve(func(c *stub.Conn) { c.Write(stub.CloseFrame(4200, "draining")); c.Reset() }),
			"closed with 4200 draining", true},
		"masked":        {serve(func(c *stub.Conn) { c.Write([]byte{0x81, 0x80, 0, 0, 0, 0}); echo(c) }), "broken: a masked frame from the server", true},
		"lost fragment": {serve(func(c *stub.Conn) { c.Write([]byte{0x80, 0}); echo(c) }), "broken: a continuation frame without a message", true},
		"too big": {serve(func(c *stub.Conn) {
			c.Write(make([]byte, 0))
			c.Write([]byte{0x81, 127, 1, 0, 0, 0, 0, 0, 0, 0})
			echo(c)
		}), "broken: a frame of 72057594037927936 bytes, above the limit of 262144", true},
		"no place":         {raw("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\n\r\nfull\n"), "rejected with HTTP 503 full", false},
		"wrong accept":     {raw("HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: eA==\r\n\r\n"), "broken: the 101 has no valid Upgrade, Connection or Sec-WebSocket-Accept", false},
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
			continue // this server keeps the socket open after the close handshake
		}
	})
	l = newLog(t, url, func(c *Config) { c.CloseTimeout = 20 * time.Millisecond })
	l.dial(t)
	l.until(t, "a free slot", func() bool { return len(l.closes) == 1 && len(l.e.free) == 8 })
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
