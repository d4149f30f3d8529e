package proof

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// layouts returns the rooms of members: small has two rooms of 4 members, large
// has one room of 96 members and one of 4.
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

// traffic lets members of room 0 send n messages. It returns the deliveries
// that a correct server would make to each member.
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
	// The deliveries of one member are wrong from its 50th message on. The
	// member is number 2 or number 0. Number 0 gets its messages first, so its
	// wrong order is in the log with which the others are compared.
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
	l := New([]int32{0, 0}, false) // false: the server promises only the order of each sender
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

// twoLedgers returns two ledgers for the same rooms, one of 100 members and one
// of 4. The first ledger judges the even members, the second the odd ones.
func twoLedgers() (roomOf []int32, a, b *Ledger) {
	roomOf = make([]int32, 104)
	for i := 100; i < 104; i++ {
		roomOf[i] = 1
	}
	even := func(m int32) bool { return m%2 == 0 }
	return roomOf, Only(roomOf, true, even), Only(roomOf, true, func(m int32) bool { return !even(m) })
}

func exchange(a, b *Ledger) {
	fromA, fromB := a.Totals(), b.Totals()
	for _, t := range fromA {
		b.Remote(t)
	}
	for _, t := range fromB {
		a.Remote(t)
	}
}

func TestTwoGeneratorsJudgeOneRoomTogether(t *testing.T) {
	for _, c := range []struct {
		name string
		skip func(m int32, k int) bool
		lost int64
	}{
		{"all delivered", func(int32, int) bool { return false }, 0},
		{"one lost in the large room", func(m int32, k int) bool { return m == 51 && k == 40 }, 1},
		{"one lost in the small room", func(m int32, k int) bool { return m == 102 && k == 61 }, 1},
		{"the last lost", func(m int32, k int) bool { return m == 103 && k == 99 }, 1},
	} {
		roomOf, a, b := twoLedgers()
		for k := range 100 {
			sender := int32((k * 7) % 100)
			if k > 50 {
				sender = int32(100 + k%4)
			}
			of := func(m int32) *Ledger {
				if m%2 == 0 {
					return a
				}
				return b
			}
			seq := of(sender).Next(sender)
			of(sender).Sent(sender)
			for m := range int32(len(roomOf)) {
				if roomOf[m] == roomOf[sender] && !c.skip(m, k) {
					if first, last := of(m).Receive(m, uint32(sender), seq); first || last {
						t.Fatal("a room with members elsewhere tells first and last")
					}
				}
			}
		}
		exchange(a, b)
		va, vb := a.Verdict(), b.Verdict()
		if out := a.Outstanding() + b.Outstanding(); out != c.lost || va.Lost+vb.Lost != c.lost || va.Sum()+vb.Sum() != c.lost {
			t.Errorf("%s: %d outstanding, %+v and %+v", c.name, out, va, vb)
		}
		if va.Sent+vb.Sent != 100 || c.lost == 0 && (len(va.Votes) != 2 || va.Votes[0].Hash != vb.Votes[0].Hash) {
			t.Errorf("%s: votes %v and %v, sent %d and %d", c.name, va.Votes, vb.Votes, va.Sent, vb.Sent)
		}
	}
}

func TestTheFirstAndTheLastArrivalAreTold(t *testing.T) {
	l := New([]int32{0, 0, 0}, true)
	send := func() uint32 { l.Sent(0); return l.Next(0) - 1 }
	want := func(m int32, seq uint32, first, last bool) {
		t.Helper()
		if f, e := l.Receive(m, 0, seq); f != first || e != last {
			t.Errorf("member %d, number %d: first %t, last %t, want %t, %t", m, seq, f, e, first, last)
		}
	}
	one, two := send(), send()
	want(1, one, true, false)
	want(1, two, true, false)
	want(0, one, false, false)
	want(2, one, false, true)
	want(2, two, false, false)
	want(0, two, false, true)
	three := send()
	want(0, three, true, false)
	l.Left(1)
	want(2, three, false, true)
	four := send()
	want(0, four, true, false)
	want(2, four, false, true)
	if v := l.Verdict(); v.Sum() != 0 || v.Left != 1 {
		t.Errorf("got %+v", v)
	}
}

