package load

import (
	"os"
	"slices"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/probe"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
	"dotsconnect/bench/stats"
)

// read reads the present values of all counters.
func (r *run) read(into *reading) {
	*into = r.now
	into.at = r.e.Now()
	into.threadCPU = threadCPU()
	if r.cfg.Spin {
		into.threadCPU = r.spent + r.e.Busy()
	}
	if r.cfg.Beside != 0 {
		into.besideCPU, _ = processCPU(r.cfg.Beside) // an error means that the other process has ended; Died reports that
	}
	into.serverCPU, into.reads = r.now.readServers(r.cfg.Pids), r.e.Reads()
	into.steal, into.busy, into.ticks = cpuTicks()
	into.ownCPU = int64(processTime(os.Getpid()))
	into.pressure = probe.Pressure()
	readWaits(r, into.at)
	into.wait, into.serverWait = r.now.wait, r.now.serverWait
}

// readWaits reads how long threads have waited for a CPU, but not more often
// than needed, because that takes some microseconds for each thread.
func readWaits(r *run, now int64) {
	if r.now.waitsAt > 0 && now-r.now.waitsAt < int64(100*time.Millisecond) {
		return
	}
	r.now.waitsAt, r.now.wait, r.now.serverWait = now, -1, -1
	if ns, ok := r.waits.ReadThread(r.thread); ok {
		r.now.wait = ns
	}
	if ns, ok := r.serverWaits.Read(r.cfg.Pids...); ok {
		r.now.serverWait = ns
	}
}

// tick adds the row of the second that has just ended.
func (r *run) tick() {
	var now reading
	r.read(&now)
	r.row(now)
}

// idleRow adds an empty row for a second in which this thread did not run.
// Messages that arrived in such a second count in the later second in which
// this thread reads them.
func (r *run) idleRow() {
	r.out.Seconds = append(r.out.Seconds, result.Second{T: len(r.out.Seconds), Warmup: r.last.at < r.from})
	start := time.Now()
	r.out.Histograms.Interval = append(r.out.Histograms.Interval, result.Interval{Start: start, Latency: result.NewHistogram()})
}

// row ends the current second at the reading now: it adds the row and its
// histogram to the result, and shows the progress.
func (r *run) row(now reading) {
	was := r.last
	if now.at-was.at < int64(10*time.Millisecond) && now.received == was.received {
		return
	}
	r.last = now
	spent := float64(r.last.at - was.at)
	times := r.interval.take()
	q := result.Summarize(times)
	row := result.Second{
		T: len(r.out.Seconds), Warmup: now.at <= r.from+int64(50*time.Millisecond), Sent: r.last.sent - was.sent, Delivered: r.last.received - was.received,
		P50: q.P50, P99: q.P99, Max: q.Max,
		ServerCPU: float64(r.last.serverCPU-was.serverCPU) / spent,
		ThreadCPU: float64(r.last.threadCPU-was.threadCPU) / spent,
	}
	for _, pid := range r.cfg.Pids {
		row.ServerRSS += rss(pid)
	}
	r.out.Seconds = append(r.out.Seconds, row)
	start := time.Now().Add(-time.Duration(r.e.Now() - was.at))
	r.out.Histograms.Interval = append(r.out.Histograms.Interval, result.Interval{Start: start, Latency: times})
	r.cfg.Progress.Show("%s: %d of %d s, %s/s sent, %s/s delivered, p99 %s, generator %.0f %%", r.s.Name, row.T+1,
		int((r.s.Warmup + r.s.Duration).Seconds()), cli.Count(row.Sent), cli.Count(row.Delivered),
		result.Micros(row.P99), 100*row.ThreadCPU)
}

// finish computes the figures of the result from the readings.
func (r *run) finish() error {
	o := r.out
	for _, i := range o.Histograms.Interval {
		o.Histograms.Latency.Merge(i.Latency) // the bounds are equal, so no value is dropped
	}
	o.Histograms.Latency.Merge(r.interval.histogram())
	o.Histograms.FromSend = r.fromSend.histogram()
	o.Histograms.First, o.Histograms.Last, o.Histograms.Lateness = r.first, r.lastOne, r.lateness
	o.Histograms.Connect, o.Histograms.Reconnect = r.connect, r.reconnect
	o.Proof = r.ledger.Verdict()
	if r.ends > 0 {
		o.Ended = cli.Count(r.ends) + " connections were ended by the server, the first: " + r.ended
	}
	o.Died = r.died()
	r.silent.result(o)
	r.slow.result(o)
	r.churn.result(r, o)
	r.restart.result(r, o)
	o.Summarize()
	if r.closed && r.refused > 0 {
		o.NotMeasured = append(o.NotMeasured, cli.Count(r.refused)+" messages of the closed loop could not be sent, and their senders stopped")
	}
	if r.exhausted {
		o.NotMeasured = append(o.NotMeasured, "a connection ran out of numbers for its messages: use more connections, or a shorter run")
	}
	a, b := r.begin, r.end
	seconds := max(float64(b.at-a.at)/1e9, 1e-9)
	delivered := b.received - a.received
	o.Connects = result.Connects{Tried: r.size, Failed: r.failures.count, Causes: r.failures.causes}
	other := int64(0)
	for _, n := range r.others {
		other += n
	}
	o.Traffic = result.Traffic{
		Conns: r.size - r.failures.count, MeasuredS: seconds, Due: r.due, Sent: r.now.sent, Refused: r.refused,
		SentRate: float64(b.sent-a.sent) / min(seconds, r.s.Duration.Seconds()), Delivered: delivered,
		DeliveredRate: float64(delivered) / seconds, Beats: b.beats - a.beats, Other: other, OtherKinds: r.others,
	}
	if reads := b.reads - a.reads; reads > 0 {
		o.Traffic.PerRead = float64(delivered) / float64(reads)
	}
	r.costs(seconds, delivered)
	return r.serverEnd()
}

