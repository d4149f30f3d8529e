package fleet

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"dotsconnect/bench/proof"
	"dotsconnect/bench/result"
)

const maxNotes = 20

// merge combines the results of all generators. Figures of the servers can only
// be in the first result. duration is the scenario's setting; the time really
// measured may be longer.
func merge(all []*found, duration time.Duration) (*result.Result, error) {
	o := all[0].Result
	sent := 0.0
	for _, f := range all {
		t := &f.Result.Traffic
		f.delivered, f.conns = t.Delivered, t.Conns
		// The time measured ends with the last delivery, but sending ends after
		// duration. SentRate is the rate until then.
		sent += t.SentRate * min(t.MeasuredS, duration.Seconds())
	}
	if err := mergeHistograms(o, all); err != nil {
		return nil, err
	}
	for _, f := range all[1:] {
		mergeTraffic(&o.Traffic, &f.Result.Traffic)
		mergeParts(o, f.Result)
	}
	mergeProof(o, all)
	mergeGenerator(o, all)
	if o.Server != nil {
		mergeServer(o, sent)
	}
	o.Summarize()
	return o, nil
}

// mergeServer divides the CPU time of the servers by the messages and
// deliveries of all generators in the time measured.
func mergeServer(o *result.Result, sent float64) {
	s := o.Server
	per := func(n float64) float64 {
		if n == 0 {
			return 0
		}
		return s.CPUSeconds * 1e6 / n
	}
	s.CPUPerDelivery = per(float64(o.Traffic.Delivered))
	s.CPUPerMessage = per(sent)
	s.CPUPerBeat = 0
	// With fewer heartbeats the quotient would mostly show the cost of an idle
	// server. Package load has the same limit.
	const enoughBeats = 200
	if o.Traffic.Sent == 0 && o.Traffic.Beats >= enoughBeats && o.Churn == nil && o.Recovery == nil {
		s.CPUPerBeat = per(float64(o.Traffic.Beats))
	}
}

func mergeTraffic(a, b *result.Traffic) {
	reads := func(t *result.Traffic) float64 {
		if t.PerRead == 0 {
			return 0
		}
		return float64(t.Delivered) / t.PerRead
	}
	if n := reads(a) + reads(b); n > 0 {
		a.PerRead = float64(a.Delivered+b.Delivered) / n
	}
	a.Conns += b.Conns
	a.MeasuredS = max(a.MeasuredS, b.MeasuredS)
	a.Due += b.Due
	a.Sent += b.Sent
	a.Refused += b.Refused
	a.SentRate += b.SentRate
	a.Delivered += b.Delivered
	a.DeliveredRate += b.DeliveredRate
	a.Beats += b.Beats
	a.Other += b.Other
	addCounts(&a.OtherKinds, b.OtherKinds)
}

// addCounts adds the counts of b to those of a, name by name.
func addCounts[N int | int64](a *map[string]N, b map[string]N) {
	if *a == nil && len(b) > 0 {
		*a = map[string]N{}
	}
	for name, n := range b {
		(*a)[name] += n
	}
}

// mergeParts adds the counts that only some scenarios have: kicks, churn, slow
// members, errors.
func mergeParts(o, r *result.Result) {
	if a, b := o.Kicks, r.Kicks; a != nil && b != nil {
		a.Silent, a.Kicked, a.Early = a.Silent+b.Silent, a.Kicked+b.Kicked, a.Early+b.Early
		a.Missing, a.Wrong = a.Missing+b.Missing, a.Wrong+b.Wrong
		addCounts(&a.Codes, b.Codes)
	}
	if a, b := o.Churn, r.Churn; a != nil && b != nil {
		a.Opened, a.Cut, a.Failed = a.Opened+b.Opened, a.Cut+b.Cut, a.Failed+b.Failed
		a.Sent, a.Seen, a.Rate = a.Sent+b.Sent, a.Seen+b.Seen, a.Rate+b.Rate
	}
	if a, b := o.Slow, r.Slow; a != nil && b != nil {
		a.Members, a.Ended = a.Members+b.Members, a.Ended+b.Ended
		addCounts(&a.Codes, b.Codes)
	}
	a, b := &o.Connects, r.Connects
	a.Tried, a.Failed = a.Tried+b.Tried, a.Failed+b.Failed
	addCounts(&a.Causes, b.Causes)
	o.Broken = append(o.Broken, r.Broken...)
	o.NotMeasured = append(o.NotMeasured, r.NotMeasured...)
	if o.Ended == "" {
		o.Ended = r.Ended
	}
}

