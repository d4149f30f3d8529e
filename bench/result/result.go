// Package result is the outcome of a run: its figures, whether they are valid, and the files and
// tables that show them.
package result

import (
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/proof"
)

// Schema is the version of result.json. It grows when a field changes its meaning or is removed,
// but not when one is added.
const Schema = 1

// Result is one run. Times are in microseconds unless their names say otherwise.
type Result struct {
	Schema   int               `json:"schema"`
	Program  string            `json:"program"`
	Started  string            `json:"started"` // RFC 3339, UTC
	Name     string            `json:"name"`
	Scenario map[string]string `json:"scenario"` // every field, as given to a flag
	Seed     uint64            `json:"seed"`
	RunID    uint32            `json:"run_id"`
	URL      string            `json:"url"`             // where the server was
	Flags    []string          `json:"flags,omitempty"` // flags as they were given, without those for the scenario and the thresholds
	Closed   bool              `json:"closed_loop"`
	Machine  Machine           `json:"machine"`

	Latency   Quantiles `json:"latency"`                // at all receivers, from the intended time
	First     Quantiles `json:"latency_first_receiver"` // one value a message; empty where rooms are split over processes
	Last      Quantiles `json:"latency_last_receiver"`
	Lateness  Quantiles `json:"send_lateness"`
	Connect   Quantiles `json:"connect"`
	Reconnect Quantiles `json:"reconnect"`     // from the end of a connection to the 101 of its successor
	Kick      Quantiles `json:"kick_lateness"` // of closes for silence, from the time when they were due

	Traffic     Traffic    `json:"traffic"`
	Proof       Verdict    `json:"proof"`
	Server      *Server    `json:"server,omitempty"` // nil: its process is not known
	Generator   Generator  `json:"generator"`        // with several processes: sums, and the worst share
	Kicks       *Kicks     `json:"kicks,omitempty"`
	Churn       *Churn     `json:"churn,omitempty"`
	Slow        *Slow      `json:"slow,omitempty"`
	Recovery    *Recovery  `json:"recovery,omitempty"`
	Phases      []Phase    `json:"phases,omitempty"` // of a run that makes a fault
	Seconds     []Second   `json:"seconds"`
	Plots       Plots      `json:"plots"` // curves of a report, in addition to Seconds
	Thresholds  []Outcome  `json:"thresholds"`
	Invalid     []string   `json:"invalid"`                // why rates and latencies prove nothing
	Ended       string     `json:"ended,omitempty"`        // members that the server wrongly disconnected
	Broken      []string   `json:"broken"`                 // broken promises other than about delivery, with the member and the time
	NotMeasured []string   `json:"not_measured,omitempty"` // measurements that the generator could not make, with the reason
	Died        string     `json:"died,omitempty"`
	Exit        int        `json:"exit"`
	Histograms  Histograms `json:"-"`
}

// Verdict is that of the ledger.
type Verdict = proof.Verdict

// Traffic has the counts of messages and deliveries.
type Traffic struct {
	Conns         int     `json:"connections"`
	MeasuredS     float64 `json:"measured_seconds"`
	Due           int64   `json:"messages_due"` // by the schedule, warm-up included
	Sent          int64   `json:"messages_sent"`
	Refused       int64   `json:"messages_refused"` // our send backlog was full because the server did not read
	SentRate      float64 `json:"messages_per_second"`
	Delivered     int64   `json:"deliveries"` // within the time measured
	DeliveredRate float64 `json:"deliveries_per_second"`
	Beats         int64   `json:"heartbeats"`
	PerRead       float64 `json:"deliveries_per_read"`
	Other         int64   `json:"messages_without_stamp"`
}

// Server is the process of the server.
type Server struct {
	Pid              int     `json:"pid"`
	CPUSeconds       float64 `json:"cpu_seconds"`
	CPUPerDelivery   float64 `json:"cpu_us_per_delivery"`
	CPUPerMessage    float64 `json:"cpu_us_per_message"`
	BesidePerMessage float64 `json:"beside_cpu_us_per_message,omitempty"` // CPU of the program beside the server, such as Redis
	PerCall          float64 `json:"messages_per_call,omitempty"`         // messages per call to that program, on average
	CPUPerBeat       float64 `json:"cpu_us_per_heartbeat"`                // only if the run has heartbeats and no messages
	CPUs             float64 `json:"cpus"`                                // busy on average
	RSSBefore        int64   `json:"rss_before_bytes"`                    // before the first connection
	RSSOpen          int64   `json:"rss_open_bytes"`                      // all connections open, nothing sent
	RSSEnd           int64   `json:"rss_end_bytes"`
	Settled          bool    `json:"rss_settled"`                  // RSS was read after garbage collections, when it no longer changed
	BytesActive      float64 `json:"rss_bytes_per_connection_end"` // growth from before to the end
	BytesPerConn     float64 `json:"rss_bytes_per_connection"`     // growth from before to open
	KernelPerConn    float64 `json:"kernel_bytes_per_connection"`  // slab for both ends of a loopback connection; 0: not known
	CPUPerConnect    float64 `json:"cpu_us_per_connect"`
	Descriptors      int64   `json:"descriptors"`
	Threads          int64   `json:"threads"`
	Go               *Go     `json:"go,omitempty"` // from its debug pages, if --admin names them
}

