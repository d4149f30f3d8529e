package proof

import (
	"cmp"
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
				v.Expected += int64(l.due(r, m))
				v.Received += int64(p.count)
				l.complete(p, r, number, m)
			}
		}
		if l.roomOrder {
			v.Votes = l.agree(r, number, v.Votes)
		}
	}
	v.Counts, v.AtLeast = l.bad, l.atLeast
	if l.bad.Lost > 0 && l.echo && withoutOwn(l) {
		v.Guess = "each member got all messages except its own: if the server does not send a message back to its sender, use --echo no"
	}
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

// complete compares the messages that a member got with those that it should
// have got.
func (l *Ledger) complete(p *member, r *room, number int, m int32) {
	if !l.roomOrder {
		l.completeSenders(p, r, number, m)
		return
	}
	forged := l.forged(r, number)
	if d := l.diffs[m]; d == nil || !d.vague {
		l.completeLog(p, r, number, m, r.sent+forged-r.log.end())
	} else if p.count < r.sent {
		p.bad = true
		l.bad.Lost += int64(r.sent - p.count)
		l.note("room %d: member %d got %d of %d messages", number, m, p.count, r.sent)
	}
	if d := l.diffs[m]; d != nil && d.vague {
		p.bad, l.atLeast = true, true
	}
	if !p.bad && forged == 0 && p.sum != r.sum {
		p.bad = true
		l.bad.Lost++
		l.bad.Doubled++
		l.note("room %d: member %d got as many messages as were sent, but not the same messages", number, m)
	}
}

// completeLog counts the messages that a member lost: those that it skipped,
// those after its position in the log, and those that no member got.
func (l *Ledger) completeLog(p *member, r *room, number int, m int32, nobody uint32) {
	pos := l.position(m)
	lost := int64(r.log.end()-pos) + int64(nobody)
	if d := l.diffs[m]; d != nil {
		missing := slices.Collect(maps.Keys(d.missing))
		slices.SortFunc(missing, func(a, b entry) int { return cmp.Or(cmp.Compare(a.sender, b.sender), cmp.Compare(a.seq, b.seq)) })
		for _, e := range missing {
			l.note("room %d: member %d lost number %d of sender %d", number, m, e.seq, e.sender)
		}
		lost += int64(len(missing))
	}
	if n := int64(r.log.end()-pos) + int64(nobody); n > 0 {
		l.note("room %d: member %d got nothing after message %d of %d", number, m, pos, r.sent)
	}
	if lost > 0 {
		p.bad = true
		l.bad.Lost += lost
	}
}

// forged returns how many messages the members of a room got that their senders
// have not sent. Those senders belong to other generators, so the number of
// their messages was not known before.
func (l *Ledger) forged(r *room, number int) (n uint32) {
	for index, high := range r.log.high {
		if sender := l.memberAt(number, index); high > l.sent[sender] {
			n += high - l.sent[sender]
			if !r.told {
				l.note("room %d: members got numbers up to %d of sender %d, which has sent %d", number, high, sender, l.sent[sender])
			}
		}
	}
	if !r.told {
		r.told = true
		l.bad.Foreign += int64(n) * int64(len(r.members)-r.gone)
	}
	return n
}

// completeSenders compares the last number that a member got of each sender with
// the last number that the sender has sent.
func (l *Ledger) completeSenders(p *member, r *room, number int, m int32) {
	for index := range r.size {
		sender, last := l.memberAt(number, index), uint32(0)
		if sender == m && !l.echo {
			continue
		}
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
	var leader int32 = -1 // a member that saw the order of most members
	for _, m := range r.members {
		if p := &l.members[m]; !p.left && !p.bad {
			votes[p.hash]++
			if leader < 0 || votes[p.hash] > votes[most] {
				most, leader = p.hash, m
			}
		}
	}
	if r.split && leader >= 0 {
		cast = append(cast, Vote{int32(number), most, votes[most]})
	}
	if len(votes) > 1 || len(l.diffs) > 0 || r.log.swapped > 0 {
		for _, m := range r.members {
			if !l.members[m].left {
				l.reordered(r, number, m, leader, votes[most])
			}
		}
	}
	return cast
}

// reordered counts the messages that a member got in a wrong order. leader is a
// member that saw the order of the room, which most members saw; -1: there is
// none, so the log counts as the order of the room.
func (l *Ledger) reordered(r *room, number int, m, leader int32, most int) {
	p, d, led := &l.members[m], cmp.Or(l.diffs[m], &diff{}), &diff{}
	if leader >= 0 {
		led = cmp.Or(l.diffs[leader], led)
	}
	if leader >= 0 && !p.bad && p.hash == l.members[leader].hash {
		if n := r.log.swapped; n > 0 && len(d.late) == 0 { // all members saw an order that contradicts the order of a sender
			l.bad.Reordered += n
			l.note("room %d: member %d got number %d of sender %d after number %d", number, m, r.log.stray.seq, r.log.stray.sender, r.log.after.seq)
		}
		return
	}
	wrong := int64(0)
	for e := range d.late {
		if _, ok := led.late[e]; !ok {
			wrong++
		}
	}
	// If this member got its messages first, its wrong order is the log, and
	// the messages were late for all others. But if it never got the messages
	// after which they came, it lost those, and its order is not wrong.
	for e, after := range led.late {
		_, ok := d.late[e]
		if !ok && !hasLost(l, r, m, e) && !hasLost(l, r, m, after) {
			wrong++
		}
	}
	got, after := d.stray, d.late[d.stray]
	if len(d.late) == 0 {
		got, after = led.late[led.stray], led.stray
	}
	switch {
	case wrong > 0:
		l.bad.Reordered += wrong
		l.note("room %d: member %d got number %d of sender %d after number %d of sender %d, in another order than %d others",
			number, m, got.seq, got.sender, after.seq, after.sender, most)
	case !p.bad: // a guest's message came at another place
		l.bad.Reordered++
		l.note("room %d: member %d got another order than %d others", number, m, most)
	}
}

// hasLost reports whether a member never got a message that is in the log of its
// room.
func hasLost(l *Ledger, r *room, m int32, e entry) bool {
	if d := l.diffs[m]; d != nil && d.missing[e] {
		return true
	}
	_, ok := r.log.find(e, max(l.position(m), r.log.base))
	return ok
}

// withoutOwn reports whether each member that sends got exactly the messages of
// the other members, and each other member got everything.
func withoutOwn(l *Ledger) bool {
	some := false
	for m := range l.members {
		p, r := &l.members[m], &l.rooms[l.roomOf[m]]
		if p.left || !l.judged(int32(m)) {
			continue
		}
		own := uint64(0)
		for seq := uint32(1); seq <= l.sent[m]; seq++ {
			own += mix(entry{uint32(m), seq})
		}
		if p.count != r.sent-l.sent[m] || p.sum != r.sum-own {
			return false
		}
		some = some || l.sent[m] > 0
	}
	return some
}
