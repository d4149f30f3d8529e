package report

import (
	"fmt"

	"dotsconnect/bench/result"
)

// Each of these functions returns the caption of a plot: what the plot shows,
// and the most important numbers of this run.

func latencyCaption(r *result.Result) string {
	text := "Latency of each second at all receivers, from the time at which a message was due."
	worst := result.Second{T: -1}
	for _, s := range r.Seconds {
		if s.P99 > worst.P99 {
			worst = s
		}
	}
	if worst.T >= 0 && len(r.Seconds) > 2 {
		text += fmt.Sprintf(" The worst second was %s: p99 %s, max %s.", count(worst.T),
			duration(float64(worst.P99)), duration(float64(worst.Max)))
	}
	// The wide plot combines the fewest seconds into a row. If the wide plot
	// combines several seconds, the other sizes combine several too.
	if t := newTimeline(r, wide); t.each > 1 {
		text += fmt.Sprintf(" Each point is the worst of at least %d seconds.", t.each)
	}
	return text
}

func percentileCaption(r *result.Result) string {
	text := "A point at 99\u00a0% and 5\u00a0ms means that 99\u00a0% of all deliveries took at most 5\u00a0ms."
	if r.Lateness.Count > 0 && !r.Closed {
		text += " Send lateness is the delay that the generator itself added."
	}
	if len(r.Plots.Latency) == 0 {
		text += " The line goes through p50, p90, p99, p99.9 and max."
	}
	return text
}

func resourcesCaption(r *result.Result) string {
	text := fmt.Sprintf("The busiest thread of the generator took %s of a CPU", percent(r.Generator.ThreadCPU))
	if s := r.Server; s != nil {
		text = fmt.Sprintf("The server took %s of a CPU, the busiest thread of the generator %s", percent(s.CPUs), percent(r.Generator.ThreadCPU))
		if s.CPUPerDelivery > 0 {
			text += fmt.Sprintf("; a delivery cost the server %s of CPU", duration(s.CPUPerDelivery))
		}
	}
	return text + "."
}

func trafficCaption(r *result.Result) string {
	t := r.Traffic
	text := fmt.Sprintf("%s of %s due messages were sent", count(t.Sent), count(t.Due))
	if t.SentRate > 0 && t.DeliveredRate > 0 {
		text += fmt.Sprintf("; each was delivered %s times on average", digits(t.DeliveredRate/t.SentRate, 3))
	}
	return text + "."
}

func kickCaption(r *result.Result) string {
	text := "Times at which the server closed silent connections, relative to the times at which it was due to close them."
	if k := r.Kicks; k != nil {
		text += fmt.Sprintf(" Of %s silent connections %s were kicked; %s were closed early, %s not at all, and %s others were closed although they sent heartbeats.",
			count(k.Silent), count(k.Kicked), count(k.Early), count(k.Missing), count(k.Wrong))
	}
	return text
}

func recoveryCaption(r *result.Result) string {
	v := r.Recovery
	if v == nil {
		return ""
	}
	return fmt.Sprintf("The server was killed with %s open; %s came back.", several(v.Conns, "connection", "connections"), count(v.Back))
}