// Go has figures of the runtime of a Go server over the time measured.
type Go struct {
	Collections int64 `json:"collections"`
	Goroutines  int64 `json:"goroutines"`
	HeapAlloc   int64 `json:"heap_alloc_bytes"`
	HeapInuse   int64 `json:"heap_inuse_bytes"`
	StackInuse  int64 `json:"stack_inuse_bytes"`
}

// Kicks is how a server closed connections that showed no sign of life.
type Kicks struct {
	Silent  int            `json:"silent_connections"`
	Kicked  int            `json:"kicked"`
	Early   int            `json:"early"`          // closed before they were due: a violation
	Missing int            `json:"missing"`        // still open at the end of the run
	Wrong   int            `json:"wrongly_closed"` // connections that sent heartbeats and were closed
	Codes   map[string]int `json:"codes"`          // how they ended, with the number of each
}

// Churn has the counts of the guests: connections that are opened and reset while the members run.
type Churn struct {
	Opened int64   `json:"opened"`
	Cut    int64   `json:"cut"` // reset before the handshake was done
	Failed int64   `json:"failed"`
	Sent   int64   `json:"messages_sent"`
	Seen   int64   `json:"messages_seen"` // by all members of the room; no member saw the others
	Rate   float64 `json:"per_second"`
}

// Slow has the outcome of the members that stopped reading.
type Slow struct {
	Members int            `json:"members"`
	Ended   int            `json:"ended_by_server"`
	Codes   map[string]int `json:"codes"`
}

// Recovery is how fast connections came back after their server was killed.
type Recovery struct {
	Conns  int   `json:"connections"`
	Back   int   `json:"back"`
	At50   int64 `json:"back_50_us"` // from the kill; 0: never
	At90   int64 `json:"back_90_us"`
	At99   int64 `json:"back_99_us"`
	At100  int64 `json:"back_100_us"`
	Server int64 `json:"server_accepts_us"` // from the kill until the new server accepted
}

// Phase is a part of a run that makes a fault, and the latency of the messages that were due in it.
type Phase struct {
	Name    string    `json:"name"` // one of PhaseNames
	From    float64   `json:"from_s"`
	To      float64   `json:"to_s"`
	Latency Quantiles `json:"latency"`
}

// PhaseCount is how many phases there are.
const PhaseCount = 4

// PhaseNames are the names of the phases, in order.
func PhaseNames() [PhaseCount]string { return [...]string{"before", "grace", "hurt", "healed"} }

// Plots are curves that cannot be drawn from the quantiles alone.
type Plots struct {
	Latency []Point `json:"latency_percentiles"`
	Kick    []Point `json:"kick_lateness_counts"` // X: upper bound in us, Y: count
}

// Point is one point of a plot: X is a percentile and Y microseconds, unless stated otherwise.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// Generator has figures of this process and its machine during the time measured.
type Generator struct {
	ThreadCPU    float64 `json:"thread_cpu_share"` // 1: the thread was never idle
	PerDelivery  float64 `json:"cpu_us_per_delivery"`
	RSS          int64   `json:"rss_bytes"`
	BytesPerConn float64 `json:"rss_bytes_per_connection"`
	Processes    int     `json:"processes"`
	Steal        float64 `json:"steal_share"`
	PSI          float64 `json:"cpu_pressure_share"` // -1: the kernel does not report it
}

// Second is a row of the table over time.
type Second struct {
	T         int     `json:"t"` // seconds since the first intended time
	Warmup    bool    `json:"warmup"`
	Sent      int64   `json:"sent"`
	Delivered int64   `json:"delivered"`
	P50       int64   `json:"p50_us"`
	P99       int64   `json:"p99_us"`
	Max       int64   `json:"max_us"`
	ServerCPU float64 `json:"server_cpus"`
	ServerRSS int64   `json:"server_rss_bytes"`
	ThreadCPU float64 `json:"generator_thread_cpu_share"`
}

// The rules by which a run is INVALID.
const (
	maxThreadCPU = 0.85
	maxSteal     = 0.01
	minSent      = 0.99
	minLateUs    = 1000
)

// Judge sets Invalid, Thresholds and Exit from the figures.
func (r *Result) Judge(thresholds []Threshold) {
	r.Invalid = r.invalid()
	r.Thresholds = []Outcome{}
	missed := false
	for _, t := range thresholds {
		o := t.check(r)
		missed = missed || !o.Met
		r.Thresholds = append(r.Thresholds, o)
	}
	switch {
	case r.Died != "":
		r.Exit = cli.ServerDied
	case r.Proof.Sum() > 0 || len(r.Broken) > 0:
		r.Exit = cli.Violated
	case r.Ended != "":
		// After a server has ended a connection it does not deliver to it, and a busy machine does
		// not excuse that.
		r.Exit = cli.Violated
	case len(r.Invalid) > 0:
		r.Exit = cli.Invalid
	case missed:
		r.Exit = cli.Missed
	default:
		r.Exit = cli.OK
	}
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
	return reasons
}
