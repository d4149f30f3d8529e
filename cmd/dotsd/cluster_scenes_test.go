package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

// checkFront checks what stands before a WebSocket: TLS, the redirect, whose pages may connect.
func (c *cluster) checkFront() {
	c.t.Helper()
	https := "localhost:" + c.ports["HTTPS_PORT"]
	settings := c.web.Transport.(*http.Transport).TLSClientConfig
	for _, row := range []struct {
		version uint16
		taken   bool
	}{{tls.VersionTLS11, false}, {tls.VersionTLS12, true}, {tls.VersionTLS13, true}} {
		config := settings.Clone()
		config.MinVersion, config.MaxVersion, config.NextProtos = tls.VersionTLS10, row.version, []string{"h2", "http/1.1"}
		conn, err := tls.Dial("tcp", https, config)
		if (err == nil) != row.taken {
			c.t.Errorf("%s: got %v", tls.VersionName(row.version), err)
		}
		if err == nil {
			if got := conn.ConnectionState(); got.Version != row.version || got.NegotiatedProtocol != "http/1.1" {
				c.t.Errorf("got %s with %s", tls.VersionName(got.Version), got.NegotiatedProtocol)
			}
			conn.Close()
		}
	}
	answer, err := c.web.Get("http://localhost:" + c.ports["HTTP_PORT"] + "/a?b=c")
	if err != nil {
		c.t.Fatal(err)
	}
	answer.Body.Close()
	if got := answer.Header.Get("Location"); answer.StatusCode != http.StatusPermanentRedirect || got != "https://"+https+"/a?b=c" {
		c.t.Errorf("plain HTTP: got %d to %q", answer.StatusCode, got)
	}
	for origin, want := range map[string]int{"https://" + https: http.StatusSwitchingProtocols, "https://evil.example": http.StatusForbidden} {
		if conn, status, _ := c.dial("front", origin); status != want {
			c.t.Errorf("page of %s: got status %d, want %d", origin, status, want)
		} else if conn != nil {
			_ = conn.CloseNow()
		}
	}
	if _, metrics := c.fetch("http://127.0.0.1:" + c.ports["STATS"] + "/metrics"); !strings.Contains(metrics, "haproxy_server_status") {
		c.t.Error("no metrics of HAProxy")
	}
}

// checkHealth runs the image's HEALTHCHECK against a node here, and where nobody is.
func (c *cluster) checkHealth() {
	c.t.Helper()
	args := healthcheck(c.t)
	for address, healthy := range map[string]bool{c.nodes[0].start.Admin: true, "127.0.0.1:" + freePort(c.t): false} {
		cmd := exec.Command(c.programs.path(filepath.Base(args[0])), args[1:]...)
		cmd.Env = append(environment(), "DOTS_ADMIN="+address)
		if out, err := cmd.CombinedOutput(); (err == nil) != healthy {
			c.t.Errorf("%q at %s: %v\n%s", args, address, err, out)
		}
	}
}

// dial goes through HAProxy into a room. The status is that of the answer, 0 without one.
func (c *cluster) dial(room, origin string) (conn *websocket.Conn, status int, err error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	options := &websocket.DialOptions{HTTPClient: c.web, HTTPHeader: http.Header{}}
	if origin != "" {
		options.HTTPHeader.Set("Origin", origin)
	}
	conn, answer, err := websocket.Dial(ctx, "wss://localhost:"+c.ports["HTTPS_PORT"]+"/ws/chat/"+url.PathEscape(room)+"/", options)
	if answer != nil {
		status = answer.StatusCode
		if answer.Body != nil {
			answer.Body.Close()
		}
	}
	return conn, status, err
}

const clusterRoom = "order"

// insider is a client that keeps what it hears.
type insider struct {
	conn *websocket.Conn
	done chan struct{} // closed when the connection has ended

	mu    sync.Mutex
	heard []string // guarded by mu
	err   error    // guarded by mu
}

