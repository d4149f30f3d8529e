package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// hopper is a client of version 2 that goes from node to node and counts what it gets.
type hopper struct {
	room           string
	since          string
	got            []int
	hops, refusals int
}

// object is what the hopper reads.
type object struct {
	ID      string `json:"id"`
	Resumed *bool  `json:"resumed"`
	Message *int   `json:"message"`
}

// stay connects to a node and reads for some time, or until the last message.
func (h *hopper) stay(ctx context.Context, address string, stay time.Duration, last int) error {
	url := fmt.Sprintf("ws://%s/ws/chat/%s/?v=2&since=%s", address, h.room, h.since)
	conn, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	h.hops++
	ctx, cancel := context.WithTimeout(ctx, stay)
	defer cancel()
	for {
		_, text, err := conn.Read(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		var o object
		if err := json.Unmarshal(text, &o); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		if o.ID != "" {
			h.since = o.ID
		}
		if o.Resumed != nil && !*o.Resumed && len(h.got) > 0 {
			h.refusals++
		}
		if o.Message != nil {
			if h.got = append(h.got, *o.Message); *o.Message == last {
				return nil
			}
		}
	}
}

// testHops lets clients of version 2 go from one node to the other while messages come: each must get every message once and in
// order, over all its connections.
func (p programs) testHops(t *testing.T) {
	redis := startRedis(t)
	args := []string{"--admin=", "--redis=" + redis, "--redis-hold=60s"}
	nodes := []*daemon{p.serve(t, args...), p.serve(t, args...)}
	const rooms, messages = 8, 1500
	hoppers := make([]*hopper, rooms)
	for i := range hoppers {
		hoppers[i] = &hopper{room: fmt.Sprintf("hops%d", i)}
		for _, n := range nodes { // both nodes keep a history from now on
			if err := (&hopper{room: hoppers[i].room}).stay(t.Context(), n.start.Address, 50*time.Millisecond, -1); err != nil {
				t.Fatal(err)
			}
		}
	}
	var wait sync.WaitGroup
	for i, h := range hoppers {
		talker, _, err := websocket.Dial(t.Context(), fmt.Sprintf("ws://%s/ws/chat/%s/", nodes[i%2].start.Address, h.room), nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() { // its own messages come back
			for {
				if _, _, err := talker.Read(t.Context()); err != nil {
					return
				}
			}
		}()
		wait.Go(func() {
			defer func() { _ = talker.CloseNow() }()
			for n := range messages {
				if err := talker.Write(t.Context(), websocket.MessageText, fmt.Appendf(nil, `{"message":%d}`, n)); err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Millisecond) // the messages must come over several hops
			}
		})
		wait.Go(func() {
			for n := 0; len(h.got) == 0 || h.got[len(h.got)-1] != messages-1; n++ {
				if err := h.stay(t.Context(), nodes[n%2].start.Address, time.Duration(20+10*i)*time.Millisecond, messages-1); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	hops := 0
	for _, h := range hoppers {
		hops += h.hops
		if h.refusals > 0 {
			t.Errorf("%s: %d positions were refused", h.room, h.refusals)
		}
		for i, n := range h.got {
			if n != h.got[0]+i {
				t.Errorf("%s: got %d after %d", h.room, n, h.got[max(0, i-1)])
				break
			}
		}
	}
	t.Logf("%d hops", hops)
	if hops < 50 {
		t.Errorf("only %d hops", hops)
	}
}

// testNewNode lets a client go to a node that was started after the messages that it missed: the node finds them in the log of Redis.
func (p programs) testNewNode(t *testing.T) {
	redis := startRedis(t)
	args := []string{"--admin=", "--redis=" + redis, "--redis-hold=60s"}
	old := p.serve(t, args...)
	const rooms, missed = 20, 30
	hoppers, talkers := make([]*hopper, rooms), make([]*websocket.Conn, rooms)
	say := func(n int) {
		for i, talker := range talkers {
			if err := talker.Write(t.Context(), websocket.MessageText, fmt.Appendf(nil, `{"message":%d}`, n)); err != nil {
				t.Fatal(err)
			}
			if _, _, err := talker.Read(t.Context()); err != nil {
				t.Fatal(i, err)
			}
		}
	}
	for i := range rooms {
		hoppers[i] = &hopper{room: fmt.Sprintf("new%d", i)}
		talker, _, err := websocket.Dial(t.Context(), fmt.Sprintf("ws://%s/ws/chat/%s/", old.start.Address, hoppers[i].room), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = talker.CloseNow() })
		talkers[i] = talker
	}
	say(0)
	for _, h := range hoppers {
		if err := h.stay(t.Context(), old.start.Address, 50*time.Millisecond, -1); err != nil || h.since == "" {
			t.Fatalf("position %q, %v", h.since, err)
		}
	}
	for n := range missed {
		say(1 + n)
	}
	fresh := p.serve(t, args...)
	var wait sync.WaitGroup
	for _, h := range hoppers {
		wait.Go(func() {
			if err := h.stay(t.Context(), fresh.start.Address, time.Minute, missed); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for _, h := range hoppers {
		for i, n := range h.got {
			if n != 1+i {
				t.Fatalf("%s: got %v, want 1 to %d", h.room, h.got, missed)
			}
		}
		if len(h.got) != missed {
			t.Errorf("%s: got %d messages, want %d", h.room, len(h.got), missed)
		}
	}
}
