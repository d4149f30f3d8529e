package load

import (
	"time"

	"dotsconnect/bench/proof"
)

// Together is what the generators of one run have in common. Each has a part of
// the members and judges what they get. All deal rooms and choose senders by the
// same seed, so that together they keep one schedule without a word about it.
//
// Rooms are dealt whole as long as there are as many rooms as generators; else
// the members of a room are, and the ledgers exchange at the end what was sent.
type Together interface {
	// Part is the number of this generator, from 0, and how many there are.
	Part() (part, parts int)
	// Meet waits until all have come to a step; what each brings is brought to
	// all. The channel yields once.
	Meet(step string, mine Brought) <-chan Met
}

// The steps at which generators meet.
const (
	StepReady = "ready" // memory was read, nothing is open
	StepOpen  = "open"  // all connections are open
	StepStart = "start" // memory was read again; the reply says when to begin
	StepSent  = "sent"  // the schedule is over
)

// Brought is what a generator brings to a step.
type Brought struct {
	Totals []proof.Total `json:"totals,omitempty"` // StepSent
}

// Met is what it takes away.
type Met struct {
	Start  int64         // StepStart: when to begin, by CLOCK_MONOTONIC; 0: in a moment
	Totals []proof.Total // StepSent: what the others' members sent
	Err    error
}

// meet waits for the others while connections live on.
func (r *run) meet(step string, mine Brought) (Met, error) {
	if r.cfg.Together == nil {
		return Met{}, nil
	}
	others := r.cfg.Together.Meet(step, mine)
	for {
		select {
		case met := <-others:
			return met, met.Err
		default:
		}
		if err := r.e.Poll(r.e.Now() + int64(2*time.Millisecond)); err != nil {
			return Met{}, err
		}
	}
}

// part says which members are this generator's: those whose number it is.
func part(roomOf []int32, rooms, parts int) func(m int32) int {
	if rooms >= parts {
		return func(m int32) int { return int(roomOf[m]) % parts }
	}
	return func(m int32) int { return int(m) % parts }
}
