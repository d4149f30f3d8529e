package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"dotsconnect/server/internal/golden"
)

const goldenFolder = "testdata/seed-golden/"

// foreign is a member that uses another WebSocket library.
type foreign struct {
	*websocket.Conn
	t   *testing.T
	ctx context.Context //nolint:containedctx // the deadline of all its calls
}

func (s *testServer) joinForeign(t *testing.T, path string) *foreign {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	conn, _, err := websocket.Dial(ctx, "ws://"+s.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(1 << 20)
	return &foreign{conn, t, ctx}
}

func (f *foreign) text(s string) {
	f.t.Helper()
	if err := f.Write(f.ctx, websocket.MessageText, []byte(s)); err != nil {
		f.t.Fatalf("send %.60q: %v", s, err)
	}
}

func (f *foreign) message() string {
	f.t.Helper()
	kind, got, err := f.Read(f.ctx)
	if err != nil || kind != websocket.MessageText {
		f.t.Fatalf("want a text message, got %v %.60q, %v", kind, got, err)
	}
	return string(got)
}

// hears checks that the next frame has the same JSON value as want.
func (f *foreign) hears(who, want string) {
	f.t.Helper()
	if got := f.message(); !golden.SameValue(got, want) {
		f.t.Fatalf("%s got %.80q, want the value of %.80q", who, got, want)
	}
}

// refused reads the end of the connection, and returns its code and reason.
func (f *foreign) refused() (code int, reason string) {
	f.t.Helper()
	_, got, err := f.Read(f.ctx)
	var closed websocket.CloseError
	if !errors.As(err, &closed) {
		f.t.Fatalf("want a close frame, got %.80q, %v", got, err)
	}
	return int(closed.Code), closed.Reason
}

// TestSeedValuesArriveAsTheyDidFromTheOriginal sends every recorded message, in the recorded order, into a room with two members.
// It waits for the outcome of each message before it sends the next one.
func TestSeedValuesArriveAsTheyDidFromTheOriginal(t *testing.T) {
	rows := loadGolden(t, golden.LoadValues, "values.jsonl")
	s := startServer(t, nil)
	peer, sender := s.joinForeign(t, "/ws/chat/values/"), s.joinForeign(t, "/ws/chat/values/")
	outcomes := map[golden.Outcome]int{}
	differences := map[*golden.Difference]int{}
	for i, row := range rows {
		outcome, want, difference := row.Expect()
		outcomes[outcome]++
		if difference != nil {
			differences[difference]++
		}
		if len(row.Sent) > int(s.cfg.MaxMessage) {
			s.refusesTooBig(t, row.Sent)
			continue
		}
		sender.text(row.Sent)
		switch outcome {
		case golden.Broadcast:
			sender.hears("the sender", want)
			peer.hears("the peer", want)
		case golden.Silent: // if something came, the check of the next message finds it
			sender.text(`{"message":"next"}`)
			sender.hears("the sender", `{"message":"next"}`)
			peer.hears("the peer", `{"message":"next"}`)
		case golden.Refused:
			if code, reason := sender.refused(); code != golden.Refusal || reason == "" {
				t.Errorf("row %d, %.60q: closed with %d %q, want %d and a reason", i+1, row.Sent, code, reason, golden.Refusal)
			}
			sender = s.joinForeign(t, "/ws/chat/values/")
		}
	}
	t.Logf("%d messages: %v", len(rows), outcomes)
	for i := range golden.Differences {
		d := &golden.Differences[i]
		if differences[d] != len(d.Sent) {
			t.Errorf("%d of %d messages of the difference %q were met", differences[d], len(d.Sent), d.Why)
		}
		t.Logf("deliberately %s: %s", d.Ours, d.Why)
		for _, sent := range d.Sent {
			t.Logf("    %.70q", sent)
		}
	}
}

// refusesTooBig sends a message over the limit. The server refuses it as soon as the header has announced its size, when most of
// the message is still unwritten, so the client must read while it writes.
func (s *testServer) refusesTooBig(t *testing.T, text string) {
	t.Helper()
	w := s.join(t, "/ws/chat/values/")
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		_, _ = w.Write(frame(1, true, []byte(text)))
	}()
	if reason := w.endsWith(1009); reason == "" {
		t.Errorf("%d bytes were refused without a reason", len(text))
	}
	<-wrote
}