func (c *cluster) enter() *insider {
	c.t.Helper()
	conn, _, err := c.dial(clusterRoom, "")
	if err != nil {
		c.t.Fatal(err)
	}
	who := &insider{conn: conn, done: make(chan struct{})}
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

// take returns what was heard since it was asked last.
func (i *insider) take() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	heard := i.heard
	i.heard = nil
	return heard
}

// ended is the close code if the connection has ended.
func (i *insider) ended() (code websocket.StatusCode, ok bool) {
	select {
	case <-i.done:
		return websocket.CloseStatus(i.err), true
	default:
		return 0, false
	}
}

// crowd is so many members of one room, half of them on either node.
func (c *cluster) crowd(size int) []*insider {
	c.t.Helper()
	var crowd []*insider
	for range size {
		crowd = append(crowd, c.enter())
	}
	one, two := c.here(0, clusterRoom), c.here(1, clusterRoom)
	if one+two != size || min(one, two) < size/2-1 {
		c.t.Errorf("of %d clients %d are on the first node and %d on the second", size, one, two)
	}
	c.t.Logf("%d clients: %d on the first node, %d on the second", size, one, two)
	return crowd
}

// exchange has members of the crowd send 200 messages at once: all hear all, once each, in one order.
func (c *cluster) exchange(crowd []*insider) {
	c.t.Helper()
	const senders, each = 10, 20
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			for n := range each {
				if err := crowd[s].conn.Write(c.t.Context(), websocket.MessageText, fmt.Appendf(nil, `{"message":"%d/%d"}`, s, n)); err != nil {
					c.t.Errorf("sender %d: %v", s, err)
					return
				}
			}
		})
	}
	sending.Wait()
	until(c.t, "everybody has heard everything", func() bool {
		return !slices.ContainsFunc(crowd, func(who *insider) bool { return who.count() < senders*each })
	})
	order := crowd[0].take()
	for i, who := range crowd[1:] {
		if heard := who.take(); !slices.Equal(heard, order) {
			c.t.Errorf("client %d heard %d messages in another order than client 0", i+1, len(heard))
		}
	}
	next := map[int]int{} // by sender
	for _, text := range order {
		var s, n int
		if _, err := fmt.Sscanf(text, `{"message":"%d/%d"}`, &s, &n); err != nil || n != next[s] {
			c.t.Fatalf("heard %q where message %d of sender %d was due", text, next[s], s)
		}
		next[s]++
	}
	if len(order) != senders*each {
		c.t.Errorf("heard %d messages, want %d", len(order), senders*each)
	}
	c.t.Logf("%d clients heard the same %d messages in the same order", len(crowd), len(order))
}

// drain ends the first node. Its clients hear 4200 and find the other; who comes anew never meets a closed door.
func (c *cluster) drain(crowd []*insider) {
	c.t.Helper()
	began := time.Now()
	c.nodes[0].signal(syscall.SIGTERM)
	stopKnocking := c.knock()
	c.awaitServers("DOWN", "UP")
	noticed := time.Since(began)
	if !reachableAt(c.nodes[0].start.Address) {
		c.t.Errorf("the node stopped accepting before HAProxy noticed, after %v; DOTS_DRAIN_DELAY is too short", noticed)
	}
	moved := 0
	until(c.t, "the node has ended and its clients are elsewhere", func() bool {
		for i, who := range crowd {
			if code, ok := who.ended(); ok {
				if code != 4200 {
					c.t.Errorf("client %d was closed with %d, want 4200", i, code)
				}
				crowd[i] = c.enter()
				moved++
			}
		}
		select {
		case <-c.nodes[0].done:
			return c.here(1, clusterRoom) == len(crowd)
		default:
			return false
		}
	})
	if code := c.nodes[0].ended(); code != exitOK {
		c.t.Errorf("exit %d, want %d", code, exitOK)
	}
	knocked, failed := stopKnocking()
	if len(failed) > 0 {
		c.t.Errorf("%d of %d who came during the drain were turned away: %v", len(failed), knocked, failed[0])
	}
	c.t.Logf("HAProxy noticed the drain after %v; %d clients had 4200 and came back; none of %d newcomers was turned away",
		noticed.Round(10*time.Millisecond), moved, knocked)
}

