package proof

import (
	"slices"
	"testing"
)

// TestAMemberThatCameBackIsJudgedFromThenOn sends 200 messages. Member 2 is away for the first 100
// of them.
func TestAMemberThatCameBackIsJudgedFromThenOn(t *testing.T) {
	for _, c := range []struct {
		name  string
		wrong func(e []entry) []entry
		want  Counts
	}{
		{"everything", func(e []entry) []entry { return e }, Counts{}},
		{"nothing at all, as nobody knows what it could have got", func([]entry) []entry { return nil }, Counts{}},
		{"one left out", func(e []entry) []entry { return slices.Delete(e, 50, 51) }, Counts{Lost: 1}},
		{"one twice", func(e []entry) []entry { return slices.Insert(e, 50, e[50]) }, Counts{Doubled: 1}},
		{"without the end", func(e []entry) []entry { return e[:len(e)-1] }, Counts{Lost: 1}},
		{"another order of two senders", func(e []entry) []entry { e[50], e[51] = e[51], e[50]; return e }, Counts{Reordered: 1}},
	} {
		for name, members := range map[string]int{"small": 3, "large": 20} {
			l := New(make([]int32, members), true)
			l.Left(2)
			var all []entry
			for i := range 200 {
				sender := int32(i % 2)
				all = append(all, entry{uint32(sender), l.Next(sender)})
				l.Sent(sender)
			}
			for m := range int32(members) {
				got := all
				if m == 2 {
					l.Back(m)
					got = c.wrong(slices.Clone(all[100:]))
				}
				for _, e := range got {
					l.Receive(m, e.sender, e.seq)
				}
			}
			v := l.Verdict()
			if v.Counts != c.want || v.Left != 1 || v.Back != 1 || l.Outstanding() != 0 {
				t.Errorf("%s in a %s room: got %+v, %d outstanding, want %+v", c.name, name, v, l.Outstanding(), c.want)
			}
		}
	}
}

func TestWhoIsBackButNeverLeftIsJudgedAsEver(t *testing.T) {
	l := New(make([]int32, 2), true)
	l.Back(1)
	l.Sent(0)
	l.Receive(0, 0, 1)
	if v := l.Verdict(); v.Lost != 1 || v.Back != 0 {
		t.Errorf("got %+v, want one lost", v)
	}
}
