package server

import (
	"fmt"
	"testing"
	"time"

	"dotsconnect/bench/client"
)

// crowd is a large number of members. One goroutine drives them all, by the client of the load generators.
type crowd struct {
	*client.Engine
	t     *testing.T
	heard int
	ended int
}

// joinCrowd opens the given number of rooms with size members each. Member i is in room i/size.
func (s *testServer) joinCrowd(t *testing.T, rooms, size int) *crowd {
	t.Helper()
	target, err := client.ParseTarget("ws://" + s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{t: t}
	c.Engine, err = client.New(client.Config{Target: target, MaxConns: rooms * size, DialTimeout: patience}, client.Handlers{
		OnMessage: func(int32, []byte, int64) { c.heard++ },
		OnClose: func(id int32, end client.Close) {
			c.ended++
			t.Errorf("member %d ended: %v", id, end)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	path := func(i int) string { return fmt.Sprintf("/ws/chat/crowd%d/", i/size) }
	if err := c.OpenAll(rooms*size, 500, path, 2*patience); err != nil {
		t.Fatal(err)
	}
	return c
}

// hears waits until all members together have received total messages.
func (c *crowd) hears(total int) {
	c.t.Helper()
	done, err := c.Run(c.Now()+int64(2*patience), func() bool { return c.heard >= total || c.ended > 0 })
	if err != nil || !done || c.heard != total {
		c.t.Fatalf("%d of %d messages were heard, %v", c.heard, total, err)
	}
}

// TestMessagesSentAtOnceShareWrites uses the loop's own counters. "At once" means that all messages were sent before the loops
// looked at their sockets. The test also logs the ratio for messages that one client writes as fast as it can.
func TestMessagesSentAtOnceShareWrites(t *testing.T) {
	rooms, size, rounds := 1000, 8, 3
	if testing.Short() {
		rooms = 100
	}
	s := startServer(t, nil)
	c := s.joinCrowd(t, rooms, size)
	total := 0
	everybodySends := func() {
		t.Helper()
		for member := range size { // one member of each room, then a second member of each room, and so on
			for room := range rooms {
				if _, err := c.Send(int32(room*size+member), []byte(`{"message":"hello"}`)); err != nil {
					t.Fatal(err)
				}
			}
		}
		total += rooms * size * size
	}
	ratio := func(f func()) float64 {
		t.Helper()
		before := s.checkLedger(t)
		f()
		c.hears(total)
		after := s.checkLedger(t)
		return float64(after.Delivered-before.Delivered) / float64(after.Writes-before.Writes)
	}
	for range rounds {
		began := time.Now()
		atOnce := ratio(func() {
			release := s.hold(s.node.Loops()...)
			everybodySends()
			release()
		})
		took := time.Since(began)
		inAStream := ratio(everybodySends)
		if atOnce < 2 {
			t.Errorf("%.2f frames a write, want at least 2", atOnce)
		}
		t.Logf("%d rooms of %d: %.2f frames a write when all send at once (%d deliveries in %v), %.2f as fast as one client writes", rooms, size,
			atOnce, rooms*size*size, took.Round(time.Millisecond), inAStream)
	}
}
