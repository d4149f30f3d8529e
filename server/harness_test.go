package server

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"dotsconnect/loop"
)

// TestMain fails if a goroutine is left at the end. One goroutine of net/http stays for half a second after some answers, longer
// than goleak waits by default.
func TestMain(m *testing.M) {
	code := m.Run()
	var left error
	for deadline := time.Now().Add(patience); code == 0; {
		if left = goleak.Find(); left == nil {
			break
		}
		if time.Now().After(deadline) {
			fmt.Fprintln(os.Stderr, left)
			code = 1
		}
	}
	os.Exit(code)
}

// patience is how long a test waits for an event that must happen. No test checks that something is fast.
const patience = 30 * time.Second

// testServer is a whole server on loopback. At its end the test checks that no panic was recovered, that the log has no stack
// trace, and that the ledger balances.
type testServer struct {
	*Server
	logs *observer.ObservedLogs
}

// startServer starts a server with the default settings, changed by change, on free ports.
func startServer(t *testing.T, change func(*Config)) *testServer {
	t.Helper()
	return startConnected(t, nil, change)
}

// startConnected starts a server with a backend.
func startConnected(t *testing.T, backend *Backend, change func(*Config)) *testServer {
	t.Helper()
	return startLogging(t, zapcore.InfoLevel, backend, change)
}

// startLogging starts a server whose log has the given level.
func startLogging(t *testing.T, level zapcore.Level, backend *Backend, change func(*Config)) *testServer {
	t.Helper()
	cfg := Default()
	cfg.Listen, cfg.Admin, cfg.Loops = "127.0.0.1:0", "127.0.0.1:0", 2
	cfg.DrainTime = 100 * time.Millisecond
	if change != nil {
		change(&cfg)
	}
	core, logs := observer.New(level)
	s, err := NewConnected(cfg, zap.New(core), "test", backend)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(errors.Join(err, s.Close()))
	}
	ts := &testServer{s, logs}
	t.Cleanup(func() { ts.check(t) })
	return ts
}

// check closes the server, and checks its counters, its log and its ledger.
func (s *testServer) check(t *testing.T) {
	t.Helper()
	s.checkLedger(t)
	if err := s.Close(); err != nil {
		t.Errorf("close the server: %v", err)
	}
	if n := s.counts.panics.Load(); n != 0 {
		t.Errorf("%d panics were recovered", n)
	}
	for _, e := range s.logs.All() {
		if e.Level >= zapcore.ErrorLevel || e.Stack != "" {
			t.Errorf("logged %s: %s %v %s", e.Level, e.Message, e.ContextMap(), e.Stack)
		}
	}
}

// checkLedger asks every loop for its ledger.
func (s *testServer) checkLedger(t *testing.T) loop.Stats {
	t.Helper()
	var sum loop.Stats
	for _, l := range s.node.Loops() {
		stats, err := onLoop(t, l, (*loop.Loop).CheckLedger)
		if err != nil {
			t.Errorf("the ledger is not even: %v", err)
		}
		sum.Accepted += stats.Accepted
		sum.Appended += stats.Appended
		sum.Expected += stats.Expected
		sum.Delivered += stats.Delivered
		sum.InFlight += stats.InFlight
		sum.Turns += stats.Turns
		sum.Writes += stats.Writes
		sum.Rooms += stats.Rooms
		sum.Conns += stats.Conns
		for i := range sum.Dropped {
			sum.Dropped[i] += stats.Dropped[i]
			sum.Ended[i] += stats.Ended[i]
		}
	}
	return sum
}

// onLoop calls f in a turn of l and waits for it.
func onLoop[T any](t *testing.T, l *loop.Loop, f func(*loop.Loop) (T, error)) (T, error) {
	t.Helper()
	type answer struct {
		value T
		err   error
	}
	got := make(chan answer, 1)
	l.Call(func(l *loop.Loop) {
		v, err := f(l)
		got <- answer{v, err}
	})
	select {
	case a := <-got:
		return a.value, a.err
	case <-time.After(patience):
		t.Fatalf("loop %d did not answer within %v", l.Index(), patience)
		panic("unreachable")
	}
}

// eventually waits until done reports true.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("still not after %v: %s", patience, what)
		}
		time.Sleep(time.Millisecond) // polls the condition every millisecond
	}
}

// wire is a client that can make any mistake: it writes bytes and reads frames.
type wire struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

// dial opens a connection and sends nothing.
func (s *testServer) dial(t *testing.T) *wire {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &wire{conn, t, bufio.NewReader(conn)}
}

