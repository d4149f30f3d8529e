package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"dotsconnect/loop"
)

// Helpers of the attack tests. Most attacks have two bystanders in the attacked room. The bystanders talk before, during and
// after the attack, so that they notice any effect. They also receive the messages that the attacker sends before its mistake.

// hostile sets the timeouts to a tenth of their real values.
func hostile(cfg *Config) {
	cfg.HandshakeTimeout = 500 * time.Millisecond
	cfg.FrameTimeout = 500 * time.Millisecond
	cfg.CloseTimeout = 200 * time.Millisecond
}

// bystanders are two members of one room that talk to each other.
type bystanders struct {
	t     *testing.T
	raw   bool
	pair  [2]*wire
	heard [2][]string // messages of other members since the last exchange
	said  int
}

// watch puts two bystanders into a room, which must be empty.
func (s *testServer) watch(t *testing.T, path string) *bystanders {
	t.Helper()
	by := &bystanders{t: t, raw: strings.HasPrefix(path, "/ws/raw/"), pair: [2]*wire{s.join(t, path), s.join(t, path)}}
	if others := by.exchange(); len(others) != 0 {
		t.Fatalf("the room was not empty: %q", others)
	}
	return by
}

// exchange makes each bystander send a message, and waits until both have received it. It returns the messages of other members
// since the last exchange, which must be the same for both bystanders.
func (by *bystanders) exchange() (others []string) {
	by.t.Helper()
	for i, w := range by.pair {
		by.said++
		line := fmt.Sprintf("bystander %d says %d", i, by.said)
		if by.raw {
			w.text(line)
		} else {
			w.say(line)
			line = fmt.Sprintf(`{"message":%q}`, line)
		}
		for j := range by.pair {
			by.wait(j, line)
		}
	}
	others = by.heard[0]
	if !reflect.DeepEqual(others, by.heard[1]) {
		by.t.Fatalf("the bystanders heard different messages: %d %.200q and %d %.200q", len(others), others, len(by.heard[1]), by.heard[1])
	}
	by.heard = [2][]string{}
	return others
}

// wait reads the messages of bystander i until the given line comes.
func (by *bystanders) wait(i int, line string) {
	by.t.Helper()
	for {
		op, payload, err := by.pair[i].next()
		switch {
		case err != nil || op == 8:
			by.t.Fatalf("a bystander noticed: opcode %d %q, %v", op, payload, err)
		case op > 2: // answers a ping of the server
		case string(payload) == line:
			return
		default:
			by.heard[i] = append(by.heard[i], string(payload))
		}
	}
}

// hear waits until both bystanders have received n messages of other members, and returns them. Both read at the same time, so
// that neither becomes a slow consumer.
func (by *bystanders) hear(n int) (others []string) {
	by.t.Helper()
	var reading sync.WaitGroup
	for i, w := range by.pair {
		reading.Go(func() {
			for len(by.heard[i]) < n {
				op, payload, err := w.next()
				if err != nil || op == 8 {
					by.t.Errorf("a bystander noticed after %d of %d messages: opcode %d %q, %v", len(by.heard[i]), n, op, payload, err)
					return
				}
				if op < 3 {
					by.heard[i] = append(by.heard[i], string(payload))
				}
			}
		})
	}
	reading.Wait()
	if by.t.Failed() {
		by.t.FailNow()
	}
	return by.exchange()
}

