// Command nbio is the room server on github.com/lesismal/nbio, which has its
// own HTTP and WebSocket engine.
//
// It is built like the library's examples: the handler calls WriteMessage for
// each member. That call never blocks: the library keeps bytes that the socket
// does not accept, and its poller writes them later. The settings come from the
// README and the examples: the non-blocking mode, which is for many connections
// (in the blocking mode each connection has a goroutine); payloads that go back
// to a pool after the handler; and read buffers as large as the messages. The
// library cannot encode a frame once for many receivers.
//
// By default the bytes that the library keeps for a connection have no limit.
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
	u.KeepaliveTime = 0 // 0: silent clients are not disconnected, as with the other peers
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
