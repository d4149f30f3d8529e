package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// guest is a client of version 2 that watches its room.
type guest struct {
	t    *testing.T
	conn *websocket.Conn
	me   string

	mu      sync.Mutex
	changed sync.Cond
	users   map[string]int // nil while there are no names; guarded by mu, like the rest
	count   int
	left    []string
	err     error
}

// present is an event that a guest reads.
type present struct {
	Event   string            `json:"event"`
	Me      string            `json:"me"`
	Count   int               `json:"count"`
	Members []json.RawMessage `json:"members"`
	Join    *[]struct {
		User string `json:"user"`
		N    int    `json:"n"`
	} `json:"join"`
	Leave []string `json:"leave"`
}

func enter(t *testing.T, d *daemon) *guest {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), d.url()+"/ws/chat/party/?v=2&presence=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	t.Cleanup(func() { _ = conn.CloseNow() })
	g := &guest{t: t, conn: conn}
	g.changed.L = &g.mu
	go g.read()
	g.until("it has its tag", func() bool { return g.me != "" })
	return g
}

func (g *guest) read() {
	for {
		_, text, err := g.conn.Read(g.t.Context())
		var e present
		if err == nil {
			err = json.Unmarshal(text, &e)
		}
		g.mu.Lock()
		if g.err = err; err == nil {
			g.apply(&e, text)
		}
		g.changed.Broadcast()
		g.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (g *guest) apply(e *present, text []byte) {
	switch e.Event {
	case "open":
		g.me = e.Me
		return
	case "members":
		g.users = map[string]int{}
		for _, m := range e.Members {
			var u struct {
				User string `json:"user"`
				N    int    `json:"n"`
			}
			g.err = json.Unmarshal(m, &u)
			g.users[u.User] = u.N
		}
	case "presence":
		if e.Join == nil && e.Leave == nil {
			g.users = nil
		} else if g.users == nil {
			g.err = fmt.Errorf("names without a list: %s", text)
			return
		}
		if e.Join != nil {
			for _, u := range *e.Join {
				g.users[u.User] = u.N
			}
		}
		for _, user := range e.Leave {
			delete(g.users, user)
			g.left = append(g.left, user)
		}
	}
	g.count = e.Count
}

// until waits until what the guest knows fulfills a condition.
func (g *guest) until(what string, done func() bool) {
	g.t.Helper()
	late := time.AfterFunc(2*patience, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.err = fmt.Errorf("not within %v", 2*patience)
		g.changed.Broadcast()
	})
	defer late.Stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	for !done() {
		if g.err != nil {
			g.t.Fatalf("%s: %v; it knows %v, %d members", what, g.err, g.users, g.count)
		}
		g.changed.Wait()
	}
}

// learns waits until the guest knows that these guests are there, and how many members there are.
func (g *guest) learns(what string, members int, guests ...*guest) {
	g.t.Helper()
	want := map[string]int{}
	for _, other := range guests {
		want[other.me] = 1
	}
	g.until(what, func() bool { return g.count == members && maps.Equal(g.users, want) })
}

// hasSeenLeave reports whether the guest was told that somebody left.
func (g *guest) hasSeenLeave() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.left) > 0
}

// cutOff waits until the node says that it has lost Redis.
func (d *daemon) cutOff() {
	d.t.Helper()
	for end := time.Now().Add(2 * patience); ; <-time.After(20 * time.Millisecond) {
		answer, err := http.Get("http://" + d.start.Admin + "/readyz")
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusServiceUnavailable {
				return
			}
		}
		if time.Now().After(end) {
			d.t.Fatal("the node does not notice that Redis is away")
		}
	}
}

// testPresence lets members on two nodes watch their room through an outage of Redis, and through the death of a node.
func (p programs) testPresence(t *testing.T) {
	redis, pid := startRedisProcess(t)
	args := []string{"--redis=" + redis, "--redis-hold=60s"}
	a, b := p.serve(t, args...), p.serve(t, args...)
	ann := enter(t, a)
	ann.learns("alone", 1, ann)
	old, _, err := websocket.Dial(t.Context(), b.url()+"/ws/chat/party/", nil) // on a node without a watcher
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.CloseNow() }()
	ann.learns("a member of version 1 on the other node", 2, ann)
	bob := enter(t, b)
	bob.learns("the other node has a watcher", 3, ann, bob)
	ann.learns("the other node has a watcher", 3, ann, bob)
	cid := enter(t, b)
	ann.learns("another one", 4, ann, bob, cid)
	_ = cid.conn.CloseNow()
	ann.learns("it is gone", 3, ann, bob)
	ann.mu.Lock()
	ann.left = nil
	ann.mu.Unlock()

	stop := func(s syscall.Signal) {
		if err := syscall.Kill(pid, s); err != nil {
			t.Fatal(err)
		}
	}
	stop(syscall.SIGSTOP)
	a.cutOff()
	b.cutOff()
	dan := enter(t, a)
	ann.learns("a member of the same node while Redis is away", 4, ann, bob, dan)
	stop(syscall.SIGCONT)
	bob.learns("Redis is back", 4, ann, bob, dan)
	if ann.hasSeenLeave() {
		t.Errorf("somebody left in the outage: %q", ann.left)
	}

	b.signal(syscall.SIGKILL)
	b.ended()
	ann.learns("the other node is dead", 2, ann, dan)
	c := p.serve(t, args...)
	eve := enter(t, c)
	eve.learns("a new node", 3, ann, dan, eve)
	ann.learns("a new node", 3, ann, dan, eve)
}
