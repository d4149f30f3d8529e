package redisbridge

import (
	"context"
	"strconv"
	"testing"
	"time"

	"dotsconnect/loop"
)

// guest is a connection that is only a member of a room. It is small, because the benchmark has a million guests.
type guest struct{ loop.Conn }

func (g *guest) Open() error                { return nil }
func (g *guest) Read([]byte) (int, error)   { return 0, loop.ErrAgain }
func (g *guest) Send(p []byte) (int, error) { return len(p), nil }
func (g *guest) AwaitRoom()                 {}
func (g *guest) Finished() bool             { return false }
func (g *guest) CloseWrite()                {}
func (g *guest) Shutdown()                  {}
func (g *guest) Input(p []byte) int         { return len(p) }
func (g *guest) Joined(string)              { g.Upgraded(g.Loop().Now()) }
func (g *guest) Kick(why loop.CloseReason)  { g.Finish(nil, why) }
func (g *guest) Ping()                      {}

// seat makes a guest join the room. The guest is a member by the time when a later Call runs.
func seat(l *loop.Loop, room string) *guest {
	g := &guest{}
	g.Init(g)
	l.Adopt(&g.Conn)
	l.Call(func(*loop.Loop) { g.Join(room, 0) })
	return g
}

// settled waits until the loop has handled all posts from before the call.
func settled(l *loop.Loop) {
	for range 2 { // twice, because a join passes through the inbox a second time
		done := make(chan struct{})
		l.Call(func(*loop.Loop) { close(done) })
		<-done
	}
}

// BenchmarkCounts measures one pass of the counter on a node with 1,000,000 rooms; 100 of them have changed.
func BenchmarkCounts(b *testing.B) {
	const rooms, changes = 1_000_000, 100
	s := startRedis(b)
	cfg := testConfig(s.url())
	cfg.Lanes, cfg.Keep = 16, time.Hour
	n, c := stillNode(b, cfg, 1)
	l, ctx := n.node.Loops()[0], context.Background()
	room := func(i int) string { return "chat/room-" + strconv.Itoa(i) }
	for i := range rooms {
		seat(l, room(i))
	}
	settled(l)
	if got := n.node.Directory().Rooms(); got != rooms {
		b.Fatalf("%d rooms, want %d", got, rooms)
	}
	for c.once(ctx) != nil { // the first pass makes all hashes
	}
	c.due = time.Now().Add(time.Hour)
	var second []*guest
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		if second == nil {
			for i := range changes {
				second = append(second, seat(l, room(i*9973)))
			}
		} else {
			for _, g := range second {
				l.Closed(&g.Conn)
			}
			second = nil
		}
		settled(l)
		b.StartTimer()
		if err := c.once(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
