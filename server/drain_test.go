package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

// talkUntilTheEnd sends messages, with at most window of them on their way, until the close frame comes. Then it answers the
// close frame and reads to the end of the stream.
func (k *talker) talkUntilTheEnd(window int) error {
	for {
		if more := window - (k.sent - k.echoed); more > 0 {
			if err := k.send(more); err != nil {
				return fmt.Errorf("member %d: %w", k.sender, err)
			}
		}
		if err := k.hear(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	_, _ = k.Write(frame(8, true, []byte{byte(k.code >> 8), byte(k.code)}))
	if rest, err := io.ReadAll(k.r); len(rest) > 0 || err != nil {
		return fmt.Errorf("member %d: %d bytes after the close frame, %w", k.sender, len(rest), err)
	}
	return nil
}

// TestDrainTellsEverybodyAndLosesNothingAccepted has members on both loops that talk until they are told to leave.
//
// All members of a room have joined before the first message. So each member must have received a beginning of the room's
// order, and the last member to leave must have received the whole order. A sender leaves only when all of its accepted
// messages have come back. So if a member has received a message, the sender of the message must have received it, too.
func TestDrainTellsEverybodyAndLosesNothingAccepted(t *testing.T) {
	const rooms, size, window = 10, 8, 8
	s := startServer(t, func(cfg *Config) {
		cfg.DrainTime = 500 * time.Millisecond
		cfg.SoftBacklog, cfg.HardBacklog = 16*MiB, 16*MiB
	})
	var members [rooms][]*talker
	var all []func() error
	for room := range rooms {
		for i := range size {
			k := newTalker(s.join(t, fmt.Sprintf("/ws/chat/drain%d/", room)), i)
			members[room] = append(members[room], k)
			all = append(all, func() error { return k.talkUntilTheEnd(window) })
		}
		s.onAllLoops(t, fmt.Sprintf("chat/drain%d", room))
	}
	all = append(all, func() error {
		for s.stats().Accepted < 5000 {
			time.Sleep(time.Millisecond) // polls a condition every millisecond
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return s.Drain(ctx, s.cfg.DrainDelay)
	})
	together(t, all...)

	messages := 0
	for room := range rooms {
		messages += checkDrained(t, members[room])
	}
	sum := s.checkLedger(t)
	if sum.InFlight != 0 || sum.Conns != 0 || sum.Rooms != 0 {
		t.Errorf("left over: %d frames in flight, %d connections, %d rooms", sum.InFlight, sum.Conns, sum.Rooms)
	}
	if sum.Accepted != uint64(messages) {
		t.Errorf("%d messages were accepted, and the members heard %d", sum.Accepted, messages)
	}
	t.Logf("%d members of %d rooms, %d messages accepted, all heard by their senders; %d deliveries", rooms*size, rooms, messages, sum.Delivered)
}

// checkDrained checks the messages of one room, and returns their number.
func checkDrained(t *testing.T, members []*talker) int {
	t.Helper()
	var order []int
	for _, k := range members {
		if k.code != 4200 {
			t.Errorf("member %d was closed with %d %q, want 4200", k.sender, k.code, k.reason)
		}
		if len(k.heard) > len(order) {
			order = k.heard
		}
	}
	next := make([]int, len(members))
	for i, number := range order {
		if sender, n := number/perSender, number%perSender; n != next[sender] {
			t.Fatalf("message %d of the room is %d of sender %d, want %d", i, n, sender, next[sender])
		} else {
			next[sender]++
		}
	}
	for _, k := range members {
		if !isPrefix(k.heard, order) {
			t.Errorf("the messages of member %d are not a beginning of the room's order", k.sender)
		}
		if k.echoed != next[k.sender] {
			t.Errorf("member %d heard %d of its own messages, and others heard %d of them", k.sender, k.echoed, next[k.sender])
		}
	}
	return len(order)
}
