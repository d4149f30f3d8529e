// Command coder is the room server on github.com/coder/websocket.
//
// It is built like the library's chat example: a queue and a writing goroutine
// for each connection. A member whose queue is full is closed as too slow.
// Compression is off, which is the default.
//
// The queue holds 256 messages (the example: 16, fewer than one burst of the
// scenarios). The example limits each write to five seconds with a context;
// here writes have no time limit, which saves the library a timer per message.
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
			m := &message{kind, data} // one for all receivers
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

// write returns when the context or the connection ends.
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