// mergeProof adds the verdicts. It also checks that members of one room in
// different generators saw the same order.
func mergeProof(o *result.Result, all []*found) {
	v := proof.Verdict{Notes: []string{}}
	seen := map[int32]proof.Vote{}
	for _, f := range all {
		p := &f.Result.Proof
		v.Lost, v.Doubled, v.Reordered = v.Lost+p.Lost, v.Doubled+p.Doubled, v.Reordered+p.Reordered
		v.Foreign, v.Damaged = v.Foreign+p.Foreign, v.Damaged+p.Damaged
		v.Sent, v.Expected, v.Received, v.Left = v.Sent+p.Sent, v.Expected+p.Expected, v.Received+p.Received, v.Left+p.Left
		v.Notes = append(v.Notes, p.Notes...)
		v.AtLeast, v.Guess = v.AtLeast || p.AtLeast, cmp.Or(v.Guess, p.Guess)
		for _, vote := range p.Votes {
			other, ok := seen[vote.Room]
			switch {
			case !ok:
				seen[vote.Room] = vote
			case other.Hash != vote.Hash:
				v.Reordered += int64(min(other.Members, vote.Members))
				v.Notes = append(v.Notes, fmt.Sprintf("room %d: %d members of one generator saw another order than %d members of another generator",
					vote.Room, vote.Members, other.Members))
			}
		}
	}
	v.Notes = v.Notes[:min(len(v.Notes), maxNotes)]
	o.Proof = v
}

// mergeGenerator combines the generators' own figures: the maximum of the
// shares, the sum of the RSS, the mean of the costs.
func mergeGenerator(o *result.Result, all []*found) {
	g := result.Generator{Processes: len(all), PSI: -1, Wait: -1, Foreign: -1, Pinned: o.Generator.Pinned}
	cpu, bytes := 0.0, 0.0
	for _, f := range all {
		one := &f.Result.Generator
		g.ThreadCPU, g.Steal, g.PSI = max(g.ThreadCPU, one.ThreadCPU), max(g.Steal, one.Steal), max(g.PSI, one.PSI)
		g.Wait = max(g.Wait, one.Wait)
		g.RSS += one.RSS
		cpu += one.PerDelivery * float64(f.delivered)
		bytes += one.BytesPerConn * float64(f.conns)
	}
	if o.Traffic.Delivered > 0 {
		g.PerDelivery = cpu / float64(o.Traffic.Delivered)
	}
	g.BytesPerConn = bytes / float64(o.Traffic.Conns)
	o.Generator = g
}

func mergeHistograms(o *result.Result, all []*found) error {
	merged := result.Histograms{}
	for name, into := range named(&merged) {
		for _, f := range all {
			text, ok := f.Histograms[name]
			if !ok {
				continue
			}
			h, err := decode(text)
			if err != nil {
				return err
			}
			if err := add(into, h); err != nil {
				return err
			}
		}
	}
	if merged.Latency == nil {
		merged.Latency = result.NewHistogram()
	}
	o.Histograms = merged
	return mergeSeconds(o, all)
}

func add(into **hdrhistogram.Histogram, h *hdrhistogram.Histogram) error {
	if *into == nil {
		*into = result.NewHistogram()
	}
	if dropped := (*into).Merge(h); dropped > 0 {
		return fmt.Errorf("merging histograms: %d values are out of bounds", dropped)
	}
	return nil
}

// mergeSeconds adds the rows of the same second and takes the quantiles from
// the merged histogram. Generators may have different seconds: one of them may
// start late or wait longer at the end.
func mergeSeconds(o *result.Result, all []*found) error {
	rows := map[int]*result.Second{}
	intervals := map[int]*result.Interval{}
	for _, f := range all {
		if len(f.Intervals) != len(f.Result.Seconds) {
			return fmt.Errorf("a worker reported figures of %d seconds, but histograms of %d seconds", len(f.Result.Seconds), len(f.Intervals))
		}
		for i, s := range f.Result.Seconds {
			h, err := decode(f.Intervals[i].Histogram)
			if err != nil {
				return err
			}
			if rows[s.T] == nil {
				rows[s.T] = &result.Second{T: s.T}
				intervals[s.T] = &result.Interval{Start: time.UnixMilli(f.Intervals[i].StartMs)}
			}
			if err := add(&intervals[s.T].Latency, h); err != nil {
				return err
			}
			addSecond(rows[s.T], &s)
		}
	}
	o.Seconds, o.Histograms.Interval = []result.Second{}, nil
	for _, t := range slices.Sorted(maps.Keys(rows)) {
		q := result.Summarize(intervals[t].Latency)
		rows[t].P50, rows[t].P99, rows[t].Max = q.P50, q.P99, q.Max
		o.Seconds = append(o.Seconds, *rows[t])
		o.Histograms.Interval = append(o.Histograms.Interval, *intervals[t])
	}
	return nil
}

// addSecond adds a row. Only one generator measures the servers, so the maximum
// of a server figure is the value of that generator.
func addSecond(into, s *result.Second) {
	into.Warmup = into.Warmup || s.Warmup
	into.Sent += s.Sent
	into.Delivered += s.Delivered
	into.ThreadCPU = max(into.ThreadCPU, s.ThreadCPU)
	into.ServerCPU = max(into.ServerCPU, s.ServerCPU)
	into.ServerRSS = max(into.ServerRSS, s.ServerRSS)
}
