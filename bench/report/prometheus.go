package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"dotsconnect/bench/result"
)

// Prometheus writes the figures of a run in the text format of Prometheus, for
// the textfile collector of node_exporter or for a Pushgateway:
//
//	dotsbench_latency_seconds{scenario="rooms",quantile="0.99"} 0.000458
//
// Times are in seconds and sizes in bytes. Counts have the type gauge and not
// counter, because the next run counts from zero again.
func Prometheus(w io.Writer, r *result.Result) error {
	e := &exposition{scenario: r.Name}
	e.run(r)
	e.times(r)
	e.traffic(r)
	if r.Server != nil {
		e.server(r.Server)
	}
	g := r.Generator
	e.gauge("generator_thread_cpu_ratio", "Share of a CPU that the busiest thread of the generator took; above 0.85 the run is INVALID.", g.ThreadCPU)
	e.gauge("generator_steal_ratio", "Share of CPU time that other machines on this host took; above 0.01 the run is INVALID.", g.Steal)
	if g.PSI >= 0 {
		e.gauge("generator_cpu_pressure_ratio", "Share of the time in which at least one task waited for a CPU.", g.PSI)
	}
	e.events(r)
	_, err := io.WriteString(w, e.String())
	return err
}

// exposition builds the text of the metrics, which all have the label scenario.
type exposition struct {
	strings.Builder
	scenario string
}

func (e *exposition) head(name, kind, help string) {
	fmt.Fprintf(e, "# HELP dotsbench_%s %s\n# TYPE dotsbench_%s %s\n", name, help, name, kind)
}

// sample adds a sample. labels has the name and the value of each label in
// turn.
func (e *exposition) sample(name string, v float64, labels ...string) {
	fmt.Fprintf(e, "dotsbench_%s{scenario=\"%s\"", name, escape(e.scenario))
	for i := 0; i+1 < len(labels); i += 2 {
		fmt.Fprintf(e, ",%s=\"%s\"", labels[i], escape(labels[i+1]))
	}
	fmt.Fprintf(e, "} %s\n", strconv.FormatFloat(finite(v), 'g', -1, 64))
}

func (e *exposition) gauge(name, help string, v float64) {
	e.head(name, "gauge", help)
	e.sample(name, v)
}

// escape escapes the value of a label.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(strings.ToValidUTF8(s, "\uFFFD"))
}

