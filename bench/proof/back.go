package proof

import (
	"maps"
	"slices"
)

// maxBehind limits the search: a message of a member that came back is looked
// for among that many of the room's newest messages.
const maxBehind = 1 << 12

// returned is a member whose server died and that came back. Messages that it
// missed meanwhile are not judged. From the first message of each sender it
// must get all messages of that sender, once and in order. From the first
// message that it has in common with the others it must get them in the order
// of the room.
type returned struct {
	last  map[uint32]uint32 // by sender: the newest number since it came back
	got   int64
	at    int   // position of its newest message in the log of the room; -1: not known
	stray entry // the first message that was out of this order; seq 0: none
	bad   bool  // a violation was counted: a wrong order follows from it
}

// Back records that a member that left is in its room again.
func (l *Ledger) Back(m int32) {
	if l.members[m].left {
		l.backs[m] = &returned{last: map[uint32]uint32{}, at: -1}
	}
}

func (l *Ledger) fromBack(b *returned, m int32, e entry) {
	b.got++
	last, known := b.last[e.sender]
	if known && e.seq != last+1 {
		b.bad = true
		l.note("room %d: member %d, which came back, got number %d of sender %d after number %d", l.roomOf[m], m, e.seq, e.sender, last)
		if e.seq <= last {
			l.bad.Doubled++
			return
		}
		l.bad.Lost += int64(e.seq - last - 1)
	}
	b.last[e.sender] = e.seq
	b.alongside(l.rooms[l.roomOf[m]].log, e)
}

// alongside compares with the order of the room, from the first message that
// is found in it.
func (b *returned) alongside(log []entry, e entry) {
	if b.at < 0 {
		begin := max(0, len(log)-maxBehind)
		if i := slices.Index(log[begin:], e); i >= 0 {
			b.at = begin + i
		}
		return
	}
	b.at++
	if b.at < len(log) && log[b.at] != e && b.stray.seq == 0 {
		b.stray = e
	}
}

// judgeBacks checks that members that came back got the last messages that
// were sent, and got them in the order of their rooms.
func (l *Ledger) judgeBacks(v *Verdict) {
	for _, m := range slices.Sorted(maps.Keys(l.backs)) {
		b := l.backs[m]
		v.Back++
		v.ReceivedBack += b.got
		for _, sender := range slices.Sorted(maps.Keys(b.last)) {
			if last, sent := b.last[sender], l.sent[sender]; last < sent {
				b.bad = true
				l.bad.Lost += int64(sent - last)
				l.note("room %d: member %d, which came back, lost numbers %d to %d of sender %d", l.roomOf[m], m, last+1, sent, sender)
			}
		}
		if b.stray.seq > 0 && !b.bad {
			l.bad.Reordered++
			l.note("room %d: member %d, which came back, got number %d of sender %d at another position than others", l.roomOf[m], m, b.stray.seq, b.stray.sender)
		}
	}
}
