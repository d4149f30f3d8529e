package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// resender sends numbered messages into a room, each exactly once, although it loses its connection at random moments: it goes to the
// other node, fences its former connection, and sends again what did not come back.
type resender struct {
	since, key, me string      // of the last connection that became live
	open           map[int]int // ref -> message without an answer
	again          []int       // messages to send again
	next           int         // the next new message
	replaced       int         // messages that were sent again
	fences         int
	conn           *websocket.Conn
}

// answer is what the resender reads.
type answer struct {
	ID, Event, Me, Key, From string
	Ref                      int
	Resumed, Fenced          *bool
	Error                    *struct{ Text string }
}

func (s *resender) read(ctx context.Context) (a answer, err error) {
	_, text, err := s.conn.Read(ctx)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("%s: %w", text, err)
	}
	if a.Error != nil {
		return a, fmt.Errorf("%s", text)
	}
	if a.ID != "" {
		s.since = a.ID
	}
	if a.From != "" && a.From == s.me {
		delete(s.open, a.Ref)
	}
	if a.Event == "ack" {
		for ref := range s.open {
			if ref <= a.Ref {
				delete(s.open, ref)
			}
		}
	}
	return a, nil
}

// stay connects to a node, and sends until it has sent n messages; then it vanishes without a word.
func (s *resender) stay(ctx context.Context, address string, n, messages int) error {
	url := fmt.Sprintf("ws://%s/ws/chat/again/?v=2&since=%s&was=%s", address, s.since, s.key)
	conn, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		return err
	}
	s.conn = conn
	defer func() { _ = conn.CloseNow() }()
	opened, err := s.read(ctx)
	if err != nil {
		return err
	}
	if s.key != "" {
		if opened.Resumed == nil || !*opened.Resumed {
			return fmt.Errorf("opened with %+v, want it resumed", opened)
		}
		for {
			a, err := s.read(ctx)
			if err != nil {
				return err
			}
			if a.Event != "live" {
				continue
			}
			if a.Fenced == nil || !*a.Fenced {
				return fmt.Errorf("got %+v, want a fence", a)
			}
			s.fences++
			break
		}
	}
	refs := []int{}
	for ref := range s.open {
		refs = append(refs, ref)
	}
	slices.Sort(refs)
	for _, ref := range refs {
		s.again = append(s.again, s.open[ref])
		s.replaced++
	}
	s.me, s.key, s.open = opened.Me, opened.Key, map[int]int{}
	for ref := 1; ref <= n && (s.next < messages || len(s.again) > 0); ref++ {
		m := s.next
		if len(s.again) > 0 {
			m, s.again = s.again[0], s.again[1:]
		} else {
			s.next++
		}
		s.open[ref] = m
		if err := conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"message":%d,"ref":%d}`, m, ref)); err != nil {
			return err
		}
		if rand.IntN(4) == 0 {
			if _, err := s.read(ctx); err != nil {
				return err
			}
		}
	}
	for s.next == messages && len(s.open) > 0 { // at the end it waits for all answers
		if _, err := s.read(ctx); err != nil {
			return err
		}
	}
	return nil
}

// testSendAgain checks the fence between two nodes: each message is in the room exactly once.
func (p programs) testSendAgain(t *testing.T) {
	redis := startRedis(t)
	args := []string{"--admin=", "--redis=" + redis, "--redis-hold=60s"}
	nodes := []*daemon{p.serve(t, args...), p.serve(t, args...)}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, n := range nodes { // both nodes keep a history from now on
		if err := (&hopper{room: "again"}).stay(ctx, n.start.Address, 50*time.Millisecond, -1); err != nil {
			t.Fatal(err)
		}
	}
	const messages = 600
	listener, _, err := websocket.Dial(ctx, fmt.Sprintf("ws://%s/ws/chat/again/", nodes[0].start.Address), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.CloseNow() }()
	talk := func(text string) {
		if err := listener.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]int, messages)
	done := make(chan error, 1)
	for range 2 { // the history begins with the first; the second has a place in it
		talk(`{"message":-2}`)
		if _, _, err := listener.Read(ctx); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		for {
			_, text, err := listener.Read(ctx)
			var m struct{ Message int }
			if err == nil {
				err = json.Unmarshal(text, &m)
			}
			if err != nil || m.Message == -1 {
				done <- err
				return
			}
			if m.Message >= 0 {
				got[m.Message]++
			}
		}
	}()
	s := &resender{}
	for hop := 0; s.next < messages || len(s.again)+len(s.open) > 0; hop++ {
		if err := s.stay(ctx, nodes[hop%2].start.Address, 1+rand.IntN(40), messages); err != nil {
			t.Fatal(err)
		}
	}
	talk(`{"message":-1}`)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for m, n := range got {
		if n != 1 {
			t.Errorf("message %d is in the room %d times", m, n)
		}
	}
	t.Logf("%d fences, %d messages sent again", s.fences, s.replaced)
	if s.fences < 10 || s.replaced == 0 {
		t.Error("too few for a test")
	}
}
