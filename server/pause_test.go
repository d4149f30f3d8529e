package server

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A publisher is paused, sends more and closes. The poller closes the socket when the FIN comes, so the loop must have read all
// bytes before that, or they are lost.

// finish sends count more messages and FIN.
func (k *talker) finish(count int) error {
	if err := k.send(count); err != nil {
		return err
	}
	tcp, ok := k.Conn.(*net.TCPConn)
	if !ok {
		return errors.New("no TCP connection")
	}
	return tcp.CloseWrite()
}

func heardAll(k *talker, total int) error {
	if err := k.talk(0, 0, total); err != nil {
		return err
	}
	for i, number := range k.heard {
		if number != i {
			return fmt.Errorf("message %d is %d", i, number)
		}
	}
	return nil
}

// TestAPublisherPausedForWantOfCreditLosesNothingWhenItCloses stops the loop of the other member, so that the inbox of this
// loop fills up.
func TestAPublisherPausedForWantOfCreditLosesNothingWhenItCloses(t *testing.T) {
	s := startServer(t, func(cfg *Config) {
		cfg.MaxMessage, cfg.InboxLimit = 4*KiB, 32*KiB
		cfg.HardBacklog = 16 * MiB
	})
	a, b := newTalker(s.join(t, "/ws/chat/credit/"), 0), newTalker(s.join(t, "/ws/chat/credit/"), 1)
	s.onAllLoops(t, "chat/credit")
	a.pad = strings.Repeat("x", 1000)
	release := s.hold(s.node.Loops()[1])
	var wait sync.WaitGroup
	wait.Go(func() { // it reads its own messages, up to the end
		for a.hear() == nil {
		}
	})
	if err := a.send(100); err != nil {
		t.Fatal(err)
	}
	first := s.node.Loops()[0]
	eventually(t, "the publisher is paused", func() bool { return first.Stats().PausedNow == 1 })
	kept := first.Stats().InputBytes
	if err := a.finish(40); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what it sent before the FIN is kept", func() bool { return first.Stats().InputBytes >= kept+40*1000 })
	release()
	if err := heardAll(b, 140); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has left", func() bool { return s.connections() == 1 })
	wait.Wait()
	t.Logf("paused %d times, %d bytes kept", s.stats().Pauses, s.stats().InputBytes)
}

// TestAPublisherPausedForASlowMemberLosesNothingWhenItCloses needs the FIN to come while the room is stalled. A stall lasts about
// 300 ms if the slow member reads nothing. If this machine misses that time, the test tries again in another room.
func TestAPublisherPausedForASlowMemberLosesNothingWhenItCloses(t *testing.T) {
	const attempts, count = 20, 40
	s := startServer(t, func(cfg *Config) {
		narrow(cfg)
		cfg.SoftBacklog, cfg.HardBacklog = 1, 64*MiB
		cfg.StallBudget = 10 * time.Second
	})
	paused := 0
	for attempt := range attempts {
		path := fmt.Sprintf("/ws/chat/stalled%d/", attempt)
		a, b := newTalker(s.join(t, path), 0), newTalker(s.join(t, path), 1)
		a.pad = strings.Repeat("x", 1000)
		slow := s.joinNarrow(t, path)
		before := s.stats()
		for s.stats().Stalls == before.Stalls {
			if err := a.send(1); err != nil {
				t.Fatal(err)
			}
			if err := a.hear(); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.finish(count); err != nil {
			t.Fatal(err)
		}
		if err := heardAll(b, a.sent); err != nil {
			t.Fatalf("attempt %d: %v", attempt, err)
		}
		if after := s.stats(); after.Pauses > before.Pauses && after.InputBytes >= before.InputBytes+count*1000 {
			paused++
		}
		_, _, _ = slow.Close(), a.Close(), b.Close()
		if paused == 3 {
			break
		}
	}
	if paused == 0 {
		t.Errorf("in none of %d attempts the publisher was paused when its FIN came", attempts)
	}
	t.Logf("paused at its FIN %d times; %d pauses, %d stalls", paused, s.stats().Pauses, s.stats().Stalls)
}
