package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// The clients of the cluster, which all connect through HAProxy.

// dial connects to a path through HAProxy. status is the HTTP status of the answer, or 0 if there was no answer.
func (c *cluster) dial(path, origin string) (conn *websocket.Conn, status int, err error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	options := &websocket.DialOptions{HTTPClient: c.web, HTTPHeader: http.Header{}}
	if origin != "" {
		options.HTTPHeader.Set("Origin", origin)
	}
	conn, answer, err := websocket.Dial(ctx, "wss://localhost:"+c.ports["HTTPS_PORT"]+path, options)
	if answer != nil {
		status = answer.StatusCode
		if answer.Body != nil {
			answer.Body.Close()
		}
	}
	return conn, status, err
}

const clusterRoom = "order"

// pathTo returns a path of clusterRoom that HAProxy sends to this node. HAProxy hashes the path as written, but dotsd decodes the
// path. Each letter may be plain or percent-encoded, so the room has 32 paths, and HAProxy sends these paths to different nodes.
func (c *cluster) pathTo(node int) string {
	c.t.Helper()
	for spelling := range 1 << len(clusterRoom) {
		path := "/ws/chat/"
		for i, letter := range []byte(clusterRoom) {
			if spelling>>i&1 == 1 {
				path += fmt.Sprintf("%%%02X", letter)
			} else {
				path += string(letter)
			}
		}
		before := c.here(node, clusterRoom)
		conn, _, err := c.dial(path+"/", "")
		if err != nil {
			c.t.Fatal(err)
		}
		found := c.here(node, clusterRoom) > before
		_ = conn.CloseNow()
		until(c.t, "the member is gone", func() bool { return c.here(0, clusterRoom)+c.here(1, clusterRoom) == 0 })
		if found {
			return path + "/"
		}
	}
	c.t.Fatalf("no spelling of %q reaches node %d", clusterRoom, node+1)
	return ""
}

// insider is a member that keeps the messages that it receives.
type insider struct {
	conn *websocket.Conn
	path string
	done chan struct{} // closed when the connection has ended

	mu    sync.Mutex
	heard []string // guarded by mu
	err   error    // guarded by mu
}

func (c *cluster) enter(path string) *insider {
	c.t.Helper()
	conn, _, err := c.dial(path, "")
	if err != nil {
		c.t.Fatal(err)
	}
	who := &insider{conn: conn, path: path, done: make(chan struct{})}
	go func() {
		defer close(who.done)
		for {
			_, text, err := conn.Read(context.Background())
			who.mu.Lock()
			if err != nil {
				who.err = err
				who.mu.Unlock()
				return
			}
			who.heard = append(who.heard, string(text))
			who.mu.Unlock()
		}
	}()
	c.t.Cleanup(func() {
		_ = conn.CloseNow()
		<-who.done
	})
	return who
}

func (i *insider) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.heard)
}

// take returns the messages that the insider has received since the last call.
func (i *insider) take() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	heard := i.heard
	i.heard = nil
	return heard
}

// ended returns the close code; ok is false if the connection has not ended.
func (i *insider) ended() (code websocket.StatusCode, ok bool) {
	select {
	case <-i.done:
		return websocket.CloseStatus(i.err), true
	default:
		return 0, false
	}
}

// crowd makes size members of one room, in turn on each of the two nodes.
func (c *cluster) crowd(size int) []*insider {
	c.t.Helper()
	var crowd []*insider
	paths := []string{c.pathTo(0), c.pathTo(1)}
	for i := range size {
		crowd = append(crowd, c.enter(paths[i%2]))
	}
	if one, two := c.here(0, clusterRoom), c.here(1, clusterRoom); one != size/2 || two != size/2 {
		c.t.Errorf("of %d clients %d are on the first node and %d on the second, want half on each", size, one, two)
	}
	return crowd
}

// crowdOn makes size members that all use one path.
func (c *cluster) crowdOn(path string, size int) (crowd []*insider) {
	c.t.Helper()
	for range size {
		crowd = append(crowd, c.enter(path))
	}
	return crowd
}

// exchange makes members of the crowd send 200 messages at once. Every member must receive all messages, each exactly once, in
// one order.
func (c *cluster) exchange(crowd []*insider) {
	c.t.Helper()
	c.send(crowd)
	c.hear(crowd)
}

const senders, sendsEach = 10, 20

// send makes the first members of a crowd send their messages at once.
func (c *cluster) send(crowd []*insider) {
	c.t.Helper()
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			for n := range sendsEach {
				if err := crowd[s].conn.Write(c.t.Context(), websocket.MessageText, fmt.Appendf(nil, `{"message":"%d/%d"}`, s, n)); err != nil {
					c.t.Errorf("sender %d: %v", s, err)
					return
				}
			}
		})
	}
	sending.Wait()
}

// hear waits until the whole crowd has received the messages that send has sent.
func (c *cluster) hear(crowd []*insider) {
	c.t.Helper()
	until(c.t, "all clients have received all messages", func() bool { return heardAll(crowd) })
	order := crowd[0].take()
	for i, who := range crowd[1:] {
		if heard := who.take(); !slices.Equal(heard, order) {
			c.t.Errorf("client %d received %d messages in another order than client 0", i+1, len(heard))
		}
	}
	next := map[int]int{} // by sender: number of the next message
	for _, text := range order {
		var s, n int
		if _, err := fmt.Sscanf(text, `{"message":"%d/%d"}`, &s, &n); err != nil || n != next[s] {
			c.t.Fatalf("received %q, want message %d of sender %d", text, next[s], s)
		}
		next[s]++
	}
	if len(order) != senders*sendsEach {
		c.t.Errorf("received %d messages, want %d", len(order), senders*sendsEach)
	}
	c.t.Logf("%d clients received the same %d messages in the same order", len(crowd), len(order))
}

func heardAll(crowd []*insider) bool {
	return !slices.ContainsFunc(crowd, func(who *insider) bool { return who.count() < senders*sendsEach })
}

// knock opens new connections to many rooms, one after the other. No connection may be refused. stop ends the connecting and
// returns the number of connections.
func (c *cluster) knock() (stop func() (knocked int)) {
	var knocked int
	var failed []error
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for ; ; knocked++ {
			select {
			case <-quit:
				return
			case <-time.After(20 * time.Millisecond):
			}
			conn, _, err := c.dial("/ws/chat/knock-"+itoa(knocked%50)+"/", "")
			if err != nil {
				failed = append(failed, err)
				continue
			}
			_ = conn.CloseNow()
		}
	}()
	return func() int {
		c.t.Helper()
		close(quit)
		<-done
		if len(failed) > 0 {
			c.t.Errorf("%d of %d newcomers were turned away: %v", len(failed), knocked, failed[0])
		}
		return knocked
	}
}
