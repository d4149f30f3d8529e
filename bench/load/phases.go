package load

import (
	"time"

	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// phases are the times of a run that does harm: before it, the grace in which a
// server may hold what it cannot deliver, the rest of the harm, and what comes
// after. A message counts where it was due, not where it arrived: one that waits
// is found where the waiting began.
type phases struct {
	ends [result.PhaseCount]int64 // zero: the run does no harm
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

// record enters the latency of a message of the time measured.
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
