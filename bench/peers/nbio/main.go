// Command nbio is the room server on github.com/lesismal/nbio, with its own
// HTTP and WebSocket engine.
//
// It is built like the library's examples: the handler calls WriteMessage for
// each member. That never blocks: bytes that the socket does not accept are kept,
// and the poller writes them later. From its README and examples: the
// non-blocking mode is for many connections (the blocking mode has a goroutine
// for each, as gws), payloads go back to the pool after the handler, and read
// buffers are as large as the messages. The library cannot encode a frame once
// for many receivers.
//
// The bytes kept for a connection have no limit by default.
package main

import (
	"log"
	"net"
	"net/http"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"

	"dotsconnect/bench/peers/internal/peer"
)

type seat = peer.Seat[*websocket.Conn]

func newUpgrader() *websocket.Upgrader {
	u := websocket.NewUpgrader()
	u.MessageLengthLimit = peer.MaxMessage
	u.KeepaliveTime = 0 // silent clients stay, as with the other peers
	u.OnMessage(func(c *websocket.Conn, kind websocket.MessageType, data []byte) {
		s, ok := c.Session().(*seat)
		if !ok || peer.IsHeartbeat(data) {
			return
		}
		s.Publish(func(member *websocket.Conn) { _ = member.WriteMessage(kind, data) })
	})
	u.OnClose(func(c *websocket.Conn, _ error) {
		if s, ok := c.Session().(*seat); ok {
			s.Leave()
		}
	})
	return u
}

func main() {
	logging.SetLevel(logging.LevelError)
	ln := peer.Listen()
	var rooms peer.Rooms[*websocket.Conn]
	upgrader := newUpgrader()
	engine := nbhttp.NewEngine(nbhttp.Config{
		Network:                 "tcp",
		Addrs:                   []string{ln.Addr().String()},
		Listen:                  func(string, string) (net.Listener, error) { return ln, nil },
		MaxLoad:                 1 << 20,
		ReadBufferSize:          4 << 10,
		ReleaseWebsocketPayload: true,
		IOMod:                   nbhttp.IOModNonBlocking,
		Handler: peer.Mux(func(room string, w http.ResponseWriter, r *http.Request) {
			c, err := upgrader.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			c.SetSession(rooms.Join(room, c))
		}),
	})
	if err := engine.Start(); err != nil {
		log.Fatal(err)
	}
	peer.Wait(ln.Addr())
}
