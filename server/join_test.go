package server

import (
	"fmt"
	"sync/atomic"
	"testing"
)

// A client that has seen the 101 must receive all later publications of the room, on each loop, and whether or not the loop
// already had members of the room.

func TestTheNextPublicationAfterTheAnswerReachesTheNewMember(t *testing.T) {
	s := startServer(t, nil)
	b := s.join(t, "/ws/chat/old/")
	for i := range 200 {
		room := "old" // B's room; the other rooms are new to the joining member's loop
		speaker := b
		if i%2 == 1 {
			room = fmt.Sprintf("new%d", i)
			speaker = s.join(t, "/ws/chat/"+room+"/")
		}
		a := s.join(t, "/ws/chat/"+room+"/")
		text := fmt.Sprint("message ", i)
		speaker.say(text)
		a.hears(text)
		speaker.hears(text)
		_ = a.Close()
		if speaker != b {
			_ = speaker.Close()
		}
	}
}

// TestNoJoinMissesARunningConversation has one member that sends without pause, while guests come and go on many goroutines.
// Each guest must receive a part of the conversation without a gap. The part must begin no later than the first message that
// was sent after the guest had seen the answer to its handshake.
func TestNoJoinMissesARunningConversation(t *testing.T) {
	const joiners, joins, listen = 8, 50, 20
	s := startServer(t, nil)
	speaker := newTalker(s.join(t, "/ws/chat/busy/"), 0)
	_ = speaker.SetDeadline(noDeadline)
	var written, late atomic.Int64 // upper limit for the number of messages written so far
	done := make(chan struct{})
	talk := func() error {
		for {
			select {
			case <-done:
				return nil
			default:
			}
			written.Add(1)
			if err := speaker.send(1); err != nil {
				return err
			}
			if err := speaker.hear(); err != nil {
				return err
			}
		}
	}
	var running atomic.Int64
	running.Store(joiners)
	all := []func() error{talk}
	for range joiners {
		all = append(all, func() error {
			defer func() {
				if running.Add(-1) == 0 {
					close(done)
				}
			}()
			for range joins {
				k, err := s.tryJoin(t, "/ws/chat/busy/")
				if err != nil {
					return err
				}
				next := int(written.Load()) // number of the first message that is certainly not written yet
				if err := k.talk(0, 0, listen); err != nil {
					return err
				}
				if k.heard[0] > next {
					return fmt.Errorf("the first message heard is %d, although %d was not written yet", k.heard[0], next)
				}
				if k.heard[0] == next {
					late.Add(1)
				}
				for i, number := range k.heard {
					if number != k.heard[0]+i {
						return fmt.Errorf("a gap after message %d: %d", i, number)
					}
				}
				_ = k.Close()
			}
			return nil
		})
	}
	together(t, all...)
	t.Logf("%d joins while %d messages passed; %d began with the very next message", joiners*joins, written.Load(), late.Load())
}
