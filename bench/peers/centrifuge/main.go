// Command centrifuge is a node on github.com/centrifugal/centrifuge, the
// library within the Centrifugo server.
//
// It speaks the library's own JSON protocol and does more than the others: a
// connect command, an answer to each publication, envelopes, metrics, and
// limits of time and size for each client. A connection is subscribed to the
// room of its URL by the server, which saves a command. From the documentation:
// a pool for write buffers, publication with the node in memory, neither
// history nor presence. Waiting messages go out together, up to 16 in one
// WebSocket message, one a line; WriteDelay, which would wait for more of them,
// stays off, because it costs latency.
//
// Its pings are off; clients send heartbeats as asynchronous messages.
package main

import (
	"context"
	"log"
	"net/http"

	"github.com/centrifugal/centrifuge"

	"dotsconnect/bench/peers/internal/peer"
)

type roomKey struct{}

// onConnecting lets everybody in, into the room of the URL.
func onConnecting(ctx context.Context, _ centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
	room, _ := ctx.Value(roomKey{}).(string)
	return centrifuge.ConnectReply{
		Credentials:   &centrifuge.Credentials{},
		Subscriptions: map[string]centrifuge.SubscribeOptions{room: {}},
	}, nil
}

func onConnect(node *centrifuge.Node) centrifuge.ConnectHandler {
	return func(client *centrifuge.Client) {
		client.OnPublish(func(e centrifuge.PublishEvent, done centrifuge.PublishCallback) {
			if !client.IsSubscribed(e.Channel) {
				done(centrifuge.PublishReply{}, centrifuge.ErrorPermissionDenied)
				return
			}
			// Published here rather than by the library, so that receivers are not told about the sender.
			result, err := node.Publish(e.Channel, e.Data)
			done(centrifuge.PublishReply{Result: &result}, err)
		})
		client.OnMessage(func(centrifuge.MessageEvent) {}) // the heartbeat
	}
}

func main() {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(onConnecting)
	node.OnConnect(onConnect(node))
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	handler := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		ReadBufferSize:     1024,
		UseWriteBufferPool: true,
		MessageSizeLimit:   peer.MaxMessage + 1024, // the envelope around the message
		PingPongConfig:     centrifuge.PingPongConfig{PingInterval: -1, PongTimeout: -1},
	})
	peer.Serve(peer.Mux(func(room string, w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), roomKey{}, room)))
	}))
}
