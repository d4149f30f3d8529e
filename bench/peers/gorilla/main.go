// Command gorilla is the room server on github.com/gorilla/websocket.
//
// It is built like the library's chat example: a read pump and a write pump for
// each connection with a queue of 256 messages between them. The pumps are
// started outside of the handler, so that the handler's data can be garbage
// collected. A member whose queue is full is closed. From the documentation: a
// PreparedMessage encodes a message once for many connections, and a
// WriteBufferPool lets connections that seldom write do without a write buffer.
//
// The hub has a lock for each room, where the example has one goroutine for all
// rooms: that saves a hop for each message, and rooms run in parallel. The
// example also joins waiting messages into one, which changes them, and sends
// pings; here clients send heartbeats.
//
// With --redis it is one of many nodes (../internal/bus).
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
	stop chan struct{} // closed when the read pump ended
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

// enqueue closes a member that is too slow; its read pump ends with an error.
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

// deliver sends a message from Redis to the members on this node.
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
