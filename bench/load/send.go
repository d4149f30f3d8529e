package load

import (
	"time"

	"dotsconnect/bench/result"
)

// send sends messages by the schedule, until its end.
func (r *run) send() error {
	met, err := r.meet(StepStart, Brought{})
	if err != nil {
		return err
	}
	t0 := met.Start
	if t0 == 0 {
		t0 = r.e.Now() + int64(20*time.Millisecond)
	}
	t0 = t0 / 1000 * 1000 // a stamp has whole microseconds
	length := r.s.Warmup + r.s.Duration
	r.from, r.to = t0+int64(r.s.Warmup), t0+int64(length)
	r.sched = newSchedule(r.s, t0, length)
	r.plan()
	r.phases.plan(r.s, r.from, r.to, r.out)
	if r.closed {
		if _, err := r.e.Run(t0, nil); err != nil {
			return err
		}
		r.startClosed()
	}
	r.read(&r.last)
	r.last.at = t0
	if err := r.keepSchedule(t0); err != nil {
		return err
	}
	r.over = true
	r.churn.end(r)
	r.closeSilent()
	return nil
}

func (r *run) keepSchedule(t0 int64) error {
	second := t0 + int64(time.Second)
	for {
		now := r.e.Now()
		if now >= second {
			r.tick()
			second += int64(time.Second)
			for ; now >= second; second += int64(time.Second) {
				r.idleRow() // this thread did not run for more than a second
			}
		}
		if now >= r.from && r.begin.at == 0 {
			r.read(&r.begin)
		}
		// After the end, a generator that was late still sends the overdue
		// messages. Otherwise messages would be missing at the times when the
		// server was slowest.
		if now >= r.to && r.sched.at(r.k) >= r.to || r.left == r.size {
			return nil
		}
		wake := min(second, max(r.to, now), r.sendDue(now), r.agenda.due(now))
		if r.begin.at == 0 {
			wake = min(wake, r.from)
		}
		r.spent += r.e.Now() - now
		if err := r.e.Poll(wake); err != nil {
			return err
		}
	}
}

// sendDue sends messages that are due, but at most 64 of them, so that arrivals
// are read soon. It returns the time when the next message is due.
func (r *run) sendDue(now int64) int64 {
	const most = 64
	for range most {
		intended := r.sched.at(r.k)
		if intended > now {
			return intended
		}
		m, own, can := r.nextSender()
		r.k++
		if !own {
			continue
		}
		r.due++
		if !can {
			continue // no sender is left, so this message counts as due but not as sent
		}
		late := r.sendOne(m, intended)
		if intended >= r.from {
			result.Record(r.lateness, late)
		}
	}
	return r.sched.at(r.k)
}

// nextSender chooses the next sender. All generators of a run choose the same
// member, and the generator to which the member belongs sends the message. own
// reports whether the member belongs to this generator; can reports whether any
// member can still send.
func (r *run) nextSender() (m int32, own, can bool) {
	m, some := r.pick.from(r.pick.first(), func(m int32) bool { return !r.mute(m) })
	if some && !r.isMine(m) {
		return 0, false, false
	}
	if !some && r.own != 0 {
		return 0, false, false // no member of any generator can send: only the first generator counts the message
	}
	// If the member has left, another member of this generator sends in its
	// place. Other generators do not know that it has left, so they cannot
	// choose it.
	m, can = r.pick.from(m, func(m int32) bool { return r.state[m] == here && r.isMine(m) })
	return m, true, can
}

// sendOne sends the next message of member m, with the intended time in its
// stamp. It returns how late the message is.
func (r *run) sendOne(m int32, intended int64) (late int64) {
	late = r.e.Now() - intended
	s := stamp{run: r.id, sender: uint32(m), seq: r.ledger.Next(m), intended: intended}
	if s.seq >= 1<<seqBits {
		r.refused++
		r.exhausted = true
		return late
	}
	if _, err := r.e.SendRaw(r.connOf[m], r.frames.frame(r.roomOf[m], s)); err != nil {
		r.refused++ // the connection is ending, or the server does not read
		return late
	}
	r.ledger.Sent(m)
	r.sends.add(s, late)
	r.now.sent++
	return late
}

func (r *run) startClosed() {
	for m := range int32(r.s.Conns) {
		for range r.s.Burst {
			if r.isMine(m) && r.state[m] == here {
				r.sendOne(m, r.e.Now())
			}
		}
	}
}