// join connects to a room: path is, for example, "/ws/chat/lobby/".
func (s *testServer) join(t *testing.T, path string) *wire {
	t.Helper()
	w := s.dial(t)
	w.write(upgradeRequest(path))
	if status := w.response().StatusCode; status != http.StatusSwitchingProtocols {
		t.Fatalf("%s: HTTP %d, want 101", path, status)
	}
	return w
}

// upgradeRequest returns a valid handshake with additional header lines, such as "Origin: https://x".
func upgradeRequest(path string, lines ...string) string {
	head := "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
	for _, line := range lines {
		head += line + "\r\n"
	}
	return head + "\r\n"
}

func (w *wire) write(s string) {
	w.t.Helper()
	if _, err := io.WriteString(w.Conn, s); err != nil {
		w.t.Fatalf("write: %v", err)
	}
}

// response reads the head of an HTTP response.
func (w *wire) response() *http.Response {
	w.t.Helper()
	r, err := http.ReadResponse(w.r, &http.Request{Method: "GET"})
	if err != nil {
		w.t.Fatalf("read the response: %v", err)
	}
	return r
}

// refused reads a whole refusal and returns its status and text. It checks that the server then closes.
func (w *wire) refused() (status int, text string) {
	w.t.Helper()
	r := w.response()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Fatalf("read the refusal: %v", err)
	}
	w.closed()
	return r.StatusCode, string(body)
}

// frame returns a masked client frame.
func frame(op byte, fin bool, payload []byte) []byte {
	b := []byte{op}
	if fin {
		b[0] |= 0x80
	}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	key := [4]byte{0x12, 0x34, 0x56, 0x78}
	b = append(b, key[:]...)
	for i, c := range payload {
		b = append(b, c^key[i%4])
	}
	return b
}

// text sends one whole text message.
func (w *wire) text(s string) { w.t.Helper(); w.write(string(frame(1, true, []byte(s)))) }

// say sends {"message":"s"}.
func (w *wire) say(s string) { w.t.Helper(); w.text(fmt.Sprintf(`{"message":%q}`, s)) }

// next reads the next frame that the server sends.
func (w *wire) next() (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err = io.ReadFull(w.r, head[:]); err != nil {
		return 0, nil, err
	}
	if head[0]&0xf0 != 0x80 || head[1]&0x80 != 0 {
		return 0, nil, fmt.Errorf("a server frame must be final, without reserved bits and unmasked, got % x", head)
	}
	n := uint64(head[1])
	switch n {
	case 126:
		var b [2]byte
		_, err = io.ReadFull(w.r, b[:])
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		_, err = io.ReadFull(w.r, b[:])
		n = binary.BigEndian.Uint64(b[:])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(w.r, payload)
	return head[0] & 15, payload, err
}

// message reads the next data message.
func (w *wire) message() string {
	w.t.Helper()
	op, payload, err := w.next()
	if err != nil || op > 2 {
		w.t.Fatalf("want a message, got opcode %d %q, %v", op, payload, err)
	}
	return string(payload)
}

// hears checks that {"message":"s"} is the next frame.
func (w *wire) hears(s string) {
	w.t.Helper()
	if got, want := w.message(), fmt.Sprintf(`{"message":%q}`, s); got != want {
		w.t.Fatalf("got %.200s, want %s", got, want)
	}
}

// ends reads up to the close frame and returns its code and reason, and the data messages before it.
func (w *wire) ends() (code int, reason string, before []string) {
	w.t.Helper()
	for {
		op, payload, err := w.next()
		switch {
		case err != nil:
			w.t.Fatalf("no close frame: %v (after %d messages)", err, len(before))
		case op == 8 && len(payload) == 0:
			return 1005, "", before
		case op == 8:
			return int(binary.BigEndian.Uint16(payload)), string(payload[2:]), before
		case op < 3:
			before = append(before, string(payload))
		}
	}
}

// endsWith checks that the next frame is a close frame with this code. It returns the reason.
func (w *wire) endsWith(code int) (reason string) {
	w.t.Helper()
	got, reason, before := w.ends()
	if got != code || len(before) > 0 {
		w.t.Fatalf("closed with %d %q after %d messages, want %d and none", got, reason, len(before), code)
	}
	return reason
}

// closed checks that the stream ends, with no bytes before the end.
func (w *wire) closed() {
	w.t.Helper()
	rest, err := io.ReadAll(w.r)
	if len(bytes.TrimSpace(rest)) > 0 {
		w.t.Fatalf("more came before the end: %q", rest)
	}
	if errors.Is(err, net.ErrClosed) || isTimeout(err) {
		w.t.Fatalf("the server did not close: %v", err)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
