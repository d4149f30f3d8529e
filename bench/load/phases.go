package load

import (
	"time"

	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// phases are the four parts of a run with a fault: the time before the fault;
// the grace, in which a server may hold back messages that it cannot deliver;
// the rest of the fault; and the time after the fault. A message counts in the
// phase in which it was due, even if it arrives in a later phase. So a delay is
// shown in the phase in which the delay began.
type phases struct {
	ends [result.PhaseCount]int64 // all are 0 if the run has no fault
}

func (p *phases) plan(s *scenario.Scenario, from, to int64, o *result.Result) {
	if s.Hurt == 0 {
		return
	}
	hurt := from + int64(s.Hurt)
	healed := to
	if s.Heal > 0 {
		healed = from + int64(s.Heal)
	}
	p.ends = [...]int64{hurt, hurt + int64(s.Grace), healed, to}
	begin := from
	for i, end := range p.ends {
		o.Histograms.Phases[i] = result.NewHistogram()
		o.Phases = append(o.Phases, result.Phase{Name: result.PhaseNames()[i],
			From: time.Duration(begin - from).Seconds(), To: time.Duration(end - from).Seconds()})
		begin = end
	}
}

// record adds the latency of a message to the histogram of its phase.
func (p *phases) record(o *result.Result, intended, late int64) {
	if p.ends[0] == 0 {
		return
	}
	i := 0
	for i < len(p.ends)-1 && intended >= p.ends[i] {
		i++
	}
	result.Record(o.Histograms.Phases[i], late)
}
