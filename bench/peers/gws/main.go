// Command gws is the room server on github.com/lxzan/gws.
//
// As its README recommends, a Broadcaster encodes a message once for all
// receivers, and ReadLoop runs in a goroutine of its own, so that the handler
// returns and the context of net/http can be freed. Parallel processing is off,
// because it would reorder the messages of a sender. Compression is off,
// because it helps only for large messages. UTF-8 is not checked, which the
// README says is faster.
//
// The queue of a connection has no limit. It grows while the member does not
// read.
//
// With --redis it is one of many nodes; see package bus.
package main

import (
	"flag"
	"net/http"

	"github.com/lxzan/gws"

	"dotsconnect/bench/peers/internal/bus"
	"dotsconnect/bench/peers/internal/peer"
)

const seatKey = "seat"

type seat = peer.Seat[*gws.Conn]

type handler struct {
	gws.BuiltinEventHandler
	bus *bus.Bus // nil: the node is alone
}

func seatOf(c *gws.Conn) *seat {
	value, _ := c.Session().Load(seatKey)
	s, _ := value.(*seat)
	return s
}

func (*handler) OnClose(c *gws.Conn, _ error) { seatOf(c).Leave() }

func (h *handler) OnMessage(c *gws.Conn, message *gws.Message) {
	defer func() { _ = message.Close() }()
	if peer.IsHeartbeat(message.Bytes()) {
		return
	}
	if h.bus != nil {
		h.bus.Publish(seatOf(c).Room(), message.Bytes())
		return
	}
	broadcaster := gws.NewBroadcaster(message.Opcode, message.Bytes())
	defer func() { _ = broadcaster.Close() }()
	seatOf(c).Publish(func(member *gws.Conn) { _ = broadcaster.Broadcast(member) })
}

// deliver sends the messages from Redis to the members on this node.
func deliver(b *bus.Bus, rooms *peer.Rooms[*gws.Conn]) {
	b.Deliver(func(room string, message []byte) {
		broadcaster := gws.NewBroadcaster(gws.OpcodeText, message)
		rooms.Publish(room, func(member *gws.Conn) { _ = broadcaster.Broadcast(member) })
		_ = broadcaster.Close()
	})
}

func main() {
	address := flag.String("redis", "", "Redis, as host:port; empty: the node is alone")
	ln := peer.Listen()
	var rooms peer.Rooms[*gws.Conn]
	h := &handler{}
	if *address != "" {
		h.bus = bus.Dial(*address)
		go deliver(h.bus, &rooms)
	}
	upgrader := gws.NewUpgrader(h, &gws.ServerOption{
		ReadMaxPayloadSize: peer.MaxMessage,
		CheckUtf8Enabled:   false,
	})
	peer.Serve(ln, peer.Mux(func(room string, w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		c.Session().Store(seatKey, rooms.Join(room, c))
		go c.ReadLoop()
	}))
}
