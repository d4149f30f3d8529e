// Command gorilla is the room server on github.com/gorilla/websocket.
//
// It is built like the library's chat example: each connection has a goroutine
// that reads (read pump), one that writes (write pump), and a queue of 256
// messages. The handler starts both goroutines and returns, so that its data
// can be garbage collected. A member whose queue is full is disconnected. As
// the documentation recommends, a PreparedMessage encodes a message once for
// many connections, and a WriteBufferPool saves the write buffers of
// connections that seldom write.
//
// There are three differences. The example has one goroutine for all rooms;
// here each room has a lock, which saves a channel operation per message and
// lets rooms run in parallel. The example joins waiting messages into one
// message, which changes them; here they stay separate. The example sends
// pings; here clients send heartbeats.
//
// With --redis it is one of many nodes; see package bus.
package main

import (
	"flag"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"dotsconnect/bench/peers/internal/bus"
	"dotsconnect/bench/peers/internal/peer"
)

const (
	queueLength = 256
	writeWait   = 10 * time.Second
)

type client struct {
	conn *websocket.Conn
	send chan *websocket.PreparedMessage
	stop chan struct{} // closed when readPump has ended
}

func (c *client) readPump(seat *peer.Seat[*client], b *bus.Bus) {
	defer close(c.stop)
	defer seat.Leave()
	c.conn.SetReadLimit(peer.MaxMessage)
	for {
		kind, message, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		if peer.IsHeartbeat(message) {
			continue
		}
		if b != nil {
			b.Publish(seat.Room(), message)
			continue
		}
		prepared, err := websocket.NewPreparedMessage(kind, message)
		if err != nil {
			return
		}
		seat.Publish(func(member *client) { member.enqueue(prepared) })
	}
}

// enqueue puts a message into the member's queue. If the queue is full, it
// closes the connection, and readPump ends with an error.
func (c *client) enqueue(message *websocket.PreparedMessage) {
	select {
	case c.send <- message:
	default:
		_ = c.conn.Close()
	}
}

func (c *client) writePump() {
	defer func() { _ = c.conn.Close() }()
	for {
		select {
		case message := <-c.send:
			if err := c.conn.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
				return
			}
			if err := c.conn.WritePreparedMessage(message); err != nil {
				return
			}
		case <-c.stop:
			return
		}
	}
}

// deliver sends the messages from Redis to the members on this node.
func deliver(b *bus.Bus, rooms *peer.Rooms[*client]) {
	b.Deliver(func(room string, message []byte) {
		prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, message)
		if err != nil {
			return
		}
		rooms.Publish(room, func(member *client) { member.enqueue(prepared) })
	})
}

func main() {
	address := flag.String("redis", "", "Redis, as host:port; empty: the node is alone")
	ln := peer.Listen()
	var rooms peer.Rooms[*client]
	var b *bus.Bus
	if *address != "" {
		b = bus.Dial(*address)
		go deliver(b, &rooms)
	}
	upgrader := websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024, WriteBufferPool: &sync.Pool{}}
	peer.Serve(ln, peer.Mux(func(room string, w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		c := &client{conn, make(chan *websocket.PreparedMessage, queueLength), make(chan struct{})}
		seat := rooms.Join(room, c)
		go c.writePump()
		go c.readPump(seat, b)
	}))
}