func TestAGuestsMessageIsForAllOrNobody(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(l *Ledger)
		want Counts
	}{
		{"all", func(l *Ledger) { l.Receive(0, Guest, 5); l.Receive(1, Guest, 5); l.Receive(2, Guest, 5) }, Counts{}},
		{"nobody", func(*Ledger) {}, Counts{}},
		{"two of three", func(l *Ledger) { l.Receive(0, Guest, 5); l.Receive(1, Guest, 5) }, Counts{Lost: 1}},
		{"twice", func(l *Ledger) {
			for _, m := range []int32{0, 1, 2, 1} {
				l.Receive(m, Guest, 5)
			}
		}, Counts{Doubled: 1}},
		{"another room's", func(l *Ledger) { l.Receive(3, Guest, 5) }, Counts{Foreign: 1}},
		{"unknown", func(l *Ledger) { l.Receive(0, Guest, 6) }, Counts{Foreign: 1}},
	} {
		l := New([]int32{0, 0, 0, 1}, true)
		l.GuestSent(5, 0)
		c.do(l)
		if v := l.Verdict(); v.Counts != c.want {
			t.Errorf("%s: got %+v, want %+v: %v", c.name, v.Counts, c.want, v.Notes)
		}
	}
	l := New([]int32{0, 0}, true)
	l.GuestSent(1, 0)
	l.Sent(0)
	l.Receive(0, Guest, 1)
	l.Receive(0, 0, 1)
	l.Receive(1, 0, 1)
	l.Receive(1, Guest, 1)
	if v := l.Verdict(); v.Counts != (Counts{Reordered: 1}) {
		t.Errorf("a guest's message at another place: got %+v", v.Counts)
	}
}

func TestLargeRoomsAreJudgedByEachSendersOrderWhereNothingElseIsPromised(t *testing.T) {
	l := New(make([]int32, 20), false)
	l.Sent(0)
	l.Sent(0)
	for m := range int32(20) {
		first, second := uint32(1), uint32(2)
		if m == 3 {
			first, second = second, first
		}
		l.Receive(m, 0, first)
		l.Receive(m, 0, second)
	}
	if v := l.Verdict(); v.Counts != (Counts{Reordered: 1}) {
		t.Errorf("got %+v", v.Counts)
	}
	if Judges(5000) {
		t.Error("a room of 5,000 would be judged by a table of 25 million")
	}
}

func TestASendersOrderIsCheckedBeyondWhatTheLogHolds(t *testing.T) {
	l := New(make([]int32, 20), true)
	l.logged = maxLog
	l.Sent(0)
	l.Sent(0)
	for m := range int32(20) {
		l.Receive(m, 0, 2)
		l.Receive(m, 0, 1)
	}
	if v := l.Verdict(); v.Reordered == 0 {
		t.Errorf("all members saw one sender's messages swapped: got %+v", v.Counts)
	}
}

func TestANumberThatARemoteSenderNeverSentIsForeign(t *testing.T) {
	roomOf := make([]int32, 4)
	l := Only(roomOf, true, func(m int32) bool { return m < 2 })
	for m := range int32(2) {
		l.Receive(m, 3, 1)
		l.Receive(m, 3, 2)
	}
	l.Remote(Total{3, 1})
	if v := l.Verdict(); v.Foreign != 2 {
		t.Errorf("got %+v", v.Counts)
	}
}

// In a room of a thousand each event counts once for each member, and lost and
// doubled messages of one member do not cancel out.
func TestEventsOfALargeRoomAreCountedExactly(t *testing.T) {
	const members, messages = 1000, 300
	for name, victims := range map[string][]int{"the first": {0, 1, 2}, "in another order": {1, 0, 2}, "in the middle": {7, 500, 999}} {
		l := New(make([]int32, members), true)
		got := traffic(l, messages)
		for i, v := range victims {
			e := got[v]
			switch i {
			case 0: // loses three messages and gets four twice
				e = slices.Delete(e, 250, 253)
				for _, k := range []int{20, 40, 60, 60} {
					e = slices.Insert(e, k, e[k])
				}
			case 1: // two messages come late
				e[100], e[101] = e[101], e[100]
				late := e[150]
				e = slices.Insert(slices.Delete(e, 150, 151), 170, late)
			case 2: // loses the last five messages
				e = e[:len(e)-5]
			}
			got[v] = e
		}
		// Members get the messages in turns, as over a network.
		for k := range messages + 1 {
			for m := range int32(members) {
				if k < len(got[m]) {
					l.Receive(m, got[m][k].sender, got[m][k].seq)
				}
			}
		}
		if v := l.Verdict(); v.Counts != (Counts{Lost: 8, Doubled: 4, Reordered: 2}) || v.AtLeast {
			t.Errorf("victims are %s: got %+v, at least %t: %q", name, v.Counts, v.AtLeast, v.Notes)
		}
	}
}

func TestASenderWhoseOrderIsWrongForAllCountsForEachMember(t *testing.T) {
	l := New(make([]int32, 20), true)
	l.Sent(0)
	l.Sent(0)
	for m := range int32(20) {
		l.Receive(m, 0, 2)
		l.Receive(m, 0, 1)
	}
	if v := l.Verdict(); v.Counts != (Counts{Reordered: 20}) || v.AtLeast {
		t.Errorf("got %+v", v)
	}
}

