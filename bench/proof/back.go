package proof

import (
	"maps"
	"slices"
)

// returned is a member that lost its connection because its server died, and
// that came back. Messages that were sent while it was away are not judged.
// After its first message of a sender, it must get all later messages of that
// sender, once and in order. From its first message that is in the log of the
// room, it must get messages in the order of the log.
type returned struct {
	last  map[uint32]uint32 // by sender: the highest number that the member got since it came back
	got   int64
	at    int64 // position of the member's newest message in the log of the room; -1: not known
	stray entry // the member's first message that was not in the order of the log; seq 0: none
	bad   bool  // another violation was counted, which also explains a wrong order
}

// Back records that a member is in its room again. It does nothing if the
// member has not left.
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
		l.note("room %d: member %d, which had reconnected, got number %d of sender %d after number %d", l.roomOf[m], m, e.seq, e.sender, last)
		if e.seq <= last {
			l.bad.Doubled++
			return
		}
		l.bad.Lost += int64(e.seq - last - 1)
	}
	b.last[e.sender] = e.seq
	b.alongside(&l.rooms[l.roomOf[m]].log, e)
}

// alongside compares a message of b with the log of the room. The first message
// that is found in the log fixes the position of b.
func (b *returned) alongside(log *order, e entry) {
	if b.at < 0 {
		begin := max(log.base, log.end()-min(log.end(), maxBehind))
		if i, ok := log.find(e, begin); ok {
			b.at = int64(i)
		}
		return
	}
	b.at++
	if at := uint32(b.at); at >= log.base && at < log.end() && log.at(at) != e && b.stray.seq == 0 {
		b.stray = e
	}
}

// judgeBacks judges the members that came back: whether they got all messages
// up to the last one, and in the order of their rooms.
func (l *Ledger) judgeBacks(v *Verdict) {
	for _, m := range slices.Sorted(maps.Keys(l.backs)) {
		b := l.backs[m]
		v.Back++
		v.ReceivedBack += b.got
		for _, sender := range slices.Sorted(maps.Keys(b.last)) {
			if last, sent := b.last[sender], l.sent[sender]; last < sent {
				b.bad = true
				l.bad.Lost += int64(sent - last)
				l.note("room %d: member %d, which had reconnected, lost numbers %d to %d of sender %d", l.roomOf[m], m, last+1, sent, sender)
			}
		}
		if b.stray.seq > 0 && !b.bad {
			l.bad.Reordered++
			l.note("room %d: member %d, which had reconnected, got number %d of sender %d at another position than others", l.roomOf[m], m, b.stray.seq, b.stray.sender)
		}
	}
}
