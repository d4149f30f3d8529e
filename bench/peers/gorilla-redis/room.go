package main

import (
	"context"
	"sync"

	"github.com/gorilla/websocket"
	"github.com/redis/go-redis/v9"
)

// hub holds the rooms that have members here.
type hub struct {
	redis *redis.Client

	mu    sync.Mutex
	rooms map[string]*room // guarded by mu
}

// room is a set of members with a subscription. One that ended never comes
// back: a later room of its name is another one, which has nothing of the old
// subscription.
type room struct {
	name      string
	users     int                           // guarded by hub.mu: members, and those that wait to be
	subscribe func() (*redis.PubSub, error) // once; others wait for it

	mu      sync.Mutex
	members map[*client]struct{} // guarded by mu
}

// join makes the client a member, once the room's subscription is there.
func (h *hub) join(name string, c *client) error {
	h.mu.Lock()
	in := h.rooms[name]
	if in == nil {
		in = &room{name: name, members: map[*client]struct{}{}}
		in.subscribe = sync.OnceValues(func() (*redis.PubSub, error) { return in.open(h.redis) })
		h.rooms[name] = in
	}
	in.users++
	h.mu.Unlock()
	c.room = in
	if _, err := in.subscribe(); err != nil {
		h.leave(c)
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.members[c] = struct{}{}
	return nil
}

// leave ends a membership; the last one out ends the room and its subscription.
func (h *hub) leave(c *client) {
	c.room.mu.Lock()
	delete(c.room.members, c)
	c.room.mu.Unlock()
	h.mu.Lock()
	c.room.users--
	last := c.room.users == 0
	if last {
		delete(h.rooms, c.room.name)
	}
	h.mu.Unlock()
	if !last {
		return
	}
	if subscription, err := c.room.subscribe(); err == nil {
		_ = subscription.Close() // ends deliver
	}
}

func (r *room) open(client *redis.Client) (*redis.PubSub, error) {
	subscription := client.Subscribe(context.Background(), prefix+r.name)
	if _, err := subscription.Receive(context.Background()); err != nil { // the answer
		_ = subscription.Close()
		return nil, err
	}
	go r.deliver(subscription.Channel())
	return subscription, nil
}

// deliver hands what Redis sends to the members.
func (r *room) deliver(messages <-chan *redis.Message) {
	for m := range messages {
		prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte(m.Payload))
		if err != nil {
			continue
		}
		r.mu.Lock()
		for member := range r.members {
			member.enqueue(prepared)
		}
		r.mu.Unlock()
	}
}
