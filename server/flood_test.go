package server

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"dotsconnect/loop"
)

// ear is a member inside the process. For each message it records the turn of its loop in which the message is delivered, which
// no client can see.
type ear struct {
	loop.Conn
	room   string
	joined chan struct{}

	mu    sync.Mutex
	turns map[string]uint64 // by message: the number of turns completed when it was delivered; guarded by mu
}

func newEar(room string) *ear {
	e := &ear{room: room, joined: make(chan struct{}), turns: map[string]uint64{}}
	e.Init(e)
	return e
}

func (e *ear) Open() error                { e.Join(e.room, variantRaw); return nil }
func (e *ear) Joined(string)              { e.Upgraded(e.Loop().Now()); close(e.joined) }
func (*ear) Read([]byte) (int, error)     { return 0, loop.ErrAgain }
func (*ear) Input(p []byte) int           { return len(p) }
func (*ear) AwaitRoom()                   {}
func (*ear) Finished() bool               { return false }
func (*ear) CloseWrite()                  {}
func (*ear) Shutdown()                    {}
func (*ear) Kick(loop.CloseReason)        {}
func (*ear) Ping()                        {}
func (e *ear) delivered(text string) bool { _, ok := e.turn(text); return ok }

func (e *ear) turn(text string) (uint64, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n, ok := e.turns[text]
	return n, ok
}

// Send takes short unmasked frames: a header of two bytes, and then the message.
func (e *ear) Send(p []byte) (int, error) {
	turns := e.Loop().Stats().Turns
	e.mu.Lock()
	defer e.mu.Unlock()
	for rest := p; len(rest) >= 2; {
		n := 2 + int(rest[1])
		e.turns[string(rest[2:n])] = turns
		rest = rest[n:]
	}
	return len(p), nil
}

// TestAFloodDoesNotHoldTheLoop counts turns of the only loop: a message of another room must be delivered at most mostTurns after
// it arrived. A sample does not count if turns ended while the message was being written: then this client did not run for a
// while, and the turn of the arrival is unknown.
func TestAFloodDoesNotHoldTheLoop(t *testing.T) {
	const samples, mostTurns, mostTries = 300, 8, 100_000
	s := startServer(t, func(cfg *Config) { cfg.Loops = 1 })
	l := s.node.Loops()[0]
	listener := newEar("raw/quiet")
	l.Adopt(&listener.Conn)
	<-listener.joined
	speaker := s.join(t, "/ws/raw/quiet/")
	flooder := s.join(t, "/ws/raw/flood/")
	var wait sync.WaitGroup
	wait.Go(func() { _, _ = io.Copy(io.Discard, flooder.r) })
	wait.Go(func() {
		flood := frame(1, true, []byte("flood"))
		flood = slices.Repeat(flood, 2000)
		for {
			if _, err := flooder.Write(flood); err != nil {
				return
			}
		}
	})
	wait.Go(func() { _, _ = io.Copy(io.Discard, speaker.r) })
	eventually(t, "the flood runs", func() bool { return l.Stats().Accepted > 10_000 })

	began := l.Stats()
	var turns []uint64
	for try := range mostTries {
		text := fmt.Sprintf("message %d", try)
		before := l.Stats().Turns
		speaker.text(text)
		after := l.Stats().Turns
		eventually(t, text+" is delivered", func() bool { return listener.delivered(text) })
		if at, _ := listener.turn(text); after == before {
			turns = append(turns, at-before)
		}
		if len(turns) == samples {
			break
		}
	}
	ended := l.Stats()
	_, _ = flooder.Close(), speaker.Close()
	wait.Wait()
	if len(turns) < samples {
		t.Fatalf("only %d of %d samples", len(turns), samples)
	}
	slices.Sort(turns)
	if most := turns[samples-1]; most > mostTurns {
		t.Errorf("a message waited for %d turns, want at most %d", most, mostTurns)
	}
	t.Logf("turns from arrival to delivery: median %d, p99 %d, most %d; the flood had %.0f messages accepted a turn", turns[samples/2],
		turns[samples*99/100], turns[samples-1], float64(ended.Accepted-began.Accepted)/float64(ended.Turns-began.Turns))
}

// TestASingleMessageWaitsForNoTimer stops the ticker, so that only messages cause turns.
func TestASingleMessageWaitsForNoTimer(t *testing.T) {
	const messages = 200
	s := startServer(t, nil)
	a, b := s.join(t, "/ws/chat/quiet/"), s.join(t, "/ws/chat/quiet/")
	s.onAllLoops(t, "chat/quiet")
	s.ticker.stop()
	s.ticker = nil
	before := s.turnsOf(t)
	for i := range messages {
		text := fmt.Sprint("message ", i)
		a.say(text)
		a.hears(text)
		b.hears(text)
	}
	after := s.turnsOf(t)
	for i := range after {
		if n := after[i] - before[i] - 1; n > messages { // one turn was caused by turnsOf itself
			t.Errorf("loop %d had %d turns for %d messages, want one for each", i, n, messages)
		}
	}
	t.Logf("turns by loop for %d messages: %d and %d", messages, after[0]-before[0]-1, after[1]-before[1]-1)
}

// turnsOf returns the number of turns that each loop has completed. Each call causes one more turn.
func (s *testServer) turnsOf(t *testing.T) (turns []uint64) {
	t.Helper()
	for _, l := range s.node.Loops() {
		n, err := onLoop(t, l, func(l *loop.Loop) (uint64, error) { return l.Stats().Turns, nil })
		if err != nil {
			t.Fatal(err)
		}
		turns = append(turns, n)
	}
	return turns
}
