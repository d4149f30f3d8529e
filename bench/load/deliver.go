package load

import (
	"fmt"
	"strings"

	"dotsconnect/bench/result"
)

func expandRoom(text, room string) string { return strings.ReplaceAll(text, "{room}", room) }

// onMessage records a message that a member got. In some protocols one message
// holds several deliveries.
func (r *run) onMessage(id int32, payload []byte, at int64) {
	m := r.memberOf[id]
	if m < 0 {
		r.churn.message(r, id, payload, at)
		return
	}
	rest, some := r.delivery(m, payload, at)
	if !some {
		r.talk(m, payload)
	}
	for some && r.many {
		rest, some = r.delivery(m, rest, at)
	}
}

// delivery records the first delivery in text, and returns the bytes after it.
func (r *run) delivery(m int32, text []byte, at int64) (rest []byte, found bool) {
	s, rest, found, damage := r.frames.find(text, at)
	switch {
	case !found:
		return nil, false
	case damage != "":
		r.ledger.Damaged(m, damage)
		return rest, true
	case s.run != r.id:
		r.ledger.Foreign(m, fmt.Sprintf("number %d of sender %d of run %05x", s.seq, s.sender, s.run))
		return rest, true
	}
	first, last := r.ledger.Receive(m, s.sender, s.seq)
	r.now.received++
	r.progress = at
	if s.intended >= r.from && s.intended < r.to {
		late := at - s.intended
		if late < 0 { // several events share one stamp, so the message may have arrived after its stamp
			late = r.e.Now() - s.intended
		}
		result.Record(r.interval, late)
		r.phases.record(r.out, s.intended, late)
		if first {
			result.Record(r.first, late)
		}
		if last {
			result.Record(r.lastOne, late)
		}
	}
	if r.closed && int32(s.sender) == m && !r.over {
		r.sendOne(m, r.e.Now())
	}
	return rest, true
}

// talk records a message that is not a delivery, such as a greeting, an
// acknowledgement or a relayed heartbeat.
func (r *run) talk(m int32, text []byte) {
	r.other++
	if r.joins.answer != nil && r.joined < r.size && r.joins.answer.Match(text) {
		r.joined++
	}
}
