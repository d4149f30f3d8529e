package loop

import (
	"testing"
)

func TestFramesAreDeliveredWithoutAllocating(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	body := []byte(message(128))
	for _, members := range []int{1, 10, 1000} {
		for _, batch := range []int{1, 8} {
			r := newRig(t, nil)
			for _, f := range r.openAll(members, 0, "room") {
				f.null = true
			}
			l := r.loop(0)
			turn := func() {
				for range batch {
					r.node.Publish("room", 0, KindText, body)
				}
				for l.Turn(r.now); l.fanout.dirty.len() > 0; {
					l.Turn(r.now)
				}
			}
			turn()
			got := testing.AllocsPerRun(100, turn) / float64(batch)
			if got > 2 {
				t.Errorf("%d members, %d messages a turn: %.2f allocations a publication, want at most 2 (itself and its frame)", members, batch, got)
			}
		}
	}
}

func TestALoopWithoutWorkDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := newRig(t, nil)
	all := r.openAll(1000, 0, "room")
	l := r.loop(0)
	if got := testing.AllocsPerRun(100, func() {
		for _, f := range all {
			f.Touch(r.now)
		}
		r.now += Tick
		l.Turn(r.now)
	}); got > 0 {
		t.Errorf("a tick with 1,000 heartbeats allocates %.2f times, want 0", got)
	}
}

func TestAFrameIsEncodedOncePerVariant(t *testing.T) {
	for _, loops := range []int{1, 2} {
		r := newRig(t, func(c *Config) { c.Loops, c.FlushBudget, c.FlushSlice = loops, 7, 3 })
		for i := range 30 {
			r.open(i%loops, "room", Variant(i%3))
		}
		slow := r.open(0, "room", 1)
		slow.room = 10
		r.publish("room", numbered("m", 5)...)
		r.rest()
		r.publish("room", "alone")
		r.rest()
		slow.take(-1)
		r.rest()
		for v := range 3 {
			if got, want := r.builds[v].Load(), int64(6); got != want {
				t.Errorf("%d loops: variant %d encoded %d times for 6 publications, want %d", loops, v, got, want)
			}
		}
	}
}

// Two loops may build a frame at the same time: the second one uses the frame of the first.
func TestTheLoserOfTheRaceForAFrameTakesTheWinners(t *testing.T) {
	var encodings [MaxVariants]Encoding
	nested := false
	p := &Publication{Value: []byte("value")}
	var winner []byte
	encodings[1] = Encoding{
		Append: func(dst []byte, p *Publication) ([]byte, int) {
			if !nested { // meanwhile the other loop builds the frame
				nested = true
				winner = p.frame(&encodings, 1)
			}
			return appendFrame(dst, p.Value), -1
		},
		Size: func(p *Publication) int { return 2 + len(p.Value) },
	}
	if got := p.frame(&encodings, 1); &got[0] != &winner[0] {
		t.Error("two frames of one publication are in use, want one")
	}
}

func TestAPublicationCopiesItsValueOnceAndNobodyCanGrowIntoItsFrame(t *testing.T) {
	value := []byte("value")
	size := func(p *Publication) int { return 2 + len(p.Value) }
	inside := func(dst []byte, p *Publication) ([]byte, int) {
		return append(append(append(dst, '{'), p.Value...), '}'), len(dst) + 1
	}
	nowhere := func(dst []byte, p *Publication) ([]byte, int) { return appendFrame(dst, p.Value), -1 }
	for name, enc := range map[string]Encoding{
		"in its frame": {Append: inside, Size: size}, "beside its frame": {Append: nowhere, Size: size},
		"before its frame": {Append: inside, Size: size, NeedsID: true},
	} {
		p := newPublication(&enc, 0, "room", 0, nil, KindText, value)
		if &p.Value[0] == &value[0] || string(p.Value) != "value" {
			t.Errorf("%s: value %q, want a copy", name, p.Value)
		}
		_ = append(p.Value, '!')
		if f := p.frames[0].Load(); name == "in its frame" && string(f.bytes) != "{value}" {
			t.Errorf("%s: the frame is %q after somebody appended to the value, want it unchanged", name, f.bytes)
		}
	}
}
