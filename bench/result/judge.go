package result

import "dotsconnect/bench/internal/cli"

// A run outside of these limits is INVALID.
const (
	maxThreadCPU = 0.85
	maxSteal     = 0.01
	maxWait      = 0.02 // share of the time in which threads of the server, or of the generator, waited for a CPU
	maxOwnWait   = 0.10 // the same, if no other program used the CPUs: server and generator waited for each other
	maxForeign   = 0.1  // CPUs that other programs, and the kernel on its own account, may use
	maxPressure  = 0.25 // share of the time in which any task waited for a CPU; used if waits are not known
	minSent      = 0.99
	minLateUs    = 1000
)

// noFailures is the threshold of a run that has no threshold for connections
// that fail.
var noFailures = Threshold{text: "connect.failed<=0%", figure: "connect.failed", op: "<=", want: 0}

// Judge checks the figures, and sets Invalid, Busy, NotJudged, Thresholds and
// Exit. If InvalidOK is set, an INVALID run, and a threshold that cannot be
// judged, do not change the exit code.
func (r *Result) Judge(thresholds []Threshold) {
	r.Busy, r.NotJudged = r.busy()
	r.Invalid = r.invalid()
	r.Thresholds = []Outcome{}
	failures := false
	for _, t := range thresholds {
		failures = failures || t.figure == noFailures.figure
		r.Thresholds = append(r.Thresholds, t.check(r))
	}
	if o := noFailures.check(r); !failures && !o.Met {
		r.Thresholds = append(r.Thresholds, o)
	}
	missed, open := false, len(r.Invalid) > 0
	for _, o := range r.Thresholds {
		missed = missed || !o.Met && o.NotJudged == ""
		open = open || o.NotJudged != ""
	}
	switch {
	case r.Died != "":
		r.Exit = cli.ServerDied
	case r.Proof.Sum() > 0 || len(r.Broken) > 0:
		r.Exit = cli.Violated
	case r.Ended != "":
		// The members whose connections the server ended got no more messages. A busy machine does
		// not excuse that, so this comes before Invalid.
		r.Exit = cli.Violated
	case open && !r.InvalidOK:
		r.Exit = cli.Invalid
	case missed:
		r.Exit = cli.Missed
	default:
		r.Exit = cli.OK
	}
}

// busy returns why the machine was too busy, so that even the server's CPU time
// does not count, or "" if it was not. unknown says what cannot be judged.
//
// A thread that is ready to run and waits for a CPU is late through no fault of
// its own, and afterwards its caches are cold. If the server has CPUs of its
// own and no other program used the CPUs, its threads waited only for each
// other, which is a property of the server.
func (r *Result) busy() (why string, unknown []string) {
	g, s := &r.Generator, r.Server
	alone := g.Foreign >= 0 && g.Foreign <= maxForeign
	limit := maxWait
	if alone || g.Processes > 1 { // what other programs used is not known with several generators
		limit = maxOwnWait
	}
	wait := func(who string, share float64) {
		if share > limit && why == "" {
			why = sprintf("the machine was busy: %s waited for a CPU in %.1f %% of the time, and the limit is %.0f %%", who, 100*share, 100*limit)
			if g.Foreign >= 0 {
				why += sprintf("; other programs used %.2f CPUs", g.Foreign)
			}
		}
	}
	if g.Wait >= 0 {
		wait("the generator", g.Wait)
	}
	if s != nil && s.Wait >= 0 && !(g.Pinned && alone) {
		wait("the server", s.Wait)
	}
	known := g.Wait >= 0 && (s == nil || s.Wait >= 0)
	switch {
	case why != "" || known:
	case g.PSI < 0:
		unknown = []string{"whether other programs used the CPUs: neither /proc/PID/task/*/schedstat nor cpu.pressure can be read"}
	case g.PSI > maxPressure:
		why = sprintf("the machine was busy: tasks waited for a CPU in %.0f %% of the time (CPU pressure), and the limit is 25 %%", 100*g.PSI)
	}
	return why, unknown
}

func (r *Result) invalid() []string {
	reasons := []string{}
	because := func(format string, args ...any) { reasons = append(reasons, sprintf(format, args...)) }
	if !r.Closed && r.Lateness.Count > 0 {
		if limit := max(minLateUs, r.Latency.P50/10); r.Lateness.P99 > limit {
			because("sends were late: p99 %s; the limit is %s (1 ms or a tenth of the median latency)",
				Micros(r.Lateness.P99), Micros(limit))
		}
	}
	if t := r.Traffic; !r.Closed && float64(t.Sent) < minSent*float64(t.Due) {
		because("only %s of %s messages of the schedule were sent (%.1f %%); a valid run needs 99 %%",
			cli.Count(t.Sent), cli.Count(t.Due), 100*float64(t.Sent)/float64(t.Due))
	}
	reasons = append(reasons, r.NotMeasured...)
	if cpu := r.Generator.ThreadCPU; cpu > maxThreadCPU {
		because("the generator's thread was busy for %.0f %% of the time; above 85 %% a run measures the generator", 100*cpu)
	}
	if s := r.Generator.Steal; s > maxSteal {
		because("other machines on this host took %.1f %% of the CPU time (steal); the limit is 1 %%", 100*s)
	}
	if r.Busy != "" {
		reasons = append(reasons, r.Busy)
	}
	return reasons
}

// doubtTimes returns why the rates and latencies of the run do not count, or "".
func (r *Result) doubtTimes() string {
	if len(r.Invalid) == 0 {
		return ""
	}
	return "the run is INVALID"
}
