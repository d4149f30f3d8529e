package load

import (
	"time"

	"dotsconnect/bench/proof"
)

// Together connects the generators of one run. Each generator has a part of the
// members and judges their deliveries. All generators deal rooms and choose
// senders with the same seed, so they keep one schedule without communication.
//
// If there are at least as many rooms as generators, all members of a room
// belong to the same generator. Otherwise the members of each room are divided
// among the generators, and at the end the generators tell each other how many
// messages each member has sent.
type Together interface {
	// Part returns the number of this generator, counted from 0, and the number
	// of all generators.
	Part() (part, parts int)
	// Meet tells the other generators that this generator has come to a step.
	// The channel gets one value when all generators have come to the step.
	Meet(step string, mine Brought) <-chan Met
}

// The steps at which generators wait for each other.
const (
	StepReady = "ready" // memory was read; no connection is open
	StepOpen  = "open"  // all connections are open
	StepStart = "start" // memory was read again; Met has the start time of the schedule
	StepSent  = "sent"  // all messages of the schedule were sent
	StepQuiet = "quiet" // no more deliveries are expected; all connections are still open
	StepRead  = "read"  // the figures of the servers were read, so connections may end
)

// Brought is the data that a generator sends to the others at a step.
type Brought struct {
	Totals []proof.Total `json:"totals,omitempty"` // at StepSent: how many messages its members have sent
}

// Met is the data that a generator gets when all generators have come to a
// step.
type Met struct {
	Start  int64         // at StepStart: the time of CLOCK_MONOTONIC at which the schedule begins; 0: the generator chooses it
	Totals []proof.Total // at StepSent: how many messages the members of other generators have sent
	Err    error
}

// meet waits until all generators have come to a step. Meanwhile it serves the
// connections.
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

// part returns a function that returns the number of the generator to which a
// member belongs.
func part(roomOf []int32, rooms, parts int) func(m int32) int {
	if rooms >= parts {
		return func(m int32) int { return int(roomOf[m]) % parts }
	}
	return func(m int32) int { return int(m) % parts }
}