// settle returns when all loops have read the bytes that were written before.
func (s *testServer) settle(t *testing.T) {
	t.Helper()
	for range 2 {
		for _, l := range s.node.Loops() {
			if _, err := onLoop(t, l, func(*loop.Loop) (struct{}, error) { return struct{}{}, nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// try writes s and reports whether the write succeeded. The write may fail, because the server may have cut the connection.
func (w *wire) try(s string) bool {
	_, err := io.WriteString(w.Conn, s)
	return err == nil
}

// control calls f with the descriptor of the connection.
func (w *wire) control(f func(fd int) error) {
	w.t.Helper()
	conn, err := w.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		w.t.Fatal(err)
	}
	var ferr error
	if err := errors.Join(conn.Control(func(fd uintptr) { ferr = f(int(fd)) }), ferr); err != nil {
		w.t.Fatal(err)
	}
}

// arrived waits until the server's kernel has received everything that was written.
func (w *wire) arrived() {
	w.t.Helper()
	eventually(w.t, "all is acknowledged", func() bool {
		unsent := 0
		w.control(func(fd int) (err error) {
			unsent, err = unix.IoctlGetInt(fd, unix.SIOCOUTQ)
			return err
		})
		return unsent == 0
	})
}

// reset ends the connection with RST.
func (w *wire) reset() {
	w.t.Helper()
	if err := errors.Join(w.Conn.(*net.TCPConn).SetLinger(0), w.Close()); err != nil {
		w.t.Fatal(err)
	}
}

// finish sends FIN, unless the server has already cut the connection. The client can still read.
func (w *wire) finish() { _ = w.Conn.(*net.TCPConn).CloseWrite() }

// head returns only the header of a client's frame, with the given first byte and length. The masking key is 0, so the payload
// can follow unchanged.
func head(first byte, length uint64) string {
	b := []byte{first}
	switch {
	case length < 126:
		b = append(b, 0x80|byte(length))
	case length < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(length))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), length)
	}
	return string(append(b, 0, 0, 0, 0))
}

// textFrame and closeFrame are whole client frames.
func textFrame(s string) string { return string(frame(1, true, []byte(s))) }

func closeFrame(code int, reason string) string {
	return string(frame(8, true, append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)))
}

// countUntilClose reads up to the close frame and only counts the messages before it. It is meant for floods.
func (w *wire) countUntilClose() (code int, reason string, messages int, err error) {
	for {
		op, payload, err := w.next()
		switch {
		case err != nil:
			return 0, "", messages, err
		case op == 8 && len(payload) >= 2:
			return int(binary.BigEndian.Uint16(payload)), string(payload[2:]), messages, nil
		case op < 3:
			messages++
		}
	}
}

// lags returns the number of members that have a backlog.
func (s *testServer) lags() (n int) {
	for _, l := range s.node.Loops() {
		n += l.Stats().LaggingConns
	}
	return n
}

// heapAfterGC returns the size of the live heap.
func heapAfterGC() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// descriptors counts the open files of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc here")
	}
	return len(entries)
}

// quiet checks that an attack did not write a log line for each event. A few kinds of lines are allowed, because an operator must
// know them; cmd/dotsd samples these.
func (s *testServer) quiet(t *testing.T) {
	t.Helper()
	others := s.logs.Filter(func(e observer.LoggedEntry) bool { return !sampledKinds[e.Message] })
	if n := others.Len(); n > 3 {
		t.Errorf("%d log lines, such as %v", n, others.All()[n-1])
	}
}

// sampledKinds are the log messages that a stranger can cause once for each connection.
var sampledKinds = map[string]bool{
	"page refused because of its origin": true, "request refused because of its host": true, "client sent a bad message": true, "client sent too many small frames, or an unfinished one": true, "client sent a message over the limit": true,
	"request over a limit": true, "room or node full": true, "connection refused because the server is full": true, "slow consumer kicked": true,
}

// empty waits until only n connections and the given number of rooms are left.
func (s *testServer) empty(t *testing.T, n, rooms int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d connections", n), func() bool { return s.connections() == n })
	eventually(t, fmt.Sprintf("%d rooms", rooms), func() bool { return s.node.Directory().Rooms() == rooms })
}

// masked encodes many client frames with the same opcode quickly.
func masked(op byte, n int, payload func(i int) string) []byte {
	var b bytes.Buffer
	for i := range n {
		b.Write(frame(op, true, []byte(payload(i))))
	}
	return b.Bytes()
}
