package bustest

import (
	"encoding/binary"
	"io"
	"sync"
	"testing"
	"time"

	"dotsconnect/loop"
)

// patience is how long a bus may take to make a condition true. It is long because machines are busy; only a faulty bus makes a
// test wait that long.
const patience = time.Minute

// system is a number of nodes that one bus connects. Each loop has a goroutine.
type system struct {
	testing.TB
	nodes   []*loop.Node
	began   time.Time
	changed chan struct{} // holds a value when a publication may have come

	patience time.Duration
}

// newSystem makes a system of n nodes with two loops each.
func newSystem(t testing.TB, n int, connect Connect) *system {
	s := &system{TB: t, began: time.Now(), changed: make(chan struct{}, 1), patience: patience}
	var configs []loop.Config
	var bells [][]chan struct{}
	for range n {
		cfg := loop.DefaultConfig()
		cfg.Loops = 2
		cfg.MaxAge, cfg.HandshakeTimeout, cfg.CloseTimeout = time.Hour, time.Hour, time.Hour
		cfg.Encodings[0] = loop.Encoding{Append: appendFrame, Size: sizeFrame, NeedsID: true}
		rings := make([]chan struct{}, cfg.Loops)
		for i := range rings {
			rings[i] = make(chan struct{}, 1)
		}
		cfg.Ring = func(i int) { signal(rings[i]) }
		configs, bells = append(configs, cfg), append(bells, rings)
	}
	stop := make(chan struct{})
	var wait sync.WaitGroup
	t.Cleanup(func() { // runs after the cleanups of the buses, because those were registered later
		close(stop)
		wait.Wait()
	})
	s.nodes = connect(t, configs, func(i int, node *loop.Node) {
		for k, l := range node.Loops() {
			wait.Go(func() { s.turns(l, bells[i][k], stop) })
		}
	})
	return s
}

func signal(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// turns is the goroutine of a loop.
func (s *system) turns(l *loop.Loop, bell, stop chan struct{}) {
	ticker := time.NewTicker(loop.Tick)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-bell:
			l.Turn(time.Since(s.began))
			signal(s.changed)
		case <-ticker.C:
			l.Ring()
		}
	}
}

// until waits until a condition holds.
func (s *system) until(what string, holds func() bool) {
	s.Helper()
	deadline := time.NewTimer(s.patience)
	defer deadline.Stop()
	for !holds() {
		select {
		case <-s.changed:
		case <-deadline.C:
			s.Fatalf("after %v still not: %s", s.patience, what)
		}
	}
}

// A frame is four bytes of length, the id of the publication, and its value.
func appendFrame(dst []byte, p *loop.Publication) ([]byte, int) {
	id := p.ID.String()
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(id)+len(p.Value)))
	return append(append(dst, id...), p.Value...), -1
}

func sizeFrame(p *loop.Publication) int { return 4 + len(p.ID.String()) + len(p.Value) }

// got is a publication as a member got it.
type got struct{ id, value string }

// member is a connection without a socket.
type member struct {
	loop.Conn
	s      *system
	joined chan struct{}

	mu    sync.Mutex
	in    []byte // messages that the loop has not read yet, each after its length in four bytes
	half  []byte
	got   []got
	fin   bool // the loop has sent its last words
	gone  bool
	kicks []loop.CloseReason
}

// join makes a member of the room on a loop of a node.
func (s *system) join(room string, node, loopIndex int) *member {
	s.Helper()
	m := &member{s: s, joined: make(chan struct{})}
	m.Init(m)
	l := s.nodes[node].Loops()[loopIndex]
	l.Adopt(&m.Conn)
	l.Call(func(*loop.Loop) { m.Join(room, 0) })
	select {
	case <-m.joined:
	case <-time.After(s.patience):
		s.Fatalf("after %v a member has not joined %q", s.patience, room)
	}
	return m
}

// everywhere makes a member of the room on each loop of each node.
func (s *system) everywhere(room string) (all []*member) {
	for i, n := range s.nodes {
		for k := range n.Loops() {
			all = append(all, s.join(room, i, k))
		}
	}
	return all
}

// say makes the member publish.
func (m *member) say(value string) {
	m.mu.Lock()
	m.in = binary.BigEndian.AppendUint32(m.in, uint32(len(value)))
	m.in = append(m.in, value...)
	m.mu.Unlock()
	m.Loop().Call(func(l *loop.Loop) { l.Readable(&m.Conn, time.Since(m.s.began)) })
}

// leave ends the member in order: its own messages are handled first.
func (m *member) leave() {
	m.Loop().Call(func(*loop.Loop) { m.Finish(nil, loop.ReasonClosed) })
}

// has returns the publications that the member got.
func (m *member) has() []got {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]got(nil), m.got...)
}

func (m *member) hasGone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gone
}

func (m *member) kicked() []loop.CloseReason {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]loop.CloseReason(nil), m.kicks...)
}

// hears reports whether the member got the value.
func (m *member) hears(value string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := len(m.got) - 1; i >= 0; i-- {
		if m.got[i].value == value {
			return true
		}
	}
	return false
}

// The rest implements loop.Peer.

func (m *member) Open() error { return nil }

func (m *member) Read(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.fin:
		return 0, io.EOF
	case len(m.in) == 0:
		return 0, loop.ErrAgain
	}
	n := copy(p, m.in)
	m.in = m.in[n:]
	return n, nil
}

func (m *member) Send(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	idSize := len(loop.ID{}.String())
	for m.half = append(m.half, p...); len(m.half) >= 4; {
		n := 4 + int(binary.BigEndian.Uint32(m.half))
		if len(m.half) < n {
			break
		}
		m.got = append(m.got, got{string(m.half[4 : 4+idSize]), string(m.half[4+idSize : n])})
		m.half = m.half[n:]
	}
	return len(p), nil
}

func (m *member) AwaitRoom()     {}
func (m *member) Finished() bool { return false }

// CloseWrite is the end of the connection: a peer answers it with its own.
func (m *member) CloseWrite() {
	m.mu.Lock()
	m.fin = true
	m.mu.Unlock()
	m.Loop().Call(func(l *loop.Loop) { l.Readable(&m.Conn, time.Since(m.s.began)) })
}

func (m *member) Shutdown() {
	m.mu.Lock()
	m.gone = true
	m.mu.Unlock()
	m.Loop().Closed(&m.Conn)
}

func (m *member) Input(p []byte) (used int) {
	for len(p) >= 4 && m.MayParse() {
		n := 4 + int(binary.BigEndian.Uint32(p))
		if len(p) < n {
			break
		}
		m.Touch(m.Loop().Now())
		m.Took()
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
	m.kicks = append(m.kicks, why)
	m.mu.Unlock()
	m.Finish(nil, why)
}

func (m *member) Ping() {}
