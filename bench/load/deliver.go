package load

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"

	"dotsconnect/bench/client"
	"dotsconnect/bench/proof"
	"dotsconnect/bench/result"
)

func expandRoom(text, room string) string { return strings.ReplaceAll(text, "{room}", room) }

// onMessage records a message that a member got. In some protocols one message
// holds several, each on its own line.
func (r *run) onMessage(id int32, op byte, payload []byte, at int64) {
	m := r.memberOf[id]
	if m < 0 {
		r.churn.message(r, id, op, payload, at)
		return
	}
	if !r.many {
		r.one(m, op, payload, at)
		return
	}
	for line := range bytes.SplitSeq(payload, []byte("\n")) {
		if len(line) > 0 {
			r.one(m, op, line, at)
		}
	}
}

// one records a message that is a delivery, or belongs to the protocol.
func (r *run) one(m int32, op byte, text []byte, at int64) {
	s, found, damage := r.frames.find(op, text, at)
	switch found {
	case intact:
	case damaged:
		r.ledger.Damaged(m, damage)
	case unreadable:
		r.ledger.Damaged(m, damage)
		return
	case otherRun:
		r.ledger.Foreign(m, fmt.Sprintf("number %d of sender %d of run %05x", s.seq, s.sender, s.run))
		return
	default:
		r.talk(m, op, text)
		return
	}
	first, last := r.ledger.Receive(m, s.sender, s.seq)
	r.now.received++
	r.progress = at
	if s.intended >= r.from && s.intended < r.to {
		recordTimes(r, s, at, first, last)
	}
	if r.closed && int32(s.sender) == m && !r.over {
		r.sendOne(m, r.e.Now())
	}
}

// recordTimes records the latency of a delivery.
func recordTimes(r *run, s stamp, at int64, first, last bool) {
	late := at - s.intended
	if late < 0 { // several events share one stamp, so the message may have arrived after its stamp
		late = r.e.Now() - s.intended
	}
	r.interval.record(late)
	r.phases.record(r.out, s.intended, late)
	if s.late >= 0 && !r.closed {
		r.fromSend.record(late - s.late)
	}
	if first {
		result.Record(r.first, late)
	}
	if last {
		result.Record(r.lastOne, late)
	}
}

// wasSent reports whether a message with this stamp was sent, and how late it was
// sent; -1: not known. For a sender of another generator only the schedule is
// known.
func (r *run) wasSent(s stamp) (late int64, ok bool) {
	switch {
	case s.sender == proof.Guest:
		return r.guestSends.find(s)
	case int(s.sender) >= len(r.roomOf):
		return -1, true // the ledger reports it as foreign
	case !r.isMine(int32(s.sender)):
		return -1, r.closed || r.sched.has(s.intended)
	}
	return r.sends.find(s)
}

// The kinds of messages without a stamp.
const (
	otherBeat   = "heartbeats"
	otherAnswer = "join answers"
	otherText   = "other texts"
	otherBinary = "binary messages"
	otherBroken = "texts that are not UTF-8"
)

// talk records a message that is not a delivery, such as a greeting, an
// acknowledgement or a relayed heartbeat. Nobody knows its bytes, so only its
// frame is checked.
func (r *run) talk(m int32, op byte, text []byte) {
	kind := otherText
	switch {
	case op != client.OpText:
		kind = otherBinary
	case !utf8.Valid(text):
		kind = otherBroken
		r.promise("room %d: member %d got a text message that is not UTF-8: %.80q", r.roomOf[m], m, text)
	case r.joins.answer != nil && !r.joins.in[m] && r.joins.answer.Match(text):
		kind = otherAnswer
		r.joins.in[m] = true
		r.joined++
	case string(text) == cmp.Or(r.cfg.Frames.Heartbeat, client.DefaultBeat):
		kind = otherBeat
	}
	r.others[kind]++
}
