// Package bus connects the nodes of a server in the usual way: each message is
// one PUBLISH to Redis, and each node receives all messages through a
// subscription. It uses github.com/redis/go-redis.
//
// A node subscribes to a pattern that matches all rooms. So joining a room
// needs no round trip, and the node needs only one connection for its
// subscription. Messages are read from the Channel of the subscription, as
// go-redis recommends.
//
// PUBLISH does not store messages. So a message is lost if Redis does not
// accept it, or if a subscription is broken when the message is published. The
// members get no error.
package bus

import (
	"context"
	"log"
	"strings"

	"github.com/redis/go-redis/v9"
)

const prefix = "chat:" // prefix of the Redis channels; each room has a channel

// Bus is a node's connection to the other nodes. Any goroutine may call its
// methods.
type Bus struct {
	redis    *redis.Client
	messages <-chan *redis.Message
}

// Dial connects to the Redis at address (host:port) and subscribes to all
// rooms. When it returns, the subscription has begun. It exits the process on
// an error.
func Dial(address string) *Bus {
	client := redis.NewClient(&redis.Options{Addr: address})
	subscription := client.PSubscribe(context.Background(), prefix+"*")
	if _, err := subscription.Receive(context.Background()); err != nil { // waits until Redis has confirmed the subscription
		log.Fatal(err)
	}
	return &Bus{redis: client, messages: subscription.Channel()}
}

// Publish sends a message to all nodes, including this node. It waits for the
// answer of Redis, so the messages of a sender stay in order. Meanwhile other
// goroutines can publish through other connections of the pool of go-redis.
func (b *Bus) Publish(room string, message []byte) {
	if err := b.redis.Publish(context.Background(), prefix+room, message).Err(); err != nil {
		log.Print(err)
	}
}

// Deliver calls receive for each message of all nodes, in the order in which
// Redis sends them. It does not return.
func (b *Bus) Deliver(receive func(room string, message []byte)) {
	for m := range b.messages {
		receive(strings.TrimPrefix(m.Channel, prefix), []byte(m.Payload))
	}
}
