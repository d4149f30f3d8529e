package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"dotsconnect/bench/client"
)

const perSender = 1_000_000 // message n of member id is the number id*perSender+n

// crowd is a large number of members. Each member sends its next message when its previous message has come back.
type crowd struct {
	*client.Engine
	heard [][]int
	sent  []int
	codes map[string]int // number of connections that ended with each code
	ended int
	total int
	alien string // the first text that is not one of our messages
}

func (d *daemon) crowd(rooms, size int) *crowd {
	d.t.Helper()
	target, err := client.ParseTarget(d.url())
	if err != nil {
		d.t.Fatal(err)
	}
	c := &crowd{heard: make([][]int, rooms*size), sent: make([]int, rooms*size), codes: map[string]int{}}
	c.Engine, err = client.New(client.Config{Target: target, MaxConns: rooms * size, DialTimeout: patience},
		client.Handlers{OnMessage: c.onMessage, OnClose: c.onClose})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = c.Close() })
	path := func(i int) string { return fmt.Sprintf("/ws/chat/drain%d/", i/size) }
	if err := c.OpenAll(rooms*size, 500, path, 2*patience); err != nil {
		d.t.Fatal(err)
	}
	return c
}

func (c *crowd) say(id int32) {
	number := int(id)*perSender + c.sent[id]
	if _, err := c.Send(id, fmt.Appendf(nil, `{"message":%d}`, number)); err == nil {
		c.sent[id]++
	}
}

func (c *crowd) onMessage(id int32, payload []byte, _ int64) {
	text := bytes.TrimSuffix(bytes.TrimPrefix(payload, []byte(`{"message":`)), []byte("}"))
	number, err := strconv.Atoi(string(text))
	if err != nil {
		c.alien = string(payload)
	}
	c.heard[id] = append(c.heard[id], number)
	c.total++
	if number/perSender == int(id) {
		c.say(id)
	}
}

func (c *crowd) onClose(_ int32, end client.Close) {
	c.ended++
	c.codes[end.String()]++
}

// pollUntil polls until done returns true.
func (c *crowd) pollUntil(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := c.Now() + int64(2*patience); !done(); {
		if c.Now() > end {
			t.Fatalf("still not after %v: %s", 2*patience, what)
		}
		if err := c.Poll(min(end, c.Now()+int64(20*time.Millisecond))); err != nil {
			t.Fatal(err)
		}
	}
}

// testTerm: all members of a room join before the first message. So the messages that each member receives must be a prefix of
// the room's order, and the member that left last must have received all of them. If any member has received a message, the
// sender of that message must have received it too, and all of its own messages before it: only the last messages of a sender may
// not have been accepted.
func (p programs) testTerm(t *testing.T) {
	const rooms, size = 625, 8
	d := p.serve(t, "--drain-time=2s")
	c := d.crowd(rooms, size)
	for id := range rooms * size {
		c.say(int32(id))
	}
	c.pollUntil(t, "everybody talks", func() bool { return c.total >= 200_000 || c.ended > 0 })
	before := c.total
	began := time.Now()
	d.signal(syscall.SIGTERM)
	c.pollUntil(t, "everybody was told", func() bool { return c.ended == rooms*size })
	c.pollUntil(t, "the server has ended", func() bool {
		select {
		case <-d.done:
			return true
		default:
			return false
		}
	})
	took := time.Since(began)
	if code := d.ended(); code != exitOK {
		t.Errorf("exit %d, want %d; the log ends with %s", code, exitOK, d.log()[len(d.log())-1])
	}
	for end, n := range c.codes {
		if end != "closed with 4200 draining" {
			t.Errorf("%d members ended otherwise: %s", n, end)
		}
	}
	if c.alien != "" {
		t.Errorf("heard %q", c.alien)
	}
	messages := 0
	for room := range rooms {
		messages += c.checkRoom(t, room, size)
	}
	t.Logf("%d members, %d messages accepted and heard by their senders, %d deliveries, %d of them after SIGTERM; exit after %v",
		rooms*size, messages, c.total, c.total-before, took.Round(time.Millisecond))
}

// checkRoom checks the messages of one room, and returns their number.
func (c *crowd) checkRoom(t *testing.T, room, size int) int {
	t.Helper()
	first := room * size
	var order []int
	for _, heard := range c.heard[first : first+size] {
		if len(heard) > len(order) {
			order = heard
		}
	}
	next := make([]int, size)
	for i, number := range order {
		member, n := number/perSender-first, number%perSender
		if member < 0 || member >= size || n != next[member] {
			t.Fatalf("room %d: message %d is %d of member %d", room, i, n, member)
		}
		next[member]++
	}
	for member := range size {
		heard, own := c.heard[first+member], 0
		if len(heard) > len(order) || !slices.Equal(heard, order[:len(heard)]) {
			t.Errorf("room %d: the messages of member %d are not a prefix of the room's order", room, member)
		}
		for _, number := range heard {
			if number/perSender == first+member {
				own++
			}
		}
		if own != next[member] {
			t.Errorf("room %d: member %d received %d of its own messages, others received %d of them", room, member, own, next[member])
		}
	}
	return len(order)
}

func (p programs) testSecondTerm(t *testing.T) {
	d := p.serve(t, "--drain-time=1h")
	c := d.crowd(10, 8)
	d.signal(syscall.SIGTERM)
	c.pollUntil(t, "the drain begins", func() bool { return slices.ContainsFunc(d.log(), contains(`"draining"`)) })
	d.signal(syscall.SIGTERM)
	if code := d.ended(); code != exitFailure {
		t.Errorf("exit %d, want %d", code, exitFailure)
	}
	lines := d.log()
	if last := lines[len(lines)-1]; !contains("second signal")(last) {
		t.Errorf("the last line is %q, want the reason in it", last)
	}
}