func TestAMemberThatIsFarBehindGivesALowerBound(t *testing.T) {
	l := New(make([]int32, 3), true)
	l.logged = maxLog // the logs of other rooms are full
	const messages = 4 * maxBehind
	for range messages {
		l.Sent(0)
	}
	for m := range int32(3) {
		for seq := uint32(1); seq <= messages; seq++ {
			if m < 2 || seq != 7 {
				l.Receive(m, 0, seq)
			}
		}
	}
	if v := l.Verdict(); v.Lost == 0 || v.Lost > 1 || !v.AtLeast {
		t.Errorf("got %+v, at least %t", v.Counts, v.AtLeast)
	}
}

func TestALogKeepsOnlyWhatIsNeeded(t *testing.T) {
	l := New(make([]int32, 3), true)
	for seq := uint32(1); seq <= 100*maxBehind; seq++ {
		l.Sent(0)
		for m := range int32(3) {
			l.Receive(m, 0, seq)
		}
	}
	if n := len(l.rooms[0].log.entries); n > 4*maxBehind || l.logged != n {
		t.Errorf("the log has %d entries, all logs %d", n, l.logged)
	}
	if v := l.Verdict(); v.Sum() != 0 || v.AtLeast {
		t.Errorf("got %+v", v)
	}
}

func TestWithoutEchoNobodyWaitsForItsOwnMessages(t *testing.T) {
	for _, c := range []struct {
		name  string
		echo  bool // what the user says
		own   bool // what the server does
		want  Counts
		guess bool
	}{
		{"right", false, false, Counts{}, false},
		{"not told", true, false, Counts{Lost: 6}, true},
		{"a server with echo", false, true, Counts{Foreign: 6}, false},
	} {
		l := New(make([]int32, 3), true)
		if !c.echo {
			l.WithoutEcho()
		}
		for seq := uint32(1); seq <= 2; seq++ {
			for sender := range int32(3) {
				l.Sent(sender)
				for m := range int32(3) {
					if m != sender || c.own {
						l.Receive(m, uint32(sender), seq)
					}
				}
			}
		}
		if v := l.Verdict(); v.Counts != c.want || (v.Guess != "") != c.guess || !c.echo && l.Outstanding() != 0 {
			t.Errorf("%s: got %+v, guess %q, %d outstanding", c.name, v.Counts, v.Guess, l.Outstanding())
		}
	}
}

// Members may get their messages in any interleaving, so any of them may be the
// first to get a message. The counts must not depend on that.
func TestTheCountsDoNotDependOnWhoIsFirst(t *testing.T) {
	const members, messages = 6, 40
	faults := map[string]struct {
		wrong func(e []entry) []entry
		want  Counts
	}{
		"right":  {func(e []entry) []entry { return e }, Counts{}},
		"drop":   {func(e []entry) []entry { return slices.Delete(e, 20, 21) }, Counts{Lost: 1}},
		"drop 3": {func(e []entry) []entry { return slices.Delete(e, 20, 23) }, Counts{Lost: 3}},
		"first":  {func(e []entry) []entry { return e[1:] }, Counts{Lost: 1}},
		"last":   {func(e []entry) []entry { return e[:len(e)-1] }, Counts{Lost: 1}},
		"double": {func(e []entry) []entry { return slices.Insert(e, 20, e[20]) }, Counts{Doubled: 1}},
		"swap":   {func(e []entry) []entry { e[20], e[21] = e[21], e[20]; return e }, Counts{Reordered: 1}},
	}
	for name, f := range faults {
		for seed := range uint64(300) {
			rng := rand.New(rand.NewPCG(seed, 1))
			l := New(make([]int32, members), true)
			got := traffic(l, messages)
			victim := rng.IntN(members)
			got[victim] = f.wrong(got[victim])
			next := make([]int, members)
			for left := members; left > 0; {
				m := rng.IntN(members)
				for range 1 + rng.IntN(4) { // a read returns several messages
					if next[m] >= len(got[m]) {
						break
					}
					e := got[m][next[m]]
					l.Receive(int32(m), e.sender, e.seq)
					if next[m]++; next[m] == len(got[m]) {
						left--
					}
				}
			}
			if v := l.Verdict(); v.Counts != f.want || v.AtLeast {
				t.Fatalf("%s at member %d, seed %d: got %+v, at least %t: %q", name, victim, seed, v.Counts, v.AtLeast, v.Notes)
			}
		}
	}
}
