package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"dotsconnect/loop"
)

// The end-to-end tests write a number into every message that identifies its sender and its place among the sender's messages:
// sender*perSender + n. So they can check the messages of each receiver: one order for all, no gap, no duplicate.
const perSender = 1_000_000

// talker is a member that sends numbered messages and records every number that it receives. It never calls the testing.T, so it
// can run on a goroutine of its own.
type talker struct {
	*wire
	sender int
	pad    string // makes the messages longer
	sent   int
	echoed int
	heard  []int
	code   int // code of the close frame that ended it
	reason string
	out    []byte
}

func newTalker(w *wire, sender int) *talker { return &talker{wire: w, sender: sender} }

// send writes the talker's next n messages at once.
func (k *talker) send(n int) error {
	k.out = k.out[:0]
	for range n {
		k.out = append(k.out, frame(1, true, fmt.Appendf(nil, `{"message":"%d %s"}`, k.sender*perSender+k.sent, k.pad))...)
		k.sent++
	}
	_, err := k.Write(k.out)
	return err
}

// hear reads one frame. It returns io.EOF for the close frame.
func (k *talker) hear() error {
	op, payload, err := k.next()
	switch {
	case err != nil:
		return fmt.Errorf("member %d after %d messages: %w", k.sender, len(k.heard), err)
	case op == 8:
		if len(payload) >= 2 {
			k.code, k.reason = int(binary.BigEndian.Uint16(payload)), string(payload[2:])
		}
		return io.EOF
	case op != 1:
		return fmt.Errorf("member %d: opcode %d", k.sender, op)
	}
	number, ok := numberOf(payload)
	if !ok {
		return fmt.Errorf("member %d heard %.60q", k.sender, payload)
	}
	k.heard = append(k.heard, number)
	if number/perSender == k.sender {
		k.echoed++
	}
	return nil
}

// numberOf reads the number in {"message":"NUMBER pad"}.
func numberOf(payload []byte) (int, bool) {
	text, ok := bytes.CutPrefix(payload, []byte(`{"message":"`))
	digits, _, found := bytes.Cut(text, []byte(" "))
	number, err := strconv.Atoi(string(digits))
	return number, ok && found && err == nil
}

// talk sends count messages, with at most window of them on their way back, and returns when the talker has received total
// messages of all senders.
func (k *talker) talk(count, window, total int) error {
	for len(k.heard) < total {
		if more := min(count-k.sent, window-(k.sent-k.echoed)); more > 0 {
			if err := k.send(more); err != nil {
				return err
			}
		}
		if err := k.hear(); err != nil {
			return err
		}
	}
	return nil
}

