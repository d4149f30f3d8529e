// Package bus makes a server one of many nodes in the usual way: each message is
// one PUBLISH to Redis, and every node receives all messages through a
// subscription (github.com/redis/go-redis).
//
// One pattern subscription serves all rooms, so that joining costs no round trip
// and a node has one connection for it. Messages are read from its Channel, as
// go-redis recommends.
//
// Messages that Redis does not accept, or that a broken subscription misses, are
// lost without an error: PUBLISH keeps nothing.
package bus

import (
	"context"
	"log"
	"strings"

	"github.com/redis/go-redis/v9"
)

const prefix = "chat:" // of the channels, one for each room

// Bus connects the nodes. Any goroutine may call its methods.
type Bus struct {
	redis    *redis.Client
	messages <-chan *redis.Message
}

// Dial subscribes to all rooms at a Redis, host:port. After it returns no message
// is missed. It exits the process on an error.
func Dial(address string) *Bus {
	client := redis.NewClient(&redis.Options{Addr: address})
	subscription := client.PSubscribe(context.Background(), prefix+"*")
	if _, err := subscription.Receive(context.Background()); err != nil { // the answer
		log.Fatal(err)
	}
	return &Bus{redis: client, messages: subscription.Channel()}
}

// Publish sends a message to all nodes, this one included. It waits for Redis,
// which keeps a sender's messages in order. Other goroutines publish meanwhile,
// through go-redis's own pool.
func (b *Bus) Publish(room string, message []byte) {
	if err := b.redis.Publish(context.Background(), prefix+room, message).Err(); err != nil {
		log.Print(err)
	}
}

// Deliver calls to for each message of any node, in the order of Redis, until the
// process ends.
func (b *Bus) Deliver(to func(room string, message []byte)) {
	for m := range b.messages {
		to(strings.TrimPrefix(m.Channel, prefix), []byte(m.Payload))
	}
}
