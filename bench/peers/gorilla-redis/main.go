// Command gorilla-redis is the room server on github.com/gorilla/websocket that
// is one of many nodes, the way most tutorials do it: each message is one
// PUBLISH to Redis, each room with members here has a subscription of its own
// (github.com/redis/go-redis), and a goroutine hands out what that brings.
//
// A subscription of go-redis is a connection to Redis, so there are as many as
// rooms. It is made before the first member reads or is read, and confirmed, as
// go-redis recommends: from there on nothing is missed. The read goroutine of a
// connection waits for its PUBLISH, which keeps a sender's messages in order;
// those of other connections are under way meanwhile, over go-redis's own pool.
// The rest is as in ../gorilla.
//
// What Redis does not take, or a subscription misses while it is broken, is lost
// in silence: PUBLISH keeps nothing.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/redis/go-redis/v9"

	"dotsconnect/bench/peers/internal/peer"
)

const (
	queueLength = 256
	writeWait   = 10 * time.Second
	prefix      = "chat:" // of the channels, one for each room
)

type client struct {
	conn *websocket.Conn
	room *room
	send chan *websocket.PreparedMessage
	stop chan struct{} // closed when the read pump ended
}

func (c *client) readPump(h *hub) {
	defer close(c.stop)
	defer h.leave(c)
	c.conn.SetReadLimit(peer.MaxMessage)
	for {
		_, message, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		if peer.IsHeartbeat(message) {
			continue
		}
		if err := h.redis.Publish(context.Background(), prefix+c.room.name, message).Err(); err != nil {
			log.Print(err)
		}
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

func main() {
	address := flag.String("redis", "127.0.0.1:6379", "Redis, as host:port")
	ln := peer.Listen()
	h := &hub{redis: redis.NewClient(&redis.Options{Addr: *address}), rooms: map[string]*room{}}
	upgrader := websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024, WriteBufferPool: &sync.Pool{}}
	mux := peer.Mux(func(name string, w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		c := &client{conn: conn, send: make(chan *websocket.PreparedMessage, queueLength), stop: make(chan struct{})}
		if err := h.join(name, c); err != nil {
			log.Print(err)
			_ = conn.Close()
			return
		}
		go c.writePump()
		go c.readPump(h)
	})
	go func() { log.Fatal(http.Serve(ln, mux)) }()
	peer.Wait(ln.Addr())
}
