package server

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

// fakeBackend stands for a bus to other nodes. The test controls it.
type fakeBackend struct {
	loop.Bus
	node    *loop.Node
	refuses atomic.Bool
	local   atomic.Bool // publications have no place in the order of all nodes
	keeps   atomic.Bool // publications stay with the bus until release
	mu      sync.Mutex
	kept    []*loop.Publication
	doubts  atomic.Bool
	trouble atomic.Pointer[string]
	alone   atomic.Pointer[string]
	warning atomic.Pointer[string]
	gap     func(lane int, rooms []string)
	flushed atomic.Bool
	yields  atomic.Int64
	others  int // members on other nodes; negative: they cannot be counted
}

func (f *fakeBackend) Publish(p *loop.Publication) {
	if f.refuses.Load() {
		f.node.Refuse(p)
		return
	}
	if f.doubts.Load() {
		f.node.Doubt(p)
		return
	}
	if f.local.Load() {
		p.ID = loop.ID{Seq: 1}
		f.node.Directory().Deliver(len(p.Room)%3, []*loop.Publication{p})
		return
	}
	if f.keeps.Load() {
		f.node.Directory().Reserve(p)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.kept = append(f.kept, p)
		return
	}
	f.Bus.Publish(p)
}

func (f *fakeBackend) keptCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.kept)
}

// release gives the kept publications their place.
func (f *fakeBackend) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, p := range f.kept {
		p.ID = loop.ID{Tag: 7, Seq: uint64(i + 1)}
		f.node.Directory().Deliver(len(p.Room)%3, []*loop.Publication{p})
	}
	f.kept = nil
}

func (f *fakeBackend) Join(room string, l *loop.Loop) {
	l.Call(func(l *loop.Loop) { f.Bus.Join(room, l) })
}
func (f *fakeBackend) Leave(e *loop.Entry, l *loop.Loop) { f.Bus.Leave(e, l) }

func startWithBackend(t *testing.T, change func(*Config)) (*testServer, *fakeBackend) {
	f := &fakeBackend{others: 2}
	b := &Backend{
		Bus: f, Lanes: 3, LaneOf: func(room string) int { return len(room) % 3 },
		Start: func(n *loop.Node, gap func(int, []string)) {
			f.node, f.Bus, f.gap = n, loop.NewEmbedded(n.Directory(), 1), gap
		},
		Yield: func() { f.yields.Add(1) },
		Fill: func() {
			for lane := range 3 {
				f.node.Directory().Fill(lane).Abandon()
			}
		},
		Flush: func(context.Context) error { f.flushed.Store(true); return nil },
		Ready: func() error {
			if text := f.trouble.Load(); text != nil {
				return errors.New(*text)
			}
			return nil
		},
		Alone: func() string {
			if text := f.alone.Load(); text != nil {
				return *text
			}
			return ""
		},
		Warning: func() string {
			if text := f.warning.Load(); text != nil {
				return *text
			}
			return ""
		},
		Refuses: func(string) bool { return f.refuses.Load() },
		Members: func(context.Context, string) (int, error) {
			if f.others < 0 {
				return 0, errors.New("nobody knows")
			}
			return 1 + f.others, nil
		},
		Metrics: []BackendMetric{{"dots_redis_gaps_total", "counter", "Gaps announced.", func() float64 { return 7 }}},
	}
	return startConnected(t, b, change), f
}

func TestAMessageThatTheBackendRefusesClosesItsSenderWith4104(t *testing.T) {
	s, f := startWithBackend(t, nil)
	a, b := s.join(t, "/ws/chat/lobby/"), s.join(t, "/ws/chat/lobby/")
	before := f.yields.Load()
	a.say("one")
	a.hears("one")
	b.hears("one")
	if f.yields.Load() == before {
		t.Error("the loop read a message and did not yield to the backend")
	}
	f.refuses.Store(true)
	a.say("two")
	if reason := a.endsWith(protocol.CloseBackendUnavailable); !strings.HasPrefix(reason, "backend_unavailable: ") {
		t.Errorf("got the reason %q", reason)
	}
	if r := s.request(t, "POST", "/api/rooms/chat/lobby/messages", `{"message":1}`); r.status != http.StatusServiceUnavailable {
		t.Errorf("the API answers %d, want 503", r.status)
	}
	f.refuses.Store(false)
	b.say("three")
	b.hears("three")
}