// knock has somebody new come all the time.
func (c *cluster) knock() (stop func() (knocked int, failed []error)) {
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
			conn, _, err := c.dial("knock", "")
			if err != nil {
				failed = append(failed, err)
				continue
			}
			_ = conn.CloseNow()
		}
	}()
	return func() (int, []error) {
		close(quit)
		<-done
		return knocked, failed
	}
}

// comeback starts the first node again, with room for one. It has the fewest and gets the next; who is one too many, and
// refused with 503, is let in by the other.
func (c *cluster) comeback(crowd []*insider) {
	c.t.Helper()
	before := c.nodes[0].start
	c.nodes[0] = c.node(1, "--max-conns=1", "--listen="+before.Address, "--admin="+before.Admin)
	c.awaitServers("UP", "UP")
	moved := c.moved()
	const newcomers = 20 // enough for its slow start to be over the other's count twice
	for range newcomers {
		c.enter()
	}
	one, two := c.here(0, clusterRoom), c.here(1, clusterRoom)
	if one != 1 || two != len(crowd)+newcomers-1 {
		c.t.Errorf("of %d newcomers %d are on the first node, which takes 1, and %d on the second", newcomers, one, two-len(crowd))
	}
	if moved := c.moved() - moved; moved == 0 {
		c.t.Error("nobody was sent from the full node to the other")
	} else {
		c.t.Logf("the node is back, with room for one: of %d newcomers it has 1, and %d came to the other after its 503", newcomers, moved)
	}
}

// moved is how many requests HAProxy had at the first node before another took them.
func (c *cluster) moved() int {
	servers := c.stats()
	if len(servers) == 0 {
		return 0
	}
	moved, _ := strconv.Atoi(servers[0]["wredis"])
	return moved
}

// stopRedis freezes Redis: no node is ready then, and nobody new is let in. Who is there stays, until he sends.
func (c *cluster) stopRedis(crowd []*insider) {
	c.t.Helper()
	began := time.Now()
	if err := c.redis.Process.Signal(syscall.SIGSTOP); err != nil {
		c.t.Fatal(err)
	}
	c.awaitServers("DOWN", "DOWN")
	noticed := time.Since(began)
	if conn, status, err := c.dial(clusterRoom, ""); status != http.StatusServiceUnavailable {
		c.t.Errorf("without Redis: got status %d and %v, want 503", status, err)
		if conn != nil {
			_ = conn.CloseNow()
		}
	}
	if status, _ := c.fetch("http://" + c.nodes[1].start.Admin + "/healthz"); status != http.StatusOK {
		c.t.Errorf("/healthz: got %d; a node without Redis is alive", status)
	}
	for i, who := range crowd {
		if code, ok := who.ended(); ok {
			c.t.Errorf("client %d was closed with %d, having sent nothing", i, code)
		}
	}
	if err := crowd[0].conn.Write(c.t.Context(), websocket.MessageText, []byte(`{"message":"lost"}`)); err != nil {
		c.t.Error(err)
	}
	until(c.t, "who sends is told", func() bool { code, _ := crowd[0].ended(); return code == 4104 })
	began = time.Now()
	if err := c.redis.Process.Signal(syscall.SIGCONT); err != nil {
		c.t.Fatal(err)
	}
	c.awaitServers("UP", "UP")
	c.t.Logf("HAProxy noticed that Redis was gone after %v, and that it was back after %v",
		noticed.Round(10*time.Millisecond), time.Since(began).Round(10*time.Millisecond))
	crowd[0] = c.enter()
	for _, who := range crowd {
		who.take() // Redis may have taken what it could not confirm
	}
	c.exchange(crowd)
}
