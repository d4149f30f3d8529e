// Command centrifuge is a node on github.com/centrifugal/centrifuge, the
// library within the Centrifugo server.
//
// It speaks the library's own JSON protocol and does more than the other peers:
// a connect command, an answer to each publication, envelopes, metrics, and
// limits of time and size for each client. The server subscribes a connection
// to the room of its URL, which saves a command. From the documentation: a pool
// for write buffers, publication within the node in memory, neither history nor
// presence. Waiting messages are sent together, up to 16 in one WebSocket
// message, one per line. WriteDelay, which would wait for more of them, stays
// off, because it costs latency.
//
// With --redis it is one of many nodes, through the library's RedisBroker: one
// PUBLISH for each message, which its client library combines with other waiting
// commands into one write, for up to 100 us; one connection for all
// subscriptions of the node. The read goroutine of a client waits for its
// PUBLISH (the library's default), which keeps a sender's messages in order. The
// library drops messages of the subscription while 4,096 messages wait to be
// delivered, so that the connection is never held up; PUBLISH guarantees no more.
//
// With --history, a script call replaces the PUBLISH: it numbers the message,
// appends it to the room's stream and publishes it. Clients are subscribed with
// recovery, so they can get messages that they missed. Size and time of the
// history are those of the documentation's examples. The node then checks that
// the numbers have no gap, and disconnects a client that missed one.
//
// Its pings are off; clients send heartbeats as asynchronous messages.
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

// onConnecting accepts every client and subscribes it to the room of the URL.
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
			// Published here rather than by the library, so that receivers are not told about the sender.
			result, err := node.Publish(e.Channel, e.Data, options...)
			done(centrifuge.PublishReply{Result: &result}, err)
		})
		client.OnMessage(func(centrifuge.MessageEvent) {}) // the heartbeat
	}
}

// useRedis makes the node one of several that share a Redis.
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
		MessageSizeLimit:   peer.MaxMessage + 1024, // the envelope around the message
		PingPongConfig:     centrifuge.PingPongConfig{PingInterval: -1, PongTimeout: -1},
	})
	peer.Serve(ln, peer.Mux(func(room string, w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), roomKey{}, room)))
	}))
}
