package proof

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Verdict judges all members that stayed. It is called once, when nothing more
// is to be expected.
func (l *Ledger) Verdict() Verdict {
	v := Verdict{Left: l.left, Notes: []string{}}
	l.neverCame()
	for number := range l.rooms {
		r := &l.rooms[number]
		v.Sent += int64(r.sent)
		for _, m := range r.members {
			if p := &l.members[m]; !p.left {
				v.Expected += int64(r.sent)
				v.Received += int64(p.count)
				l.complete(p, r, number, m)
			}
		}
		if l.roomOrder {
			l.agree(r, number)
		}
	}
	v.Counts = l.bad
	v.Notes = append(v.Notes, l.notes...)
	return v
}

// complete compares what a member got with what was sent.
func (l *Ledger) complete(p *member, r *room, number int, m int32) {
	if r.last != nil {
		l.completeSmall(p, r, number, m)
		return
	}
	switch {
	case p.count < r.sent:
		p.bad = true
		l.bad.Lost += int64(r.sent - p.count)
		l.note("room %d: member %d got %d of %d messages%s", number, m, p.count, r.sent, l.firstDifference(p, r))
	case p.count > r.sent:
		p.bad = true
		l.bad.Doubled += int64(p.count - r.sent)
		l.note("room %d: member %d got %d messages, and %d were sent%s", number, m, p.count, r.sent, l.firstDifference(p, r))
	case p.sum != r.sum:
		p.bad = true
		l.bad.Lost++
		l.bad.Doubled++
		l.note("room %d: member %d got as many messages as were sent, but not the same%s", number, m, l.firstDifference(p, r))
	}
}

func (l *Ledger) completeSmall(p *member, r *room, number int, m int32) {
	for i, sender := range r.members {
		last, sent := r.last[int(l.indexOf[m])*len(r.members)+i], l.sent[sender]
		if last < sent {
			p.bad = true
			l.bad.Lost += int64(sent - last)
			l.note("room %d: member %d lost numbers %d to %d of sender %d", number, m, last+1, sent, sender)
		}
	}
}

// neverCame counts what was skipped and did not come later either.
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

// agree compares the hashes of the members that got everything once. What most
// of them saw is taken for the order of the room.
func (l *Ledger) agree(r *room, number int) {
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
	if len(votes) < 2 {
		return
	}
	for _, m := range r.members {
		if p := &l.members[m]; !p.left && !p.bad && p.hash != most {
			l.bad.Reordered++
			l.note("room %d: member %d saw another order than %d others%s", number, m, votes[most], l.firstDifference(p, r))
		}
	}
}

// firstDifference shows where a member left the order of the first member.
func (l *Ledger) firstDifference(p *member, r *room) string {
	if !p.diverged {
		return ""
	}
	want := r.log[p.at]
	return fmt.Sprintf("; as message %d it got number %d of sender %d, where another had number %d of sender %d",
		p.at+1, p.got.seq, p.got.sender, want.seq, want.sender)
}
