package adapter_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"dotsconnect/bench/adapter"
)

// patience limits each step of these tests. A step should take milliseconds.
const patience = 10 * time.Second

// TestPeers checks that the servers with which dotsd is compared (the peers) behave as the
// comparison assumes. A peer that this machine lacks is skipped with the reason. A peer that needs
// a Redis runs as two servers, with members of each room on both. DOTS_TEST_ALL=1 tests some peers,
// DOTS_ADAPTERS=all (make adapters) tests all of them.
func TestPeers(t *testing.T) {
	all := os.Getenv("DOTS_ADAPTERS") == "all"
	if os.Getenv("DOTS_TEST_ALL") == "" && !all {
		t.Skip("builds servers, which takes minutes the first time: set DOTS_TEST_ALL=1 for some, or DOTS_ADAPTERS=all")
	}
	some := []string{"gws", "centrifuge-redis-history", "batch-512"}
	var adapters []adapter.Adapter
	for _, file := range []string{"../peers/peers.yaml", "../peers/redis.yaml"} {
		more, err := adapter.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		adapters = append(adapters, more...)
	}
	for _, a := range adapters {
		if !all && !slices.Contains(some, a.Name) {
			continue
		}
		t.Run(a.Name, func(t *testing.T) {
			s := start(t, a)
			t.Run("a message reaches all of its room and nobody else", func(t *testing.T) { testRooms(t, s) })
			t.Run("a heartbeat reaches nobody", func(t *testing.T) { testHeartbeat(t, s) })
			t.Run("the messages of two senders arrive in one order", func(t *testing.T) { testOrder(t, s) })
			t.Run("a room that everybody left comes back", func(t *testing.T) { testReturn(t, s) })
			t.Run("a large message passes", func(t *testing.T) { testLarge(t, s) })
			t.Run("SIGTERM ends it with 0", func(t *testing.T) { testStop(t, s) })
		})
	}
}

func testRooms(t *testing.T, s *server) {
	a, b, other := s.join(t, "one"), s.join(t, "one"), s.join(t, "two")
	a.send(t, "to-one")
	a.expect(t, "to-one")
	b.expect(t, "to-one")
	// The next message that other gets must be its own. Other's message was
	// sent after the message to room one, so the message to room one did not
	// reach other.
	other.send(t, "to-two")
	other.expect(t, "to-two")
	b.send(t, "again")
	a.expect(t, "again")
	b.expect(t, "again")
}

func testHeartbeat(t *testing.T, s *server) {
	a, b := s.join(t, "beats"), s.join(t, "beats")
	a.write(t, s.adapter.Frames.Heartbeat)
	a.send(t, "after")
	a.expect(t, "after")
	b.expect(t, "after")
	for _, c := range []*client{a, b} {
		for _, m := range c.chatter {
			if strings.Contains(m, "heartbeat") {
				t.Errorf("got %s, want silence after a heartbeat", m)
			}
		}
	}
}

func testOrder(t *testing.T, s *server) {
	const each = 50
	a, b := s.join(t, "order"), s.join(t, "order")
	var senders sync.WaitGroup
	for i, c := range []*client{a, b} {
		senders.Go(func() {
			for k := range each {
				c.send(t, fmt.Sprintf("sender-%d-%02d", i, k))
			}
		})
	}
	var gotA, gotB []string
	for range 2 * each {
		gotA = append(gotA, a.message(t))
		gotB = append(gotB, b.message(t))
	}
	senders.Wait()
	count := [2]int{}
	for i, m := range gotA {
		if m != gotB[i] {
			t.Fatalf("message %d is %s for one and %s for the other, want the same", i, m, gotB[i])
		}
		var sender, k int
		if _, err := fmt.Sscanf(m, "sender-%d-%d", &sender, &k); err != nil || k != count[sender] {
			t.Fatalf("message %d is %s, want number %d of that sender", i, m, count[sender])
		}
		count[sender]++
	}
}

func testReturn(t *testing.T, s *server) {
	url := s.urls()[0]
	for range 3 {
		a := s.joinAt(t, url, "again")
		for _, m := range []string{"first", "second"} { // the two texts differ, so that a duplicate of the first is not taken for the second
			a.send(t, m)
			a.expect(t, m)
		}
		if err := a.conn.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
	}
}

func testLarge(t *testing.T, s *server) {
	a, b := s.join(t, "large"), s.join(t, "large")
	m := strings.Repeat("x", 60<<10)
	a.send(t, m)
	a.expect(t, m)
	b.expect(t, m)
}

