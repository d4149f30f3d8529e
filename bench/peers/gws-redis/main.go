// Command gws-redis is the room server on github.com/lxzan/gws that is one of
// many nodes: as most are written, each message is one PUBLISH to Redis, and
// members get what the subscription hands out (github.com/redis/go-redis).
//
// The read goroutine of a connection waits for its PUBLISH, which keeps a
// sender's messages in order; those of other connections are under way
// meanwhile, over go-redis's own pool. One subscription to a pattern serves all
// rooms, so that joining costs no round trip, and Channel hands out its messages,
// as go-redis recommends. The rest is as in ../gws.
//
// What Redis does not take, or a subscription misses while it is broken, is lost
// in silence: PUBLISH keeps nothing.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"strings"

	"github.com/lxzan/gws"
	"github.com/redis/go-redis/v9"

	"dotsconnect/bench/peers/internal/peer"
)

const (
	seatKey = "seat"
	prefix  = "chat:" // of the channels, one for each room
)

type seat = peer.Seat[*gws.Conn]

type handler struct {
	gws.BuiltinEventHandler
	redis *redis.Client
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
	if err := h.redis.Publish(context.Background(), prefix+seatOf(c).Room(), message.Bytes()).Err(); err != nil {
		log.Print(err)
	}
}

// deliver hands what Redis sends to the members here.
func deliver(rooms *peer.Rooms[*gws.Conn], messages <-chan *redis.Message) {
	for m := range messages {
		broadcaster := gws.NewBroadcaster(gws.OpcodeText, []byte(m.Payload))
		rooms.Publish(strings.TrimPrefix(m.Channel, prefix), func(member *gws.Conn) { _ = broadcaster.Broadcast(member) })
		_ = broadcaster.Close()
	}
}

func main() {
	address := flag.String("redis", "127.0.0.1:6379", "Redis, as host:port")
	ln := peer.Listen()
	client := redis.NewClient(&redis.Options{Addr: *address})
	subscription := client.PSubscribe(context.Background(), prefix+"*")
	if _, err := subscription.Receive(context.Background()); err != nil { // the answer: from here on nothing is missed
		log.Fatal(err)
	}
	var rooms peer.Rooms[*gws.Conn]
	go deliver(&rooms, subscription.Channel())
	upgrader := gws.NewUpgrader(&handler{redis: client}, &gws.ServerOption{
		ReadMaxPayloadSize: peer.MaxMessage,
		CheckUtf8Enabled:   false,
	})
	mux := peer.Mux(func(room string, w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		c.Session().Store(seatKey, rooms.Join(room, c))
		go c.ReadLoop()
	})
	go func() { log.Fatal(http.Serve(ln, mux)) }()
	peer.Wait(ln.Addr())
}