// A message in doubt may have arrived. So the close reason must not say that it is lost, and only its sender is closed.
func TestAMessageInDoubtClosesItsSenderAloneWithAReasonThatSaysSo(t *testing.T) {
	s, f := startWithBackend(t, nil)
	a, b := s.join(t, "/ws/chat/lobby/"), s.join(t, "/ws/chat/lobby/")
	f.doubts.Store(true)
	a.say("one")
	if got, want := a.endsWith(protocol.CloseBackendUnavailable), "backend_unavailable: a message may or may not have reached the room"; got != want {
		t.Errorf("got the reason %q, want %q", got, want)
	}
	f.doubts.Store(false)
	b.say("two")
	b.hears("two")
	m := s.scrape(t)
	if got := m[`dots_ended_total{reason="backend_doubtful"}`]; got != "1" {
		t.Errorf("%s ends are counted, want 1", got)
	}
	if got := m[`dots_closes_total{code="4104",name="backend_unavailable"}`]; got != "1" {
		t.Errorf("%s closes with 4104 are counted, want 1", got)
	}
}

func TestANodeThatLostItsBackendIsNotReadyButAlive(t *testing.T) {
	s, f := startWithBackend(t, nil)
	if r := s.get(t, "/readyz"); r.status != http.StatusOK {
		t.Errorf("got %d", r.status)
	}
	why := "the last round trip through Redis is 3.1 s old"
	f.trouble.Store(&why)
	if r := s.request(t, "GET", "/readyz", ""); r.status != http.StatusServiceUnavailable || !strings.Contains(r.body, why) {
		t.Errorf("got %d and %q", r.status, r.body)
	}
	if r := s.get(t, "/healthz"); r.status != http.StatusOK {
		t.Errorf("/healthz: got %d", r.status)
	}
	if got := s.scrape(t); got["dots_redis_gaps_total"] != "7" || got["dots_ready"] != "0" {
		t.Errorf("metrics: gaps %s, ready %s", got["dots_redis_gaps_total"], got["dots_ready"])
	}
}

// A node that is configured to serve alone without its backend is ready, and /readyz says that it serves alone.
func TestANodeThatServesAloneIsReadyAndSaysSo(t *testing.T) {
	s, f := startWithBackend(t, func(c *Config) { c.Redis, c.RedisReady, c.PublicReadyz = "redis://a", 4*time.Second, true })
	look := func(body string) {
		t.Helper()
		if r := s.get(t, "/readyz"); r.status != http.StatusOK || r.body != body+"\n" {
			t.Errorf("got %d and %q, want 200 and %q", r.status, r.body, body)
		}
		w := s.dial(t)
		w.write("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if status, text := w.refused(); status != http.StatusOK || text != body+"\n" {
			t.Errorf("the address for clients: got %d and %q, want 200 and %q", status, text, body)
		}
		if got := s.scrape(t)["dots_ready"]; got != "1" {
			t.Errorf("dots_ready is %s, want 1", got)
		}
	}
	look("ready")
	warning := "it evicts"
	f.warning.Store(&warning)
	look("ready; but it evicts")
	f.warning.Store(nil)
	why := "serving alone: the last round trip through Redis is 4.1 s old"
	f.alone.Store(&why)
	look(why)
	trouble := "the nodes do not fit"
	f.trouble.Store(&trouble)
	if r := s.request(t, "GET", "/readyz", ""); r.status != http.StatusServiceUnavailable || r.body != trouble+"\n" {
		t.Errorf("got %d and %q, want 503 and %q", r.status, r.body, trouble)
	}
}

func TestARoomIsCountedOverAllNodes(t *testing.T) {
	s, f := startWithBackend(t, nil)
	member := s.join(t, "/ws/chat/lobby/")
	if r := s.get(t, "/api/rooms/chat/lobby"); !strings.Contains(r.body, `"members":3,"here":1`) {
		t.Errorf("got %q", r.body)
	}
	publish := func(want string) {
		t.Helper()
		if r := s.request(t, "POST", "/api/rooms/chat/lobby/messages", `{"message":"hello"}`); r.status != http.StatusAccepted || r.body != want+"\n" {
			t.Errorf("got HTTP %d %s, want 202 %s", r.status, r.body, want)
		}
		member.hears("hello")
	}
	publish(`{"accepted":true,"members":3,"here":1}`)
	f.others = -1
	if r := s.request(t, "GET", "/api/rooms/chat/lobby", ""); r.status != http.StatusServiceUnavailable {
		t.Errorf("got %d, want 503", r.status)
	}
	publish(`{"accepted":true,"here":1}`)
}

func TestADrainFlushesTheBackend(t *testing.T) {
	s, f := startWithBackend(t, nil)
	if err := s.Drain(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if !f.flushed.Load() {
		t.Error("not flushed")
	}
}