// TestSeedValuesInOneGoKeepTheirOrder sends all messages that are broadcast, one after the other without waiting.
func TestSeedValuesInOneGoKeepTheirOrder(t *testing.T) {
	s := startServer(t, nil)
	sender, peer := s.joinForeign(t, "/ws/chat/go/"), s.joinForeign(t, "/ws/chat/go/")
	var wants []string
	for _, row := range loadGolden(t, golden.LoadValues, "values.jsonl") {
		if outcome, want, _ := row.Expect(); outcome == golden.Broadcast {
			sender.text(row.Sent)
			wants = append(wants, want)
		}
	}
	for _, want := range wants {
		sender.hears("the sender", want)
		peer.hears("the peer", want)
	}
	t.Logf("%d values", len(wants))
}

// TestSeedScenesAreTheSame replays basic.jsonl event by event.
func TestSeedScenesAreTheSame(t *testing.T) {
	var scenes [][]golden.Event
	for _, event := range loadGolden(t, golden.LoadEvents, "basic.jsonl") {
		if event.Kind == "case" {
			scenes = append(scenes, nil)
		}
		scenes[len(scenes)-1] = append(scenes[len(scenes)-1], event)
	}
	s := startServer(t, nil)
	for _, scene := range scenes {
		t.Run(scene[0].Case, func(t *testing.T) { replay(t, s, scene) })
	}
}

func replay(t *testing.T, s *testServer, scene []golden.Event) {
	members, rooms := map[string]*foreign{}, map[string]string{}
	for _, event := range scene {
		at, member := fmt.Sprintf("event %d: %s", event.Seq, event.Connection), members[event.Connection]
		switch event.Kind {
		case "case", "end":
		case "open":
			members[event.Connection] = s.joinForeign(t, event.Path)
			rooms[event.Connection] = event.Path
		case "send":
			if event.Op == "close" { // Close waits until the peer answers with the same code, which is the next recorded event
				if err := member.Close(websocket.StatusCode(event.Code), ""); err != nil {
					t.Errorf("%s: %v", at, err)
				}
				delete(members, event.Connection)
				break
			}
			member.text(event.Payload)
		case "recv":
			if event.Op != "close" {
				member.hears(at, event.Payload)
			}
		case "tcp_closed": // the call of Close has checked it
		case "tcp_drop":
			_ = member.CloseNow()
			delete(members, event.Connection)
		default:
			t.Fatalf("%s: unknown event %q", at, event.Kind)
		}
	}
	for name, member := range members { // a member must not get more frames than were recorded
		mark := fmt.Sprintf(`{"message":"mark of %s"}`, name)
		member.text(mark)
		for other, m := range members {
			if rooms[other] == rooms[name] {
				m.hears(other, mark)
			}
		}
	}
}

// TestSeedBurstsLoseNothing repeats the scenes that order.jsonl summarizes. In these scenes the original server lost messages;
// this server must not.
func TestSeedBurstsLoseNothing(t *testing.T) {
	for _, scene := range []struct {
		name                     string
		senders, each, listeners int
	}{
		{"order: A, B, C each send 100 messages at once", 3, 100, 0},
		{"burst: 1 sender(s) x 2000 messages", 1, 2000, 1},
		{"burst: 20 sender(s) x 100 messages", 20, 100, 1},
	} {
		t.Run(scene.name, func(t *testing.T) {
			if !hasCase(loadGolden(t, golden.LoadEvents, "order.jsonl"), scene.name) {
				t.Errorf("order.jsonl has no scene %q", scene.name)
			}
			s := startServer(t, nil)
			var heard []*talker
			var all []func() error
			for i := range scene.senders + scene.listeners {
				f, k := s.joinForeign(t, "/ws/chat/room69/"), &talker{sender: i}
				heard = append(heard, k)
				all = append(all, func() error { return f.listen(k, scene.senders*scene.each) })
				if i < scene.senders {
					all = append(all, func() error { return f.burst(i, scene.each) })
				}
			}
			together(t, all...)
			checkOrder(t, scene.senders, scene.each, heard...)
		})
	}
}

func (f *foreign) burst(sender, count int) error {
	for n := range count {
		if err := f.Write(f.ctx, websocket.MessageText, fmt.Appendf(nil, `{"message":"%d "}`, sender*perSender+n)); err != nil {
			return err
		}
	}
	return nil
}

func (f *foreign) listen(k *talker, total int) error {
	for range total {
		_, payload, err := f.Read(f.ctx)
		if err != nil {
			return err
		}
		number, ok := numberOf(payload)
		if !ok {
			return fmt.Errorf("heard %.60q", payload)
		}
		k.heard = append(k.heard, number)
	}
	return nil
}

func hasCase(events []golden.Event, name string) bool {
	for _, event := range events {
		if strings.HasPrefix(event.Case, name) {
			return true
		}
	}
	return false
}

func loadGolden[Row any](t *testing.T, load func(string) ([]Row, error), file string) []Row {
	t.Helper()
	rows, err := load(goldenFolder + file)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
