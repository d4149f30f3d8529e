// Command nbio is the room server on github.com/lesismal/nbio, with its own
// HTTP and WebSocket engine.
//
// It is the style of the library's examples: WriteMessage to each member from
// the handler, which never blocks, since what the socket does not take is kept
// for the poller to write. From its README and examples: the non-blocking mode
// is for many connections (the blocking one is a goroutine for each, as with
// gws), payloads go back to the pool after the handler, and buffers for
// reading are as large as the messages are. There is no way to encode a frame
// once for many receivers.
//
// What is kept for a connection has no limit by default.
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
	u.KeepaliveTime = 0 // no limit to silence, like the others here
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