func (e *exposition) run(r *result.Result) {
	e.head("run_info", "gauge", "The program, commit and machine of the run; always 1.")
	e.sample("run_info", 1, "program", r.Program, "commit", r.Machine.Commit, "seed", fmt.Sprint(r.Seed),
		"cpu", r.Machine.CPU, "kernel", r.Machine.Kernel)
	if t, err := time.Parse(time.RFC3339, r.Started); err == nil {
		e.gauge("run_started_timestamp_seconds", "Start time of the run.", float64(t.Unix()))
	}
	e.gauge("run_exit_code", "0 pass, 1 threshold missed, 3 run invalid, 4 delivery violation, 5 server died.", float64(r.Exit))
	e.gauge("run_valid", "1 if rates and latencies are valid: neither the generator nor the machine was the bottleneck.", one(valid(r)))
	if len(r.Thresholds) > 0 {
		e.head("threshold_met", "gauge", "1 if the threshold was met.")
		// If a threshold was given twice, write only one sample, because
		// Prometheus refuses duplicates.
		seen := map[string]bool{}
		for _, o := range r.Thresholds {
			if !seen[o.Threshold] {
				e.sample("threshold_met", one(o.Met), "threshold", o.Threshold)
			}
			seen[o.Threshold] = true
		}
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func (e *exposition) times(r *result.Result) {
	names := map[string]string{"first_receiver": "latency_first_receiver", "last_receiver": "latency_last_receiver",
		"lateness": "send_lateness", "kick": "kick_lateness"}
	for _, t := range r.Times() {
		if t.Of.Count == 0 {
			continue
		}
		name := cmp.Or(names[t.Key], t.Key) + "_seconds"
		e.head(name, "summary", t.Help)
		for _, q := range result.EachQuantile() {
			if q.Enough(t.Of) {
				e.sample(name, float64(q.Of(t.Of))/1e6, "quantile", strconv.FormatFloat(q.Share, 'g', -1, 64))
			}
		}
		e.sample(name+"_sum", t.Of.Mean*float64(t.Of.Count)/1e6)
		e.sample(name+"_count", float64(t.Of.Count))
	}
}

func (e *exposition) traffic(r *result.Result) {
	t := r.Traffic
	e.gauge("connections", "Connections that the run kept open.", float64(t.Conns))
	e.gauge("messages_due", "Messages of the schedule, including the warm-up.", float64(t.Due))
	e.gauge("messages_sent", "Messages of the schedule that were sent.", float64(t.Sent))
	e.gauge("messages_sent_per_second", "Messages sent per second during the measurement.", t.SentRate)
	e.gauge("deliveries", "Messages received during the measurement, at all receivers.", float64(t.Delivered))
	e.gauge("deliveries_per_second", "Messages received per second during the measurement, at all receivers.", t.DeliveredRate)
	e.gauge("deliveries_expected", "Expected deliveries to members that were connected during the whole run, including the warm-up.", float64(r.Proof.Expected))
	e.gauge("deliveries_received", "Actual deliveries to members that were connected during the whole run, including the warm-up.", float64(r.Proof.Received))
	c := r.Proof.Counts
	e.head("violations", "gauge", "Deliveries that were not exactly once and in order, by kind of violation.")
	for _, v := range []struct {
		kind string
		n    int64
	}{{"lost", c.Lost}, {"doubled", c.Doubled}, {"reordered", c.Reordered}, {"foreign", c.Foreign}, {"damaged", c.Damaged}} {
		e.sample("violations", float64(v.n), "kind", v.kind)
	}
}

func (e *exposition) server(s *result.Server) {
	e.gauge("server_cpu_seconds", "CPU time of the server during the measurement.", s.CPUSeconds)
	for _, m := range []struct {
		name, help string
		us         float64
	}{
		{"server_cpu_seconds_per_delivery", "CPU time of the server for one delivery.", s.CPUPerDelivery},
		{"server_cpu_seconds_per_message", "CPU time of the server for one message sent to it.", s.CPUPerMessage},
		{"server_cpu_seconds_per_heartbeat", "CPU time of the server for one heartbeat.", s.CPUPerBeat},
		{"server_cpu_seconds_per_connect", "CPU time of the server for one connect.", s.CPUPerConnect},
	} {
		if m.us > 0 {
			e.gauge(m.name, m.help, m.us/1e6)
		}
	}
	e.head("server_resident_memory_bytes", "gauge", "Resident memory of the server: before the first connection, with all connections open, and at the end of the run.")
	e.sample("server_resident_memory_bytes", float64(s.RSSBefore), "at", "before")
	e.sample("server_resident_memory_bytes", float64(s.RSSOpen), "at", "open")
	e.sample("server_resident_memory_bytes", float64(s.RSSEnd), "at", "end")
	e.head("server_bytes_per_connection", "gauge", "Memory for one connection: resident memory of the server, and memory of the kernel for both ends.")
	e.sample("server_bytes_per_connection", s.BytesPerConn, "part", "user")
	if s.KernelPerConn > 0 {
		e.sample("server_bytes_per_connection", s.KernelPerConn, "part", "kernel")
	}
	e.gauge("server_descriptors", "Open files of the server.", float64(s.Descriptors))
	e.gauge("server_threads", "Threads of the server.", float64(s.Threads))
}

// events adds the metrics that only some scenarios have: kicks, slow members,
// recovery.
func (e *exposition) events(r *result.Result) {
	if k := r.Kicks; k != nil {
		e.head("kicks", "gauge", "Silent connections by outcome; wrong: connections that sent heartbeats and were closed.")
		e.sample("kicks", float64(k.Kicked), "outcome", "kicked")
		e.sample("kicks", float64(k.Early), "outcome", "early")
		e.sample("kicks", float64(k.Missing), "outcome", "missing")
		e.sample("kicks", float64(k.Wrong), "outcome", "wrong")
		e.codes("kick_codes", "Silent connections that ended, by close code.", k.Codes)
	}
	if s := r.Slow; s != nil {
		e.gauge("slow_members", "Members that stopped reading.", float64(s.Members))
		e.gauge("slow_members_ended", "Members that stopped reading and that the server disconnected.", float64(s.Ended))
		e.codes("slow_member_codes", "Members that stopped reading and whose connection ended, by close code.", s.Codes)
	}
	if v := r.Recovery; v != nil {
		e.gauge("recovery_connections_back", "Connections that had reconnected after the server was killed.", float64(v.Back))
		e.head("recovery_seconds", "gauge", "Time from the kill until this share of the connections had reconnected; a share that never reconnected has no sample.")
		for _, at := range []struct {
			share string
			us    int64
		}{{"0.5", v.At50}, {"0.9", v.At90}, {"0.99", v.At99}, {"1", v.At100}} {
			if at.us > 0 {
				e.sample("recovery_seconds", float64(at.us)/1e6, "share", at.share)
			}
		}
	}
}

func (e *exposition) codes(name, help string, of map[string]int) {
	if len(of) == 0 {
		return
	}
	e.head(name, "gauge", help)
	for _, code := range slices.Sorted(maps.Keys(of)) {
		e.sample(name, float64(of[code]), "code", code)
	}
}
