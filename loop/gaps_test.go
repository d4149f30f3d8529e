package loop

import (
	"fmt"
	"sync"
	"testing"
)

// lanesBySize maps a room to the lane whose number is the length of the room's name.
func lanesBySize(c *Config) {
	c.Lanes, c.LaneOf = 4, func(room string) int { return len(room) % 4 }
}

func TestAGapConcernsWhoWasInItsRooms(t *testing.T) {
	for name, row := range map[string]struct {
		lane  int
		rooms []string
		want  string // rooms whose members may have missed publications
	}{
		"a room":                  {1, []string{"a"}, "[a]"},
		"two of a lane":           {1, []string{"a", "b"}, "[a b]"},
		"a room without members":  {1, []string{"z"}, "[]"},
		"no room":                 {1, []string{}, "[]"},
		"all of a lane":           {1, nil, "[a b c]"},
		"all of a lane of others": {3, nil, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, lanesBySize)
			var all []*fake
			for _, room := range []string{"a", "b", "c", "aa", "bb"} {
				all = append(all, r.open(0, room, 0))
			}
			before := r.node.Gaps()
			if missed := missedBy(all, before); fmt.Sprint(missed) != "[]" {
				t.Fatalf("before it %v have missed something", missed)
			}
			r.node.Gap(row.lane, row.rooms)
			if missed := missedBy(all, before); fmt.Sprint(missed) != row.want {
				t.Errorf("%v have missed something, want %s", missed, row.want)
			}
			if missed := missedBy(all, r.node.Gaps()); len(missed) > 0 {
				t.Errorf("%v have missed something since", missed)
			}
		})
	}
}

func missedBy(all []*fake, after uint64) (rooms []string) {
	rooms = []string{}
	for _, f := range all {
		if f.Missed(after) {
			rooms = append(rooms, f.Room())
		}
	}
	return rooms
}

// If a room vanishes, its gaps are forgotten.
func TestAGapIsForgottenWithItsRoom(t *testing.T) {
	r := newRig(t, lanesBySize)
	r.node.Gap(1, []string{"a"})
	if f := r.open(0, "a", 0); f.Missed(0) {
		t.Error("the gap was before the room")
	}
	if f := (&fake{room: -1}); f.Missed(0) {
		t.Error("a connection in no room has missed something")
	}
}

// If several gaps are reported at the same time, all of them count, and each room keeps the number of its last gap.
func TestGapsFromAnyGoroutine(t *testing.T) {
	r := newRig(t, lanesBySize)
	f := r.open(0, "a", 0)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 100 {
				r.node.Gap(1, []string{"a"})
				r.node.Gap(2, nil)
			}
		})
	}
	wait.Wait()
	last := r.node.Gaps()
	r.node.Gap(1, []string{"a"})
	if last != 1600 || !f.Missed(last) {
		t.Errorf("%d gaps, want 1600; and the next one is seen: %v", last, f.Missed(last))
	}
}

func TestSlotsHaveAllConnections(t *testing.T) {
	r := newRig(t, nil)
	all := r.openAll(5, 0, "x")
	all[2].fin = true
	r.read(all[2])
	r.rest()
	l, seen := r.loop(0), 0
	for i := range l.Slots() {
		if c := l.Slot(i); c != nil && c.Open() {
			seen++
		}
	}
	if seen != 4 {
		t.Errorf("%d open connections in %d slots, want 4", seen, l.Slots())
	}
}
