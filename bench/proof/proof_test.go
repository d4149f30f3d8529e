package proof

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// small is two rooms of four; large is one of 100, in which members 96 to 99 are
// those of a second room.
func layouts() map[string][]int32 {
	small := []int32{0, 0, 0, 0, 1, 1, 1, 1}
	large := make([]int32, 100)
	for i := 96; i < 100; i++ {
		large[i] = 1
	}
	return map[string][]int32{"small": small, "large": large}
}

type delivery struct {
	member int32
	entry
}

// traffic sends n messages to all members of room 0, and returns for each member
// what a right server delivers to it.
func traffic(l *Ledger, n int) [][]entry {
	rng := rand.New(rand.NewPCG(1, 2))
	members := l.rooms[0].members
	got := make([][]entry, len(members))
	for range n {
		sender := members[rng.IntN(len(members))]
		e := entry{uint32(sender), l.Next(sender)}
		l.Sent(sender)
		for m := range got {
			got[m] = append(got[m], e)
		}
	}
	return got
}

func deliver(l *Ledger, got [][]entry) {
	for m, entries := range got {
		for _, e := range entries {
			l.Receive(l.rooms[0].members[m], e.sender, e.seq)
		}
	}
}

func TestARightServerIsFoundRight(t *testing.T) {
	for name, roomOf := range layouts() {
		l := New(roomOf, true)
		deliver(l, traffic(l, 200))
		v := l.Verdict()
		if v.Sum() != 0 || v.Expected != v.Received || v.Expected == 0 || l.Outstanding() != 0 {
			t.Errorf("%s: got %+v, %d outstanding", name, v, l.Outstanding())
		}
	}
}

func TestEachFaultIsFoundForWhatItIs(t *testing.T) {
	// Member 2 is wronged at its 50th message; in the large room also the first
	// member, whose order is the one that others are compared with.
	faults := map[string]struct {
		wrong func(e []entry) []entry
		want  Counts
	}{
		"drop":      {func(e []entry) []entry { return slices.Delete(e, 50, 51) }, Counts{Lost: 1}},
		"drop last": {func(e []entry) []entry { return e[:len(e)-1] }, Counts{Lost: 1}},
		"double":    {func(e []entry) []entry { return slices.Insert(e, 50, e[50]) }, Counts{Doubled: 1}},
		"late copy": {func(e []entry) []entry { return slices.Insert(e, 80, e[50]) }, Counts{Doubled: 1}},
		"swap":      {func(e []entry) []entry { e[50], e[51] = e[51], e[50]; return e }, Counts{Reordered: 1}},
	}
	for name, roomOf := range layouts() {
		for fault, f := range faults {
			for _, victim := range []int{0, 2} {
				l := New(roomOf, true)
				got := traffic(l, 200)
				got[victim] = f.wrong(got[victim])
				deliver(l, got)
				v := l.Verdict()
				if v.Counts != f.want || len(v.Notes) == 0 || !strings.Contains(v.Notes[0], "room 0: member") {
					t.Errorf("%s in a %s room at member %d: got %+v %q, want %+v", fault, name, victim, v.Counts, v.Notes, f.want)
				}
			}
		}
	}
}

func TestASwapOfTwoMessagesOfOneSenderIsNamed(t *testing.T) {
	l := New([]int32{0, 0}, false) // each sender's order is promised by all
	l.Sent(0)
	l.Sent(0)
	deliver(l, [][]entry{{{0, 1}, {0, 2}}, {{0, 2}, {0, 1}}})
	v := l.Verdict()
	want := "room 0: member 1 got number 1 of sender 0 after number 2"
	if v.Counts != (Counts{Reordered: 1}) || !slices.Equal(v.Notes, []string{want}) {
		t.Errorf("got %+v %q, want %q", v.Counts, v.Notes, want)
	}
}

func TestAServerThatPromisesNoRoomOrderMayMixSenders(t *testing.T) {
	l := New([]int32{0, 0}, false)
	l.Sent(0)
	l.Sent(1)
	deliver(l, [][]entry{{{0, 1}, {1, 1}}, {{1, 1}, {0, 1}}})
	if v := l.Verdict(); v.Sum() != 0 {
		t.Errorf("got %+v", v)
	}
}

func TestForeignMessagesAreFound(t *testing.T) {
	for name, d := range map[string]delivery{
		"another room":   {0, entry{5, 1}},
		"no such sender": {0, entry{999, 1}},
		"never sent":     {0, entry{1, 2}},
		"number zero":    {0, entry{1, 0}},
	} {
		l := New(layouts()["small"], true)
		l.Sent(5)
		l.Sent(1)
		l.Receive(d.member, d.sender, d.seq)
		if c := l.Verdict().Counts; c.Foreign != 1 {
			t.Errorf("%s: got %+v, want one foreign", name, c)
		}
	}
}

func TestAMemberThatLeftIsNotJudged(t *testing.T) {
	for name, roomOf := range layouts() {
		l := New(roomOf, true)
		got := traffic(l, 100)
		got[1] = got[1][:30]
		deliver(l, got)
		if l.Outstanding() != 70 {
			t.Errorf("%s: %d outstanding, want 70", name, l.Outstanding())
		}
		l.Left(1)
		if v := l.Verdict(); v.Sum() != 0 || v.Left != 1 || l.Outstanding() != 0 {
			t.Errorf("%s: got %+v, %d outstanding", name, v, l.Outstanding())
		}
	}
}

func BenchmarkReceive(b *testing.B) {
	for name, roomOf := range layouts() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			l := New(roomOf, true)
			seq := uint32(0)
			for b.Loop() {
				seq++
				l.Sent(0)
				l.Receive(1, 0, seq)
			}
		})
	}
}