// hearAll reads up to the close frame, and then to the end of the stream.
func (k *talker) hearAll() error {
	for {
		if err := k.hear(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	if rest, err := io.ReadAll(k.r); len(rest) > 0 || isTimeout(err) {
		return fmt.Errorf("member %d: %d bytes after the close frame, %w", k.sender, len(rest), err)
	}
	return nil
}

// together runs all functions at the same time and reports their errors.
func together(t *testing.T, fs ...func() error) {
	t.Helper()
	errs := make([]error, len(fs))
	var wait sync.WaitGroup
	for i, f := range fs {
		wait.Go(func() { errs[i] = f() })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// checkOrder checks that all talkers received the same messages, and from each sender exactly its own messages in their order.
func checkOrder(t *testing.T, senders, each int, talkers ...*talker) {
	t.Helper()
	for _, k := range talkers {
		if at := firstDifference(talkers[0].heard, k.heard); at >= 0 {
			t.Fatalf("members %d and %d heard different orders from message %d on", talkers[0].sender, k.sender, at)
		}
	}
	next := make([]int, senders)
	for i, number := range talkers[0].heard {
		sender, n := number/perSender, number%perSender
		if sender >= senders || n != next[sender] {
			t.Fatalf("message %d is %d of sender %d, want %v next", i, n, sender, next)
		}
		next[sender]++
	}
	for sender, n := range next {
		if n != each {
			t.Errorf("%d messages of sender %d arrived, want %d", n, sender, each)
		}
	}
}

func firstDifference(a, b []int) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}

// isPrefix reports whether order begins with heard.
func isPrefix(heard, order []int) bool {
	return len(heard) <= len(order) && slices.Equal(heard, order[:len(heard)])
}

// membersByLoop counts the members of a room ("chat/lobby") on each loop.
func (s *testServer) membersByLoop(t *testing.T, room string) []int {
	t.Helper()
	var counts []int
	for _, l := range s.node.Loops() {
		n, err := onLoop(t, l, func(l *loop.Loop) (n int, err error) {
			l.Each(func(c *loop.Conn) bool {
				if c.Room() == room {
					n++
				}
				return true
			})
			return n, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		counts = append(counts, n)
	}
	return counts
}

// onAllLoops fails the test unless every loop has members of the room.
func (s *testServer) onAllLoops(t *testing.T, room string) {
	t.Helper()
	if counts := s.membersByLoop(t, room); slices.Contains(counts, 0) {
		t.Fatalf("the members of %s sit on the loops as %v: this test needs some on each", room, counts)
	}
}

// stats adds up the counters that the loops published at the end of their last turns.
func (s *testServer) stats() (sum loop.Stats) {
	for _, l := range s.node.Loops() {
		one := l.Stats()
		sum.Turns += one.Turns
		sum.Accepted += one.Accepted
		sum.Delivered += one.Delivered
		sum.Writes += one.Writes
		sum.Lags += one.Lags
		sum.Stalls += one.Stalls
		sum.Pauses += one.Pauses
		sum.InputBytes += one.InputBytes
		sum.UnparsedBytes += one.UnparsedBytes
		sum.Conns += one.Conns
		sum.Rooms += one.Rooms
		sum.LaggingConns += one.LaggingConns
		sum.PausedNow += one.PausedNow
		sum.BacklogMax = max(sum.BacklogMax, one.BacklogMax)
		for i := range sum.Ended {
			sum.Ended[i] += one.Ended[i]
			sum.Dropped[i] += one.Dropped[i]
		}
	}
	return sum
}

// slowEnded returns the number of slow consumers that were kicked.
func slowEnded(s loop.Stats) uint64 {
	return s.Ended[loop.ReasonBacklogHard] + s.Ended[loop.ReasonBacklogSoft] + s.Ended[loop.ReasonShed]
}

// joinNarrow joins with the smallest possible receive buffer, so that the server soon notices that a member does not read.
func (s *testServer) joinNarrow(t *testing.T, path string) *wire {
	t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 2048)
		})
		return errors.Join(cerr, err)
	}}
	conn, err := dialer.DialContext(context.Background(), "tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return s.upgrade(t, conn, path)
}

// upgrade makes conn a member of the room with this path.
func (s *testServer) upgrade(t *testing.T, conn net.Conn, path string) *wire {
	t.Helper()
	w := &wire{conn, t, bufio.NewReader(conn)}
	w.write(upgradeRequest(path))
	if status := w.response().StatusCode; status != http.StatusSwitchingProtocols {
		t.Fatalf("%s: HTTP %d, want 101", path, status)
	}
	return w
}

// hold stops the loops until release is called.
func (s *testServer) hold(loops ...*loop.Loop) (release func()) {
	goOn := make(chan struct{})
	for _, l := range loops {
		held := make(chan struct{})
		l.Call(func(*loop.Loop) { close(held); <-goOn })
		<-held
	}
	return func() { close(goOn) }
}

var noDeadline time.Time

// tryJoin does the same as join, but returns an error, for goroutines that must not end the test.
func (s *testServer) tryJoin(t *testing.T, path string) (*talker, error) {
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	w := &wire{conn, t, bufio.NewReader(conn)}
	if _, err := io.WriteString(conn, upgradeRequest(path)); err != nil {
		return nil, err
	}
	r, err := http.ReadResponse(w.r, &http.Request{Method: http.MethodGet})
	if err != nil {
		return nil, err
	}
	if r.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("HTTP %d, want 101", r.StatusCode)
	}
	return newTalker(w, 0), nil
}
