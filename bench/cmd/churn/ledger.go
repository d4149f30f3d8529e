package main

import (
	"fmt"
	"math/bits"
	"slices"

	"dotsconnect/bench/internal/mark"
)

// The ledger holds, for every honest member, what it must have got and what it
// got. Members are numbered through: member k of room r is r·members + k.
//
// Per member and sender of its room it keeps the next number expected. A
// number beyond it leaves holes, which are remembered: one that is filled
// later was reordered, one that stays is lost, and a number that comes again
// without a hole is doubled. All members of a room fold what they see into a
// hash; equal hashes at the end mean one order. Messages of resetters are a
// bit each: twice is doubled, and at the end all members of the room must
// have the same bits.

// kind of a violation.
type kind string

const (
	lost      kind = "lost"
	doubled   kind = "doubled"
	reordered kind = "reordered"
	foreign   kind = "foreign"
	damaged   kind = "damaged"
	dropped   kind = "dropped"
	split     kind = "split"
	disagreed kind = "disagreed"
)

// maxHoles bounds what is remembered about one sender; beyond it, late
// numbers count as doubled.
const maxHoles = 4096

const showLines = 20 // violations described one by one

type ledger struct {
	run            uint32 // of honest messages; resetters write run + 1, greetings are run + 2
	rooms, members int
	sent           []uint32 // by member: messages written
	got            []receipt
	resetRoom      []int16 // by number of the resetter: the hot room it wrote to, or -1
	counts         map[kind]int
	lines          []string
	deliveries     int // messages checked
	fromResetters  int // those of them that resetters wrote
}

// receipt is what one member got.
type receipt struct {
	gone   bool     // it was dropped: what it misses from then on is no second violation
	next   []uint32 // by sender within the room
	holes  []map[uint32]bool
	hash   uint64
	count  int
	resets []uint64 // bits by number of the resetter
}

func newLedger(run uint32, rooms, members, resets int) *ledger {
	l := &ledger{run: run, rooms: rooms, members: members, counts: map[kind]int{},
		sent: make([]uint32, rooms*members), got: make([]receipt, rooms*members), resetRoom: make([]int16, resets)}
	for i := range l.got {
		l.got[i] = receipt{next: make([]uint32, members), holes: make([]map[uint32]bool, members),
			resets: make([]uint64, (resets+63)/64)}
	}
	for i := range l.resetRoom {
		l.resetRoom[i] = -1
	}
	return l
}

func (l *ledger) room(member int) int { return member / l.members }

func (l *ledger) name(member int) string {
	return fmt.Sprintf("room %d member %d", member/l.members, member%l.members)
}

func (l *ledger) reader(room, member int) string {
	if member < 0 {
		return fmt.Sprintf("a resetter in room %d", room)
	}
	return l.name(member)
}

func (l *ledger) violate(k kind, format string, args ...any) {
	l.counts[k]++
	if len(l.lines) < showLines {
		l.lines = append(l.lines, string(k)+": "+fmt.Sprintf(format, args...))
	}
}

// take enters a message that a member got.
func (l *ledger) take(member int, payload []byte) {
	r := &l.got[member]
	m, ok := l.belongs(l.room(member), member, payload)
	if !ok {
		return
	}
	l.deliveries++
	r.hash = (r.hash ^ uint64(m.Run)<<32 ^ uint64(m.Sender)<<40 ^ uint64(m.Seq)) * 0x100000001b3
	r.hash ^= r.hash >> 29
	r.count++
	if m.Run == l.run {
		l.takeHonest(r, member, m)
		return
	}
	l.fromResetters++
	if bit := uint64(1) << (m.Seq % 64); r.resets[m.Seq/64]&bit == 0 {
		r.resets[m.Seq/64] |= bit
	} else {
		l.violate(doubled, "%s got the message of resetter %d again", l.name(member), m.Seq)
	}
}

