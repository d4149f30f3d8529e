package proof

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Verdict judges all members that did not leave or that came back. Call it
// once, when no more deliveries are expected.
func (l *Ledger) Verdict() Verdict {
	v := Verdict{Left: l.left, Notes: []string{}}
	l.neverCame()
	l.guestsAgree()
	l.judgeBacks(&v)
	for number := range l.rooms {
		r := &l.rooms[number]
		if len(r.members) == 0 {
			continue
		}
		v.Sent += l.sentHere(r)
		for _, m := range r.members {
			if p := &l.members[m]; !p.left {
				v.Expected += int64(r.sent)
				v.Received += int64(p.count)
				l.complete(p, r, number, m)
			}
		}
		if l.roomOrder {
			v.Votes = l.agree(r, number, v.Votes)
		}
	}
	v.Counts = l.bad
	v.Notes = append(v.Notes, l.notes...)
	return v
}

// sentHere returns the number of messages that the members of r have sent,
// counting only members that this ledger judges.
func (l *Ledger) sentHere(r *room) int64 {
	if !r.split {
		return int64(r.sent)
	}
	n := int64(0)
	for _, m := range r.members {
		n += int64(l.sent[m])
	}
	return n
}

// complete compares the messages that a member got with those that were sent to
// its room.
func (l *Ledger) complete(p *member, r *room, number int, m int32) {
	if l.byName(r) {
		l.completeSmall(p, r, number, m)
		return
	}
	switch {
	case p.count < r.sent:
		p.bad = true
		l.bad.Lost += int64(r.sent - p.count)
		l.note("room %d: member %d got %d of %d messages%s", number, m, p.count, r.sent, l.firstDifference(m, r))
	case p.count > r.sent:
		p.bad = true
		l.bad.Doubled += int64(p.count - r.sent)
		l.note("room %d: member %d got %d messages, but %d were sent%s", number, m, p.count, r.sent, l.firstDifference(m, r))
	case p.sum != r.sum:
		p.bad = true
		l.bad.Lost++
		l.bad.Doubled++
		l.note("room %d: member %d got as many messages as were sent, but not the same messages%s", number, m, l.firstDifference(m, r))
	}
}

func (l *Ledger) completeSmall(p *member, r *room, number int, m int32) {
	for index := range r.size {
		sender, last := l.memberAt(number, index), uint32(0)
		if r.last != nil {
			last = r.last[int(l.indexOf[m])*r.size+index]
		}
		if sent := l.sent[sender]; last < sent {
			p.bad = true
			l.bad.Lost += int64(sent - last)
			l.note("room %d: member %d lost numbers %d to %d of sender %d", number, m, last+1, sent, sender)
		} else if last > sent { // the sender belongs to another generator, so the number that it sent was not known before
			p.bad = true
			l.bad.Foreign += int64(last - sent)
			l.note("room %d: member %d got numbers up to %d of sender %d, which has sent %d", number, m, last, sender, sent)
		}
	}
}

// memberAt returns the member with the given index in a room.
func (l *Ledger) memberAt(number, index int) int32 {
	r := &l.rooms[number]
	if !r.split {
		return r.members[index]
	}
	for m, of := range l.roomOf {
		if int(of) == number && int(l.indexOf[m]) == index {
			return int32(m)
		}
	}
	panic("proof: no such place")
}

// neverCame counts the missing messages in l.held as lost: they did not come
// later.
func (l *Ledger) neverCame() {
	missing := slices.Collect(maps.Keys(l.held))
	slices.SortFunc(missing, func(a, b mark) int {
		return cmp.Or(cmp.Compare(a.member, b.member), cmp.Compare(a.sender, b.sender), cmp.Compare(a.seq, b.seq))
	})
	for _, h := range missing {
		if !l.members[h.member].left {
			l.bad.Lost++
			l.note("room %d: member %d lost number %d of sender %d", l.roomOf[h.member], h.member, h.seq, h.sender)
		}
	}
}

// agree compares the hashes of the members that got every message once. The
// order that most of them saw counts as the order of the room; members with
// another hash are reordered. If the room has members of other generators,
// agree adds that order to the votes.
func (l *Ledger) agree(r *room, number int, cast []Vote) []Vote {
	votes := map[uint64]int{}
	var most uint64
	for _, m := range r.members {
		if p := &l.members[m]; !p.left && !p.bad {
			votes[p.hash]++
			if votes[p.hash] > votes[most] {
				most = p.hash
			}
		}
	}
	if r.split && votes[most] > 0 {
		cast = append(cast, Vote{int32(number), most, votes[most]})
	}
	if len(votes) < 2 {
		return cast
	}
	for _, m := range r.members {
		if p := &l.members[m]; !p.left && !p.bad && p.hash != most {
			l.bad.Reordered++
			l.note("room %d: member %d got another order than %d others%s", number, m, votes[most], l.firstDifference(m, r))
		}
	}
	return cast
}

// firstDifference describes the first message at which a member differs from
// the log of its room, or returns "" if the member does not differ.
func (l *Ledger) firstDifference(m int32, r *room) string {
	stray, ok := l.strays[m]
	if !ok {
		return ""
	}
	want := r.log[stray.at]
	return fmt.Sprintf("; as message %d it got number %d of sender %d, where another had number %d of sender %d",
		stray.at+1, stray.got.seq, stray.got.sender, want.seq, want.sender)
}
