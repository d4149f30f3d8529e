// Package bus makes a server one of many nodes, the way most are written: each
// message is one PUBLISH to Redis, and every node gets all of them by a
// subscription (github.com/redis/go-redis).
//
// One subscription to a pattern serves all rooms, so that joining costs no round
// trip and a node has one connection for it. Channel hands out its messages, as
// go-redis recommends.
//
// What Redis does not take, or a subscription misses while it is broken, is lost
// in silence: PUBLISH keeps nothing.
package bus

import (
	"context"
	"log"
	"strings"

	"github.com/redis/go-redis/v9"
)

const prefix = "chat:" // of the channels, one for each room

// Bus is what the nodes share. Its methods may be called by any goroutine.
type Bus struct {
	redis    *redis.Client
	messages <-chan *redis.Message
}

// Dial subscribes to all rooms at a Redis, host:port. From then on nothing is
// missed. It ends the process when it cannot.
func Dial(address string) *Bus {
	client := redis.NewClient(&redis.Options{Addr: address})
	subscription := client.PSubscribe(context.Background(), prefix+"*")
	if _, err := subscription.Receive(context.Background()); err != nil { // the answer
		log.Fatal(err)
	}
	return &Bus{redis: client, messages: subscription.Channel()}
}

// Publish hands a message to all nodes, this one included. It waits for Redis,
// which keeps a sender's messages in order; those of other goroutines are under
// way meanwhile, over go-redis's own pool.
func (b *Bus) Publish(room string, message []byte) {
	if err := b.redis.Publish(context.Background(), prefix+room, message).Err(); err != nil {
		log.Print(err)
	}
}

// Deliver calls to for each message of any node, in the order of Redis, for as
// long as the process runs.
func (b *Bus) Deliver(to func(room string, message []byte)) {
	for m := range b.messages {
		to(strings.TrimPrefix(m.Channel, prefix), []byte(m.Payload))
	}
}
