package proof

import (
	"maps"
	"slices"
)

// maxBehind is how far behind the newest message a member that came back is
// looked for in the order of its room.
const maxBehind = 1 << 12

// returned is a member whose server died, and who is back. What it missed
// meanwhile is not judged. From the first message of each sender on it must get
// all of that sender's, once, in their order, and from the first that it has in
// common with the others on it must get them in the order of the room.
type returned struct {
	last map[uint32]uint32 // by sender: the newest number since it is back
	at   int               // place of its newest message in the log of the room; -1: not known
	got  int64
}

// Back enters that a member that left is in its room again.
func (l *Ledger) Back(m int32) {
	if l.members[m].left {
		l.backs[m] = &returned{last: map[uint32]uint32{}, at: -1}
	}
}

func (l *Ledger) fromBack(b *returned, m int32, e entry) {
	b.got++
	last, known := b.last[e.sender]
	switch {
	case known && e.seq <= last:
		l.bad.Doubled++
		l.note("room %d: member %d, which came back, got number %d of sender %d after number %d", l.roomOf[m], m, e.seq, e.sender, last)
		return
	case known && e.seq > last+1:
		l.bad.Lost += int64(e.seq - last - 1)
		l.note("room %d: member %d, which came back, got number %d of sender %d after number %d", l.roomOf[m], m, e.seq, e.sender, last)
	}
	b.last[e.sender] = e.seq
	l.alongside(b, &l.rooms[l.roomOf[m]], m, e)
}

// alongside compares with the order of the room: from the first message that is
// found in it.
func (l *Ledger) alongside(b *returned, r *room, m int32, e entry) {
	if b.at < 0 {
		begin := max(0, len(r.log)-maxBehind)
		if i := slices.Index(r.log[begin:], e); i >= 0 {
			b.at = begin + i
		}
		return
	}
	b.at++
	if b.at < len(r.log) && r.log[b.at] != e {
		l.bad.Reordered++
		l.note("room %d: member %d, which came back, got number %d of sender %d, where another had number %d of sender %d",
			l.roomOf[m], m, e.seq, e.sender, r.log[b.at].seq, r.log[b.at].sender)
		b.at = -1
	}
}

// backsComplete looks whether those who came back have the end of what was sent.
func (l *Ledger) backsComplete(v *Verdict) {
	for _, m := range slices.Sorted(maps.Keys(l.backs)) {
		b := l.backs[m]
		v.Back++
		v.ReceivedBack += b.got
		for _, sender := range slices.Sorted(maps.Keys(b.last)) {
			if last, sent := b.last[sender], l.sent[sender]; last < sent {
				l.bad.Lost += int64(sent - last)
				l.note("room %d: member %d, which came back, lost numbers %d to %d of sender %d", l.roomOf[m], m, last+1, sent, sender)
			}
		}
	}
}
