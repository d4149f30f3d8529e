package loop

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
)

// heapAlloc is the live heap in bytes.
func heapAlloc() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// If messages of a few bytes come one by one, each batch is one message. A waiting member's reference to such a batch takes more
// memory than the message. So references must be counted too; otherwise a room whose members never read could take any amount of
// memory.
func TestWhatSlowMembersHoldIsWhatTheHeapHas(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory of its own")
	}
	for _, row := range []struct{ members, messages, size int }{
		{1000, 1500, 4}, {1, 50_000, 4}, {10, 20_000, 15}, {100, 500, 5000},
	} {
		r := newRig(t, func(c *Config) {
			c.SoftBacklog, c.HardBacklog, c.BacklogTotal, c.FlushFirst = 1<<30, 1<<30, 1<<40, 1024
		})
		for _, f := range r.openAll(row.members, 0, "room") {
			f.room = 0
		}
		l, body := r.loop(0), []byte(message(row.size))
		before := heapAlloc()
		for range row.messages {
			r.node.Publish("room", 0, KindText, body)
			l.Turn(r.now)
		}
		heap, held := heapAlloc()-before, r.node.Held()
		t.Logf("%d members that wait for %d messages of %d bytes: %d bytes held, %d of heap", row.members, row.messages, row.size, held, heap)
		if held < heap*9/10 || held > heap*2 {
			t.Errorf("%d members that wait for %d messages of %d bytes: %d bytes are held and the heap has %d, want nearly the same or a little more",
				row.members, row.messages, row.size, held, heap)
		}
		runtime.KeepAlive(r)
	}
}

// A loop that stood still for a while finds many publications in its inbox. It must shed members before it has added all of
// these frames to the backlogs of members that accept no bytes.
func TestBacklogsAreShedBeforeMoreIsAddedToThem(t *testing.T) {
	const total = 100 << 10
	r := newRig(t, func(c *Config) {
		c.BacklogTotal, c.HardBacklog, c.SoftBacklog, c.RoomCredit = total, 1<<20, 1<<20, 1<<20
	})
	body := message(30 << 10)
	for i := range 12 {
		r.open(0, fmt.Sprintf("room %d", i), 0).room = 0
	}
	for i := range 12 {
		r.publish(fmt.Sprintf("room %d", i), body, body)
	}
	r.turn(0)
	if ended, rooms := r.stats(0).Ended[ReasonShed], r.loop(0).fanout.dirty.len(); ended > 1 || rooms < 9 || r.node.Held() > total {
		t.Errorf("after one turn %d members were shed, %d rooms have more to write, and %d bytes are held; want one member at most, 10 rooms, and %d bytes at most", ended, rooms, r.node.Held(), total)
	}
	r.rest()
	if ended := r.stats(0).Ended[ReasonShed]; ended < 10 {
		t.Errorf("%d members were shed in the end, want 10 or 11", ended)
	}
}

// The references of a member may take as much memory as the limit for its waiting bytes.
func TestManyTinyMessagesAreALargeBacklog(t *testing.T) {
	const hard = 10_000
	r := newRig(t, func(c *Config) { c.HardBacklog = hard })
	f := r.open(0, "room", 0)
	f.room = 0
	for i := 0; len(f.kicks) == 0; i++ {
		if i > hard/16 { // a reference takes more than 16 bytes
			t.Fatalf("not kicked although it waits for %d batches", i)
		}
		r.publish("room", "x")
		r.rest()
	}
	if want := []CloseReason{ReasonBacklogHard}; !slices.Equal(f.kicks, want) {
		t.Errorf("kicked for %v, want %v", f.kicks, want)
	}
}
