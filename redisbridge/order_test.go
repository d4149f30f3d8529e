package redisbridge

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"dotsconnect/loop"
)

// testNode is a node without sockets: its loops run on goroutines, and its fake connections keep the frames that they get.
type testNode struct {
	t      testing.TB
	node   *loop.Node
	bridge *Bridge
	bells  []chan struct{}
	stop   chan struct{}
	wait   sync.WaitGroup
	began  time.Time
	gaps   atomic.Uint64

	mu       sync.Mutex
	rejected map[string]bool
	once     sync.Once
}

// testConfig is Default with shorter times, so that tests are quick.
func testConfig(url string) Config {
	cfg := Default()
	cfg.URL = url
	cfg.Silence, cfg.Beat, cfg.Look, cfg.Gone = 500*time.Millisecond, 300*time.Millisecond, 200*time.Millisecond, 3*time.Second
	cfg.Alone = 0
	cfg.Lanes = 4
	cfg.Hold, cfg.Down = 2*time.Second, Local
	return cfg
}

func startNode(t testing.TB, cfg Config, loops int) *testNode {
	t.Helper()
	n := newNode(t, cfg, loops)
	n.bridge.run()
	return n
}

// newNode makes a node whose bridge has not started.
func newNode(t testing.TB, cfg Config, loops int) *testNode {
	t.Helper()
	n := &testNode{t: t, stop: make(chan struct{}), began: time.Now(), rejected: map[string]bool{}}
	old := cfg.OnGap
	cfg.OnGap = func(g Gap) {
		n.gaps.Add(1)
		if old != nil {
			old(g)
		}
	}
	b := connect(t, cfg)
	n.bridge = b
	lc := loop.DefaultConfig()
	lc.Loops, lc.Lanes, lc.LaneOf = loops, b.Lanes(), b.LaneOf
	lc.MaxAge, lc.HandshakeTimeout = time.Hour, time.Hour
	lc.Encodings[0] = loop.Encoding{
		Append: func(dst []byte, p *loop.Publication) ([]byte, int) {
			dst = binary.BigEndian.AppendUint32(dst, uint32(len(p.Value)))
			return append(dst, p.Value...), len(dst)
		},
		Size: func(p *loop.Publication) int { return 4 + len(p.Value) },
	}
	for range loops {
		n.bells = append(n.bells, make(chan struct{}, 1))
	}
	lc.Ring = func(i int) {
		select {
		case n.bells[i] <- struct{}{}:
		default:
		}
	}
	n.node = loop.New(lc)
	n.node.Use(b)
	for i, l := range n.node.Loops() {
		n.wait.Go(func() { n.turns(l, n.bells[i]) })
	}
	b.attach(n.node)
	b.loops = n
	t.Cleanup(n.close)
	return n
}

// connect calls Connect and tries again if it times out, because a busy machine may take longer than Connect waits.
func connect(t testing.TB, cfg Config) *Bridge {
	t.Helper()
	for began := time.Now(); ; {
		b, err := Connect(t.Context(), cfg, zap.NewNop())
		if err == nil {
			return b
		}
		if !timedOut(err) || time.Since(began) > time.Minute {
			t.Fatal(err)
		}
	}
}

// turns is the goroutine of a loop.
func (n *testNode) turns(l *loop.Loop, bell chan struct{}) {
	ticker := time.NewTicker(loop.Tick)
	defer ticker.Stop()
	for {
		select {
		case <-n.stop:
			return
		case <-bell:
			l.Turn(time.Since(n.began))
		case <-ticker.C:
			l.Ring()
		}
	}
}

// The following methods stand between the bridge and the loops, and note refused and lost messages.
func (n *testNode) Congested() int           { return n.node.Congested() }
func (n *testNode) HoldBack(on bool)         { n.node.HoldBack(on) }
func (n *testNode) Lose(p *loop.Publication) { n.node.Lose(p) }
func (n *testNode) Refuse(p *loop.Publication) {
	n.mu.Lock()
	n.rejected[string(p.Value)] = true
	n.mu.Unlock()
	n.node.Refuse(p)
}

// Doubt counts as a refusal in the tests, because in both cases the sender learns that its message may be lost.
func (n *testNode) Doubt(p *loop.Publication) { n.Refuse(p) }

func (n *testNode) close() {
	n.once.Do(func() {
		if err := n.bridge.Close(); err != nil {
			n.t.Errorf("close: %v", err)
		}
		close(n.stop)
		n.wait.Wait()
	})
}

// ready waits until the node has had a round trip.
func (n *testNode) ready() {
	n.t.Helper()
	eventually(n.t, "the node is ready", func() bool { return n.bridge.Ready() == nil })
}

// member is a fake connection. The frames that it gets and the messages that it sends are a body after its length in four bytes.
type member struct {
	loop.Conn
	n      *testNode
	joined chan struct{}

	mu     sync.Mutex
	in     []byte // sent by the member, to be read by the loop
	got    []string
	half   []byte
	sent   []string // bodies that the member has published
	kicked []loop.CloseReason
	ended  bool
}