// belongs checks that a message was written, undamaged, to the room. A
// negative member stands for a resetter that has joined it.
func (l *ledger) belongs(room, member int, payload []byte) (mark.Mark, bool) {
	m, err := mark.Parse(payload)
	switch {
	case err != nil:
		l.violate(damaged, "%s got %v: %.80q", l.reader(room, member), err, payload)
	case m.Run == l.run+2 && int(m.Sender) < len(l.sent) && l.room(int(m.Sender)) == room:
		return m, false // how many there were, and for whom, nobody knows
	case m.Run == l.run && int(m.Sender) < len(l.sent) && m.Seq < l.sent[m.Sender]:
		if l.room(int(m.Sender)) == room {
			return m, true
		}
		l.violate(foreign, "%s got number %d of %s", l.reader(room, member), m.Seq, l.name(int(m.Sender)))
	case m.Run == l.run+1 && int(m.Seq) < len(l.resetRoom) && l.resetRoom[m.Seq] >= 0:
		if int(l.resetRoom[m.Seq]) == room {
			return m, true
		}
		l.violate(foreign, "%s got the message of resetter %d, written to room %d", l.reader(room, member), m.Seq, l.resetRoom[m.Seq])
	default:
		l.violate(foreign, "%s got a message that nobody here wrote: %.80q", l.reader(room, member), payload)
	}
	return m, false
}

func (l *ledger) takeHonest(r *receipt, member int, m mark.Mark) {
	from := int(m.Sender) % l.members
	next := r.next[from]
	switch {
	case m.Seq == next:
		r.next[from]++
	case m.Seq > next:
		if r.holes[from] == nil {
			r.holes[from] = map[uint32]bool{}
		}
		for n := next; n < m.Seq && len(r.holes[from]) < maxHoles; n++ {
			r.holes[from][n] = true
		}
		r.next[from] = m.Seq + 1
	case r.holes[from][m.Seq]:
		delete(r.holes[from], m.Seq)
		l.violate(reordered, "%s got number %d of %s after number %d", l.name(member), m.Seq, l.name(int(m.Sender)), next-1)
	default:
		l.violate(doubled, "%s got number %d of %s again", l.name(member), m.Seq, l.name(int(m.Sender)))
	}
}

// drop enters the end of an honest member.
func (l *ledger) drop(member int, how string) {
	l.got[member].gone = true
	l.violate(dropped, "%s: %s", l.name(member), how)
}

// complete reports whether every member has the last number of every sender.
func (l *ledger) complete() bool {
	for member := range l.got {
		r := &l.got[member]
		first := l.room(member) * l.members
		for k, next := range r.next {
			if !r.gone && next < l.sent[first+k] {
				return false
			}
		}
	}
	return true
}

// finish enters what is missing at the end.
func (l *ledger) finish(oneOrder bool) {
	for member := range l.got {
		l.findLost(member)
	}
	for room := range l.rooms {
		l.compare(room, oneOrder)
	}
}

func (l *ledger) findLost(member int) {
	r := &l.got[member]
	if r.gone {
		return
	}
	first := l.room(member) * l.members
	for k, next := range r.next {
		var missing []uint32
		for n := range r.holes[k] {
			missing = append(missing, n)
		}
		slices.Sort(missing)
		for n := next; n < l.sent[first+k]; n++ {
			missing = append(missing, n)
		}
		if len(missing) > 0 {
			l.violate(lost, "%s lacks %d of the %d messages of %s, numbers %s", l.name(member), len(missing),
				l.sent[first+k], l.name(first+k), numbers(missing))
		}
	}
}

// numbers writes the first few.
func numbers(all []uint32) string {
	const show = 5
	s := fmt.Sprint(all[:min(len(all), show)])
	if len(all) > show {
		s += " …"
	}
	return s
}

// compare holds the members of a room against the first that stayed.
func (l *ledger) compare(room int, oneOrder bool) {
	first := -1
	for member := room * l.members; member < (room+1)*l.members; member++ {
		r := &l.got[member]
		if r.gone {
			continue
		}
		if first < 0 {
			first = member
			continue
		}
		f := &l.got[first]
		same := true
		for i, word := range r.resets {
			if diff := word ^ f.resets[i]; diff != 0 {
				same = false
				l.violate(split, "%s and %s: only one got the message of resetter %d", l.name(first), l.name(member), 64*i+bits.TrailingZeros64(diff))
				break
			}
		}
		// With different messages the orders cannot be the same.
		if oneOrder && same && r.count == f.count && r.hash != f.hash {
			l.violate(disagreed, "%s and %s got the same %d messages in different orders", l.name(first), l.name(member), r.count)
		}
	}
}

func (l *ledger) violations() int {
	n := 0
	for _, c := range l.counts {
		n += c
	}
	return n
}