func (r *run) costs(seconds float64, delivered int64) {
	a, b := r.begin, r.end
	if b.at-a.at < int64(time.Millisecond) {
		r.out.NotMeasured = append(r.out.NotMeasured, "the run ended before the measurement began")
		a = b
	}
	per := func(ns, n int64) float64 {
		if n == 0 {
			return 0
		}
		return float64(ns) / 1000 / float64(n)
	}
	g := &r.out.Generator
	g.ThreadCPU = float64(b.threadCPU-a.threadCPU) / 1e9 / seconds
	g.PerDelivery = per(b.threadCPU-a.threadCPU, delivered)
	g.RSS, g.Processes = rss(os.Getpid()), 1
	if ticks := b.ticks - a.ticks; ticks > 0 {
		g.Steal = float64(b.steal-a.steal) / float64(ticks)
	}
	g.PSI, g.Wait, g.Foreign, g.Pinned = -1, -1, -1, r.cfg.Pinned
	if a.pressure >= 0 && b.pressure >= 0 {
		g.PSI = float64(b.pressure-a.pressure) / 1e6 / seconds
	}
	if a.wait >= 0 && b.wait >= 0 {
		g.Wait = float64(b.wait-a.wait) / 1e9 / seconds
	}
	s := r.out.Server
	if s == nil {
		return
	}
	s.Wait = -1
	if a.serverWait >= 0 && b.serverWait >= 0 {
		s.Wait = float64(b.serverWait-a.serverWait) / 1e9 / seconds
	}
	if r.parts == 1 { // the CPU time of other generators is not known here
		known := (b.ownCPU - a.ownCPU) + (b.serverCPU - a.serverCPU) + (b.besideCPU - a.besideCPU)
		g.Foreign = max(0, float64((b.busy-a.busy)*int64(tick)-known)/1e9/seconds)
	}
	cpu := b.serverCPU - a.serverCPU
	s.CPUSeconds, s.CPUs = float64(cpu)/1e9, float64(cpu)/1e9/seconds
	s.CPUPerDelivery, s.CPUPerMessage = per(cpu, delivered), per(cpu, b.sent-a.sent)
	s.BesidePerMessage = per(b.besideCPU-a.besideCPU, b.sent-a.sent)
	// With fewer heartbeats the quotient would mostly show the cost of an idle
	// server.
	const enoughBeats = 200
	if b.sent == a.sent && b.beats-a.beats >= enoughBeats && r.s.Churn.PerSecond == 0 && r.s.Restart == 0 {
		s.CPUPerBeat = per(cpu, b.beats-a.beats)
	}
	s.Opened(r.before.rss, r.opened.rss, r.s.Conns)
	// With fewer connections the difference would come mostly from other
	// programs.
	const enough = 1000
	if r.s.Conns >= enough && r.before.slab > 0 {
		s.KernelPerConn = max(0, float64(r.opened.slab-r.before.slab)/float64(r.s.Conns))
	}
}

// serverEnd reads memory and other figures of the servers at the end of the
// run.
func (r *run) serverEnd() error {
	s := r.out.Server
	if s == nil || r.out.Died != "" {
		return nil
	}
	end, err := r.look("end")
	if err != nil {
		return err
	}
	s.PerCall = perCall(r.opened.counters, end.counters)
	s.RSSEnd, s.Settled = end.rss, r.s.Memory == scenario.MemorySettled && !r.unsettled
	s.BytesActive = float64(end.rss-r.before.rss) / float64(r.s.Conns)
	if s.Go = end.info; s.Go != nil && r.opened.info != nil && r.restart.killed == 0 {
		if end.collections > 0 {
			s.Go.Collections = end.collections
		}
		s.Go.Collections -= r.opened.info.Collections
	}
	for _, pid := range r.cfg.Pids {
		if p, err := probe.ReadProc(pid); err == nil {
			s.Threads += p.Threads
		}
	}
	s.Descriptors = end.descriptors
	growth(r, end)
	return nil
}

// growth computes how fast the RSS and the number of descriptors of the servers
// grew in the time measured, with the same connections. The growth of the RSS is
// the median of the slopes between all pairs of seconds (Theil and Sen), so that
// a garbage collection does not decide it.
func growth(r *run, end memory) {
	hours := float64(r.end.at-r.begin.at) / float64(time.Hour)
	if r.out.Traffic.MeasuredS < result.GrowthNeeds || r.restart.killed > 0 || r.s.Churn.PerSecond > 0 {
		return
	}
	var slopes []float64
	rows := slices.DeleteFunc(slices.Clone(r.out.Seconds), func(s result.Second) bool { return s.Warmup || s.ServerRSS == 0 })
	step := max(1, len(rows)/500)
	for i := 0; i < len(rows); i += step {
		for k := i + step; k < len(rows); k += step {
			slopes = append(slopes, float64(rows[k].ServerRSS-rows[i].ServerRSS)/float64(rows[k].T-rows[i].T)*3600)
		}
	}
	if len(slopes) > 0 {
		r.out.Server.Growth = &result.Growth{RSS: stats.Median(slopes), Descriptors: float64(end.descriptors-r.opened.descriptors) / hours}
	}
}

// perCall returns the average number of messages per call. before and after
// have two counters each: messages and calls. If the counters are not known,
// the result is 0.
func perCall(before, after []float64) float64 {
	if len(before) != 2 || len(after) != 2 || after[1] <= before[1] {
		return 0
	}
	return (after[0] - before[0]) / (after[1] - before[1])
}
