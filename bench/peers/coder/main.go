// Command coder is the room server on github.com/coder/websocket.
//
// It is built like the library's chat example: each connection has a queue and
// a goroutine that writes. A member whose queue is full is disconnected as too
// slow. Compression is off, which is the default.
//
// There are two differences. The queue of the example has 16 messages, fewer
// than a burst of the scenarios; here it has 256. The example limits each write
// to five seconds with a context; here a write has no limit, which saves the
// library a timer per message.
package main

import (
	"context"
	"net/http"

	"github.com/coder/websocket"

	"dotsconnect/bench/peers/internal/peer"
)

const queueLength = 256

type message struct {
	kind websocket.MessageType
	data []byte
}

type client struct {
	conn *websocket.Conn
	send chan *message
}

func (c *client) read(seat *peer.Seat[*client]) {
	for {
		kind, data, err := c.conn.Read(context.Background())
		if err != nil {
			return
		}
		if !peer.IsHeartbeat(data) {
			m := &message{kind, data} // all receivers share this message
			seat.Publish(func(member *client) { member.enqueue(m) })
		}
	}
}

func (c *client) enqueue(m *message) {
	select {
	case c.send <- m:
	default:
		go func() {
			_ = c.conn.Close(websocket.StatusPolicyViolation, "connection too slow to keep up with messages")
		}()
	}
}

// write writes the messages of the queue until ctx or the connection ends.
func (c *client) write(ctx context.Context) {
	for {
		select {
		case m := <-c.send:
			if err := c.conn.Write(context.Background(), m.kind, m.data); err != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func main() {
	var rooms peer.Rooms[*client]
	peer.Serve(peer.Listen(), peer.Mux(func(room string, w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		conn.SetReadLimit(peer.MaxMessage)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		c := &client{conn, make(chan *message, queueLength)}
		seat := rooms.Join(room, c)
		defer seat.Leave()
		go c.write(ctx)
		c.read(seat)
	}))
}