func testStop(t *testing.T, s *server) {
	for i, one := range s.All() {
		last := s.joinAt(t, s.urls()[i], "last").conn // this member does not read messages; a server that ends must not wait for the member
		last.CloseRead(t.Context())                   // answers a close frame, as every client should
		if err := syscall.Kill(one.Pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(patience); !one.Died(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("still there %v after SIGTERM", patience)
			}
		}
		if code := one.ExitCode(); code != 0 {
			t.Errorf("ended with exit code %d, want 0", code)
		}
	}
}

// server is a running peer: one process, or two that are one system.
type server struct {
	*adapter.Server
	adapter adapter.Adapter
	joins   int
}

// start builds and starts a peer. It skips the test if this machine lacks the
// peer.
func start(t *testing.T, a adapter.Adapter) *server {
	t.Helper()
	var absent *adapter.Absent
	if err := a.Prepare(t.Context()); errors.As(err, &absent) {
		t.Skip(absent.Why)
	} else if err != nil {
		t.Fatal(err)
	}
	// The kernel ends a server when the thread that started it ends, so keep
	// this thread.
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	servers := 1
	if a.Beside != "" {
		servers = 2
	}
	s, err := a.Launch(servers, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return &server{Server: s, adapter: a}
}

func (s *server) fill(template, room, payload string) string {
	return adapter.Fill(template, s.Port, room, payload)
}

func (s *server) urls() []string { return strings.Split(s.URL, ",") }

// client is a connection to a peer that is a member of a room.
type client struct {
	s       *server
	conn    *websocket.Conn
	room    string
	payload *regexp.Regexp // matches a received message and captures its payload
	waiting []string       // payloads of received messages that next has not returned yet
	chatter []string       // received messages without a payload
}

// join returns a client that has joined the room. It uses the servers in turn.
func (s *server) join(t *testing.T, room string) *client {
	t.Helper()
	s.joins++
	return s.joinAt(t, s.urls()[s.joins%len(s.urls())], room)
}

// joinAt returns a client that has joined the room at url. To be sure of that,
// it waits until a message of its own, the probe, has come back.
func (s *server) joinAt(t *testing.T, url, room string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, s.fill(url, room, ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(1 << 20)
	receive := strings.ReplaceAll(s.adapter.Frames.Receive, "{room}", room)
	receive = strings.NewReplacer(regexp.QuoteMeta("{payload}"), `([^"]*)`, regexp.QuoteMeta("{number}"), "[0-9]+").Replace(regexp.QuoteMeta(receive))
	c := &client{s: s, conn: conn, room: room, payload: regexp.MustCompile("^" + receive + "$")}
	for _, frame := range s.adapter.Frames.Join {
		c.write(t, s.fill(frame, room, ""))
	}
	if s.adapter.Frames.Joined != "" {
		for joined := regexp.MustCompile(s.adapter.Frames.Joined); !joined.MatchString(c.read(t)); {
			continue
		}
	}
	probe := fmt.Sprintf("probe-%p", c)
	c.send(t, probe)
	for c.next(t) != probe {
		continue
	}
	return c
}

func (c *client) send(t *testing.T, payload string) {
	t.Helper()
	c.write(t, c.s.fill(c.s.adapter.Frames.Send, c.room, payload))
}

func (c *client) write(t *testing.T, message string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.conn.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
		t.Error(err)
	}
}

func (c *client) read(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	kind, message, err := c.conn.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if kind != websocket.MessageText {
		t.Errorf("got a binary message %q, want text", message)
	}
	return string(message)
}

// next returns the next payload that the client receives. A message has a
// payload only if it matches the template Receive exactly.
func (c *client) next(t *testing.T) string {
	t.Helper()
	for len(c.waiting) == 0 {
		message := c.read(t)
		lines := []string{message}
		if c.s.adapter.Frames.Tag == "many" {
			lines = strings.Split(strings.TrimSpace(message), "\n")
		}
		for _, line := range lines {
			if found := c.payload.FindStringSubmatch(line); found != nil {
				c.waiting = append(c.waiting, found[1])
			} else {
				c.chatter = append(c.chatter, line)
			}
		}
	}
	payload := c.waiting[0]
	c.waiting = c.waiting[1:]
	return payload
}

// message returns the next payload that is not the probe of another client.
func (c *client) message(t *testing.T) string {
	t.Helper()
	for {
		if m := c.next(t); !strings.HasPrefix(m, "probe-") {
			return m
		}
	}
}

func (c *client) expect(t *testing.T, want string) {
	t.Helper()
	if got := c.message(t); got != want {
		t.Errorf("got %.80q, want %.80q", got, want)
	}
}
