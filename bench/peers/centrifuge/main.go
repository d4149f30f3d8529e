// Command centrifuge is a node on github.com/centrifugal/centrifuge, the
// library within the Centrifugo server.
//
// It speaks the library's own JSON protocol and does more than the other peers:
// it has a connect command, an answer to each publication, envelopes, metrics,
// and limits of time and size for each client. The server subscribes a
// connection to the room of its URL, which saves a command. As the
// documentation recommends, write buffers come from a pool, publication within
// the node is in memory, and there is neither history nor presence. Messages
// that wait for a client are sent together: up to 16 in one WebSocket message,
// one per line. The library's WriteDelay, which would wait for more messages,
// stays off, because it costs latency.
//
// With --redis it is one of many nodes, which are connected by the library's
// RedisBroker. Each message is one PUBLISH. The Redis client of the library
// combines the commands of up to 100 us into one write. The node has one
// connection for all of its subscriptions. The goroutine that reads a client
// waits for the answer to the client's PUBLISH (the library's default), so the
// messages of a sender stay in order. While 4,096 messages from Redis wait to
// be delivered, the library drops further messages, so that the connection to
// Redis is never held up. PUBLISH does not guarantee delivery either.
//
// With --history a call of a Redis script replaces the PUBLISH. The script
// numbers the message, appends it to the stream of the room, and publishes it.
// Clients are subscribed with recovery, so they can read messages that they
// missed. The history has the size and the time of the documentation's
// examples. The node checks that the numbers have no gap. It disconnects a
// client that missed a message.
//
// The pings of the library are off. Clients send heartbeats as asynchronous
// messages.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"time"

	"github.com/centrifugal/centrifuge"

	"dotsconnect/bench/peers/internal/peer"
)

const (
	historySize = 1000
	historyTTL  = 5 * time.Minute
)

type roomKey struct{}

// onConnecting returns a handler that accepts every client and subscribes it to
// the room of its URL.
func onConnecting(history bool) centrifuge.ConnectingHandler {
	return func(ctx context.Context, _ centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		room, _ := ctx.Value(roomKey{}).(string)
		return centrifuge.ConnectReply{
			Credentials:   &centrifuge.Credentials{},
			Subscriptions: map[string]centrifuge.SubscribeOptions{room: {EnableRecovery: history}},
		}, nil
	}
}

func onConnect(node *centrifuge.Node, options ...centrifuge.PublishOption) centrifuge.ConnectHandler {
	return func(client *centrifuge.Client) {
		client.OnPublish(func(e centrifuge.PublishEvent, done centrifuge.PublishCallback) {
			if !client.IsSubscribed(e.Channel) {
				done(centrifuge.PublishReply{}, centrifuge.ErrorPermissionDenied)
				return
			}
			// Call Publish here, because the library would add information
			// about the sender to the message.
			result, err := node.Publish(e.Channel, e.Data, options...)
			done(centrifuge.PublishReply{Result: &result}, err)
		})
		client.OnMessage(func(centrifuge.MessageEvent) {}) // ignores heartbeats
	}
}

// useRedis connects the node with other nodes that use the same Redis.
func useRedis(node *centrifuge.Node, address string) error {
	shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: address})
	if err != nil {
		return err
	}
	broker, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Shards: []*centrifuge.RedisShard{shard}})
	if err != nil {
		return err
	}
	node.SetBroker(broker)
	return nil
}

func main() {
	address := flag.String("redis", "", "Redis, as host:port; empty: the node is alone")
	history := flag.Bool("history", false, "keep published messages, so that clients can recover them")
	ln := peer.Listen()
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if *address != "" {
		if err := useRedis(node, *address); err != nil {
			log.Fatal(err)
		}
	}
	var options []centrifuge.PublishOption
	if *history {
		options = append(options, centrifuge.WithHistory(historySize, historyTTL))
	}
	node.OnConnecting(onConnecting(*history))
	node.OnConnect(onConnect(node, options...))
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	handler := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		ReadBufferSize:     1024,
		UseWriteBufferPool: true,
		MessageSizeLimit:   peer.MaxMessage + 1024, // 1,024 for the envelope around the message
		PingPongConfig:     centrifuge.PingPongConfig{PingInterval: -1, PongTimeout: -1},
	})
	peer.Serve(ln, peer.Mux(func(room string, w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), roomKey{}, room)))
	}))
}
