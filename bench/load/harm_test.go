package load

import (
	"sync"
	"testing"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/stub"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// door is one of several servers. shut resets all present connections of the
// door. Afterwards the door accepts new connections, like a server that was
// started again.
type door struct {
	mu   sync.Mutex
	gone chan struct{} // guarded by mu; closed to reset the present connections
}

func newDoor() *door { return &door{gone: make(chan struct{})} }

func (d *door) current() chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.gone
}

func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.gone)
	d.gone = make(chan struct{})
}

func (d *door) serve(hub *stub.Hub) func(c *stub.Conn) {
	return func(c *stub.Conn) {
		end := d.current()
		go func() {
			<-end
			c.Reset()
		}()
		hub.Serve(c)
	}
}

// TestOneOfSeveralServersDies kills the last of two servers: its members come back and get all
// messages from then on. Even a run that expects the kill must report a member of the other server
// that is disconnected.
func TestOneOfSeveralServersDies(t *testing.T) {
	t.Parallel()
	for name, victim := range map[string]int{"the last": 1, "the first": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hub := &stub.Hub{}
			doors := []*door{newDoor(), newDoor()}
			url := stub.Start(t, doors[0].serve(hub)) + "," + stub.Start(t, doors[1].serve(hub))
			defer doors[0].shut()
			defer doors[1].shut()
			restart := func() <-chan Restarted {
				doors[victim].shut()
				told := make(chan Restarted, 1)
				told <- Restarted{}
				return told
			}
			s := small(func(s *scenario.Scenario) {
				s.Across, s.Publish = scenario.AcrossMembers, scenario.PublishOthers
				s.Restart, s.Duration, s.Settle = 300*time.Millisecond, 2*time.Second, 2*time.Second
			})
			r := mustRun(t, Config{URL: url, Scenario: s, Restart: restart})
			if victim == 0 {
				if r.Exit != cli.Violated || r.Ended == "" {
					t.Errorf("members of the other server were disconnected: got exit %d, ended %q", r.Exit, r.Ended)
				}
				return
			}
			p := r.Proof
			if r.Recovery.Conns != 16 || r.Recovery.Back != 16 || p.Left != 16 || p.Back != 16 || p.ReceivedBack == 0 || p.Sum() != 0 || r.Exit == cli.Violated {
				t.Errorf("got %+v, %+v, broken %v, ended %q, exit %d", r.Recovery, p, r.Broken, r.Ended, r.Exit)
			}
			if p.Expected != 400*4 || p.Received != p.Expected {
				t.Errorf("members on the other server got %d of %d, want all of %d", p.Received, p.Expected, 400*4)
			}
		})
	}
}

// TestHarmHasItsPhases checks that each message counts in the phase in which it
// was due, although a fault delays it.
func TestHarmHasItsPhases(t *testing.T) {
	t.Parallel()
	hub := &stub.Hub{}
	var held sync.WaitGroup
	hold := func(what string) error {
		if what == "hurt" {
			hub.Lock()
			held.Go(func() {
				time.Sleep(250 * time.Millisecond) // the fault: nothing is delivered for this time
				hub.Unlock()
			})
		}
		return nil
	}
	s := small(func(s *scenario.Scenario) {
		s.Hurt, s.Grace, s.Heal, s.Duration = 400*time.Millisecond, 300*time.Millisecond, 900*time.Millisecond, 1500*time.Millisecond
		s.Settle = 300 * time.Millisecond
	})
	r := mustRun(t, Config{URL: stub.Start(t, hub.Serve), Scenario: s, Nemesis: hold})
	held.Wait()
	want := []result.Phase{{Name: "before", From: 0, To: 0.4}, {Name: "grace", From: 0.4, To: 0.7}, {Name: "hurt", From: 0.7, To: 0.9}, {Name: "healed", From: 0.9, To: 1.5}}
	messages := []int64{80, 60, 40, 120} // 200 a second
	if len(r.Phases) != len(want) {
		t.Fatalf("got %+v", r.Phases)
	}
	for i, got := range r.Phases {
		if got.Name != want[i].Name || got.From != want[i].From || got.To != want[i].To || got.Latency.Count != 8*messages[i] {
			t.Errorf("got %+v, want %+v with %d messages at 8 members each", got, want[i], messages[i])
		}
	}
	if r.Phases[1].Latency.Max < 100_000 {
		t.Errorf("no message waited in the grace: %+v", r.Phases[1])
	}
}
