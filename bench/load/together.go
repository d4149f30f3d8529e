package load

import (
	"time"

	"dotsconnect/bench/proof"
)

// Together connects the generators of one run. Each has a part of the members
// and judges what they get. All deal rooms and choose senders with the same
// seed, so they keep one schedule without communication.
//
// If there are at least as many rooms as generators, each room is dealt whole
// to one generator. Otherwise the members of a room are dealt, and the ledgers
// exchange at the end what was sent.
type Together interface {
	// Part is the number of this generator, from 0, and how many there are.
	Part() (part, parts int)
	// Meet waits until all generators have come to a step. Each gets what the
	// others bring. The channel yields once.
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

// Met is what a generator gets at a step.
type Met struct {
	Start  int64         // StepStart: when to begin, by CLOCK_MONOTONIC; 0: in a moment
	Totals []proof.Total // StepSent: what the others' members sent
	Err    error
}

// meet waits for the others while connections stay open.
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

// part returns the number of the generator to which a member belongs.
func part(roomOf []int32, rooms, parts int) func(m int32) int {
	if rooms >= parts {
		return func(m int32) int { return int(roomOf[m]) % parts }
	}
	return func(m int32) int { return int(m) % parts }
}
