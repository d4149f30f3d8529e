package server

import (
	"fmt"
	"io"
	"testing"
)

// Many clients reach a limit at the same time.

func TestAttackAFullRoomAnswersWithACodeThatABrowserCanRead(t *testing.T) {
	s := startServer(t, func(cfg *Config) { hostile(cfg); cfg.RoomMembers, cfg.MaxRooms = 3, 2 })
	by := s.watch(t, "/ws/chat/room")
	third := s.join(t, "/ws/chat/room")
	for range 20 {
		fourth := s.dial(t)
		fourth.write(upgradeRequest("/ws/chat/room") + textFrame(`{"message":"early, of nobody"}`))
		if status := fourth.response().StatusCode; status != 101 {
			t.Fatalf("HTTP %d, want 101", status)
		}
		fourth.endsWith(4103)
		fourth.closed()
		fourth.Close()
	}
	other := s.join(t, "/ws/raw/room")
	for i := range 20 {
		w := s.dial(t)
		w.write(upgradeRequest(fmt.Sprintf("/ws/chat/room%d", i)))
		if status := w.response().StatusCode; status != 101 {
			t.Fatalf("HTTP %d, want 101", status)
		}
		w.endsWith(4103)
		w.Close()
	}
	if others := by.exchange(); len(others) != 0 {
		t.Errorf("the others heard %q", others)
	}
	third.Close()
	other.Close()
	s.empty(t, 2, 1)
	for _, path := range []string{"/ws/chat/room", "/ws/chat/new"} { // there are free places again
		w := s.join(t, path)
		w.say("here")
		w.hears("here")
	}
	by.exchange()
}

// Many clients compete for the last places: all places must be given out, and never too many.
func TestAttackTheLastPlacesOfARoomAreGivenOutOnce(t *testing.T) {
	s := startServer(t, func(cfg *Config) { hostile(cfg); cfg.RoomMembers = 10 })
	const rush = 60
	for round := range 5 {
		wires := make([]*wire, rush)
		for i := range wires {
			wires[i] = s.dial(t)
			wires[i].write(upgradeRequest("/ws/chat/room"))
		}
		var in []*wire
		for _, w := range wires {
			if status := w.response().StatusCode; status != 101 {
				t.Fatalf("HTTP %d", status)
			}
			w.write(head(0x89, 0))
			switch op, _, err := w.next(); {
			case err != nil:
				t.Fatal(err)
			case op == 10:
				in = append(in, w)
			}
		}
		if len(in) != 10 {
			t.Errorf("round %d: %d are in, want 10", round, len(in))
		}
		for _, w := range wires {
			w.reset()
		}
		s.empty(t, 0, 0)
	}
}

func TestAttackAFullServerSaysSoAndServesAgainWhenSomebodyLeft(t *testing.T) {
	s := startServer(t, func(cfg *Config) { cfg.MaxConns = 4 })
	by := s.watch(t, "/ws/chat/room")
	third, fourth := s.join(t, "/ws/chat/room"), s.dial(t)
	eventually(t, "four connections", func() bool { return s.connections() == 4 })
	for range 10 {
		w := s.dial(t)
		w.write(upgradeRequest("/ws/chat/room"))
		r := w.response()
		body, err := io.ReadAll(r.Body)
		if r.StatusCode != 503 || r.Header.Get("Retry-After") == "" || err != nil || len(body) == 0 {
			t.Fatalf("HTTP %d, %v, %q, %v; want 503 with Retry-After", r.StatusCode, r.Header, body, err)
		}
		w.closed()
		w.Close()
		by.exchange()
	}
	fourth.reset()
	third.write(closeFrame(1000, ""))
	third.Close()
	s.empty(t, 2, 1)
	s.join(t, "/ws/chat/room").say("again")
	if others := by.hear(1); len(others) != 1 {
		t.Errorf("the others heard %q", others)
	}
	s.quiet(t)
}