// join makes a member of the room on the given loop.
func (n *testNode) join(room string, loopIndex int) *member {
	n.t.Helper()
	m := &member{n: n, joined: make(chan struct{})}
	m.Init(m)
	l := n.node.Loops()[loopIndex]
	l.Adopt(&m.Conn)
	l.Call(func(*loop.Loop) { m.Join(room, 0) })
	select {
	case <-m.joined:
	case <-time.After(30 * time.Second):
		n.t.Fatal("never joined")
	}
	return m
}

// say makes the member publish.
func (m *member) say(body string) {
	m.mu.Lock()
	m.in = binary.BigEndian.AppendUint32(m.in, uint32(len(body)))
	m.in = append(m.in, body...)
	m.mu.Unlock()
	m.Loop().Call(func(l *loop.Loop) { l.Readable(&m.Conn, time.Since(m.n.began)) })
}

func (m *member) frames() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.got...)
}

// count returns the number of frames that the member got.
func (m *member) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.got)
}

func (m *member) published() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.sent...)
}

func (m *member) kicks() []loop.CloseReason {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]loop.CloseReason(nil), m.kicked...)
}

func (m *member) Open() error { return nil }

func (m *member) Read(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return 0, io.EOF
	}
	if len(m.in) == 0 {
		return 0, loop.ErrAgain
	}
	n := copy(p, m.in)
	m.in = m.in[n:]
	return n, nil
}

func (m *member) Send(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.half = append(m.half, p...)
	for len(m.half) >= 4 {
		n := 4 + int(binary.BigEndian.Uint32(m.half))
		if len(m.half) < n {
			break
		}
		m.got = append(m.got, string(m.half[4:n]))
		m.half = m.half[n:]
	}
	return len(p), nil
}

func (m *member) AwaitRoom()     {}
func (m *member) Finished() bool { return false }
func (m *member) CloseWrite()    {}
func (m *member) Shutdown()      {}

func (m *member) Input(p []byte) (used int) {
	for len(p) >= 4 && m.MayParse() {
		n := 4 + int(binary.BigEndian.Uint32(p))
		if len(p) < n {
			break
		}
		m.Touch(m.Loop().Now())
		m.Took()
		m.mu.Lock()
		m.sent = append(m.sent, string(p[4:n]))
		m.mu.Unlock()
		m.Publish(loop.KindText, p[4:n])
		p, used = p[n:], used+n
	}
	return used
}

func (m *member) Joined(string) {
	m.Upgraded(m.Loop().Now())
	close(m.joined)
}

func (m *member) Kick(why loop.CloseReason) {
	m.mu.Lock()
	m.kicked = append(m.kicked, why)
	m.mu.Unlock()
	m.Finish(nil, why)
}

func (m *member) Ping() {}

func TestAMessageReachesTheMembersOfAllNodesInOneOrder(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	a, b := startNode(t, testConfig(s.url()), 2), startNode(t, testConfig(s.url()), 1)
	members := []*member{a.join("chat/x", 0), a.join("chat/x", 1), b.join("chat/x", 0)}
	other := b.join("chat/y", 0)
	a.ready()
	b.ready()
	const each = 300
	for i := range each {
		for k, m := range members {
			m.say(fmt.Sprintf("%d.%d", k, i))
		}
	}
	for k, m := range members {
		eventually(t, fmt.Sprintf("member %d has everything", k), func() bool { return len(m.frames()) >= 3*each })
	}
	want := members[0].frames()
	for k, m := range members {
		if got := m.frames(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("member %d got another order", k)
		}
	}
	next := map[string]int{}
	for _, f := range want {
		var k, i int
		fmt.Sscanf(f, "%d.%d", &k, &i)
		if sender := fmt.Sprint(k); next[sender] != i {
			t.Fatalf("sender %d: got %d, want %d", k, i, next[sender])
		} else {
			next[sender]++
		}
	}
	if got := other.frames(); len(got) > 0 {
		t.Errorf("another room got %q", got)
	}
	if n := a.gaps.Load() + b.gaps.Load(); n > 0 {
		t.Errorf("%d gaps without a fault", n)
	}
	if err := a.bridge.Flush(context.Background()); err != nil {
		t.Error(err)
	}
}

// counted asks Redis for the counter of the lane.
func (l *lane) counted() (place, error) {
	s := l.bridge.store
	p, err := s.read(context.Background(), s.client, l.index, question{})
	return p.at, err
}

// rests reports whether every lane is subscribed, and has nothing to send, to read or to repair.
func (n *testNode) rests() bool {
	for _, l := range n.bridge.lanes {
		l.mu.Lock()
		rests := l.link != nil && !l.missed.running && !l.cur.heal && l.out.flight == nil && len(l.out.queue) == 0 && len(l.out.sent) == 0
		l.mu.Unlock()
		if !rests {
			return false
		}
	}
	return true
}
