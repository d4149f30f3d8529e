package main

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// stream reads the events of a room through HAProxy until stop is called. It returns when the stream has begun.
func (c *cluster) stream(path string) (event func() string, stop func()) {
	c.t.Helper()
	answer, err := c.web.Get("https://localhost:" + c.ports["HTTPS_PORT"] + path)
	if err != nil {
		c.t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		c.t.Fatalf("%s: HTTP %d, %s", path, answer.StatusCode, answer.Header.Get("Content-Type"))
	}
	lines := bufio.NewScanner(answer.Body)
	event = func() string {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return data
			}
		}
		c.t.Fatalf("%s: the stream ended: %v", path, lines.Err())
		return ""
	}
	if open := event(); !strings.HasPrefix(open, `{"event":"open"`) {
		c.t.Fatalf("%s: began with %s", path, open)
	}
	return event, func() { _ = answer.Body.Close() }
}

// checkHTTP checks that streams of events and POSTs reach the node of their room.
func (c *cluster) checkHTTP(all tenants, home []int) {
	c.t.Helper()
	const rooms = 20
	for room := range rooms {
		event, stop := c.stream("/sse/chat/" + roomName(room) + "/?last=1")
		until(c.t, "the reader is at the node of its room", func() bool {
			return c.here(home[room], roomName(room)) == len(all[room])+1 && c.here(1-home[room], roomName(room)) == 0
		})
		before := [2]int{c.count(0, "dots_posts_total"), c.count(1, "dots_posts_total")}
		answer, err := c.web.Post("https://localhost:"+c.ports["HTTPS_PORT"]+"/chat/"+roomName(room), "application/json", strings.NewReader(`"posted"`))
		if err != nil {
			c.t.Fatal(err)
		}
		answer.Body.Close()
		want := before
		want[home[room]]++
		if got := [2]int{c.count(0, "dots_posts_total"), c.count(1, "dots_posts_total")}; answer.StatusCode != http.StatusOK || got != want {
			c.t.Errorf("%s: HTTP %d, the nodes have published %v messages, want %v", roomName(room), answer.StatusCode, got, want)
		}
		for !strings.HasSuffix(event(), `"message":"posted"}`) {
		}
		stop()
		until(c.t, "the reader has left", func() bool { return c.here(home[room], roomName(room)) == len(all[room]) })
	}
}

// checkManyRooms checks that sockets with many rooms are divided between the nodes.
func (c *cluster) checkManyRooms() {
	c.t.Helper()
	before := [2]int{c.count(0, "dots_upgraded_total"), c.count(1, "dots_upgraded_total")}
	const sockets = 10
	var all []*websocket.Conn
	for range sockets {
		conn, _, err := c.dial("/ws/?v=2", "")
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, conn)
	}
	got := [2]int{c.count(0, "dots_upgraded_total") - before[0], c.count(1, "dots_upgraded_total") - before[1]}
	if got != [2]int{sockets / 2, sockets / 2} {
		c.t.Errorf("the nodes have %v of %d sockets with many rooms, want half of them each", got, sockets)
	}
	for _, conn := range all {
		_ = conn.CloseNow()
	}
}

// TestClusterHTTP: HAProxy must send the readers of a room, and the messages that come by POST, to the node of the room, and divide the
// sockets with many rooms.
func TestClusterHTTP(t *testing.T) {
	c := newCluster(t)
	c.start("--publish=open")
	const rooms = 20
	all := make(tenants, rooms)
	for i := range 2 * rooms {
		all[i%rooms] = append(all[i%rooms], c.enter("/ws/chat/"+roomName(i%rooms)+"/"))
	}
	c.checkHTTP(all, c.homes(all))
	c.checkManyRooms()
}
