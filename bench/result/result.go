// Package result is what a run found: its figures, whether they hold, and the
// files and tables that show them.
package result

import (
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/proof"
)

// Schema is the version of result.json. It grows when a field changes its
// meaning or goes; a field that is added does not count.
const Schema = 1

// Result is one run. Times are microseconds where their names do not say else.
type Result struct {
	Schema   int               `json:"schema"`
	Program  string            `json:"program"`
	Started  string            `json:"started"` // RFC 3339, UTC
	Name     string            `json:"name"`
	Scenario map[string]string `json:"scenario"` // every field, as a flag takes it
	Seed     uint64            `json:"seed"`
	RunID    uint32            `json:"run_id"`
	URL      string            `json:"url"`             // where the server was
	Flags    []string          `json:"flags,omitempty"` // beside those of the scenario and the thresholds, as they were typed
	Closed   bool              `json:"closed_loop"`
	Machine  Machine           `json:"machine"`

	Latency   Quantiles `json:"latency"`                // at all receivers, from the intended time
	First     Quantiles `json:"latency_first_receiver"` // one value a message; empty where rooms are split over processes
	Last      Quantiles `json:"latency_last_receiver"`
	Lateness  Quantiles `json:"send_lateness"`
	Connect   Quantiles `json:"connect"`
	Reconnect Quantiles `json:"reconnect"`     // from the end of a connection to the 101 of the one in its place
	Kick      Quantiles `json:"kick_lateness"` // closes for silence, counted from the moment they were due

	Traffic     Traffic    `json:"traffic"`
	Proof       Verdict    `json:"proof"`
	Server      *Server    `json:"server,omitempty"` // nil: its process is not known
	Generator   Generator  `json:"generator"`        // several processes: sums, and the worst share
	Kicks       *Kicks     `json:"kicks,omitempty"`
	Churn       *Churn     `json:"churn,omitempty"`
	Slow        *Slow      `json:"slow,omitempty"`
	Recovery    *Recovery  `json:"recovery,omitempty"`
	Phases      []Phase    `json:"phases,omitempty"` // of a run that does harm
	Seconds     []Second   `json:"seconds"`
	Plots       Plots      `json:"plots"` // what a report draws beside Seconds
	Thresholds  []Outcome  `json:"thresholds"`
	Invalid     []string   `json:"invalid"`                // why rates and latencies prove nothing
	Ended       string     `json:"ended,omitempty"`        // members that the server ended and should not have
	Broken      []string   `json:"broken"`                 // promises beside delivery that were broken, with who and when
	NotMeasured []string   `json:"not_measured,omitempty"` // why the generator could not see what it was to see
	Died        string     `json:"died,omitempty"`
	Exit        int        `json:"exit"`
	Histograms  Histograms `json:"-"`
}

// Verdict is that of the ledger.
type Verdict = proof.Verdict

// Traffic is what went over the wire.
type Traffic struct {
	Conns         int     `json:"connections"`
	MeasuredS     float64 `json:"measured_seconds"`
	Due           int64   `json:"messages_due"` // by the schedule, warm-up included
	Sent          int64   `json:"messages_sent"`
	Refused       int64   `json:"messages_refused"` // our backlog was full: the server did not read
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
	BesidePerMessage float64 `json:"beside_cpu_us_per_message,omitempty"` // of what it needs beside it, such as a Redis
	PerCall          float64 `json:"messages_per_call,omitempty"`         // to that, in the mean
	CPUPerBeat       float64 `json:"cpu_us_per_heartbeat"`                // only where heartbeats are all there is
	CPUs             float64 `json:"cpus"`                                // busy on average
	RSSBefore        int64   `json:"rss_before_bytes"`                    // before the first connection
	RSSOpen          int64   `json:"rss_open_bytes"`                      // all connections open, nothing sent
	RSSEnd           int64   `json:"rss_end_bytes"`
	Settled          bool    `json:"rss_settled"`                  // after collections, when it changed no more
	BytesActive      float64 `json:"rss_bytes_per_connection_end"` // end against before
	BytesPerConn     float64 `json:"rss_bytes_per_connection"`     // open against before
	KernelPerConn    float64 `json:"kernel_bytes_per_connection"`  // slab of both ends of a loopback connection; 0: not known
	CPUPerConnect    float64 `json:"cpu_us_per_connect"`
	Descriptors      int64   `json:"descriptors"`
	Threads          int64   `json:"threads"`
	Go               *Go     `json:"go,omitempty"` // from its debug pages, if --admin names them
}

// Go is the inside of a Go server over the time measured.
type Go struct {
	Collections int64 `json:"collections"`
	Goroutines  int64 `json:"goroutines"`
	HeapAlloc   int64 `json:"heap_alloc_bytes"`
	HeapInuse   int64 `json:"heap_inuse_bytes"`
	StackInuse  int64 `json:"stack_inuse_bytes"`
}

// Kicks is how a server ended connections that showed no sign of life.
type Kicks struct {
	Silent  int            `json:"silent_connections"`
	Kicked  int            `json:"kicked"`
	Early   int            `json:"early"`          // ended before they were due: a violation
	Missing int            `json:"missing"`        // not ended when the run did
	Wrong   int            `json:"wrongly_closed"` // connections that did beat, and were ended
	Codes   map[string]int `json:"codes"`          // how they ended, with the number of each
}

// Churn is what the connections that come and go beside the members did.
type Churn struct {
	Opened int64   `json:"opened"`
	Cut    int64   `json:"cut"` // reset before the handshake was done
	Failed int64   `json:"failed"`
	Sent   int64   `json:"messages_sent"`
	Seen   int64   `json:"messages_seen"` // by all members of the room; the others by none
	Rate   float64 `json:"per_second"`
}

// Slow is what became of the members that stopped to read.
type Slow struct {
	Members int            `json:"members"`
	Ended   int            `json:"ended_by_server"`
	Codes   map[string]int `json:"codes"`
}

// Recovery is how fast connections were back after their server was killed.
type Recovery struct {
	Conns  int   `json:"connections"`
	Back   int   `json:"back"`
	At50   int64 `json:"back_50_us"` // from the kill; 0: never
	At90   int64 `json:"back_90_us"`
	At99   int64 `json:"back_99_us"`
	At100  int64 `json:"back_100_us"`
	Server int64 `json:"server_accepts_us"` // from the kill until the new server accepted
}

// Phase is a time of a run that does harm, and the latency of what was due in it.
type Phase struct {
	Name    string    `json:"name"` // one of PhaseNames
	From    float64   `json:"from_s"`
	To      float64   `json:"to_s"`
	Latency Quantiles `json:"latency"`
}

// PhaseCount is how many phases there are.
const PhaseCount = 4

// PhaseNames are their names, in order.
func PhaseNames() [PhaseCount]string { return [...]string{"before", "grace", "hurt", "healed"} }

// Plots are curves that cannot be drawn from the quantiles alone.
type Plots struct {
	Latency []Point `json:"latency_percentiles"`
	Kick    []Point `json:"kick_lateness_counts"` // X: upper bound in us, Y: how many
}

// Point is one point of a plot: X a percentile and Y microseconds, if not said else.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// Generator is this process and its machine during the time measured.
type Generator struct {
	ThreadCPU    float64 `json:"thread_cpu_share"` // 1: the thread was never idle
	PerDelivery  float64 `json:"cpu_us_per_delivery"`
	RSS          int64   `json:"rss_bytes"`
	BytesPerConn float64 `json:"rss_bytes_per_connection"`
	Processes    int     `json:"processes"`
	Steal        float64 `json:"steal_share"`
	PSI          float64 `json:"cpu_pressure_share"` // -1: the kernel does not say
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

// The rules by which a run is invalid.
const (
	maxThreadCPU = 0.85
	maxSteal     = 0.01
	minSent      = 0.99
	minLateUs    = 1000
)

// Judge fills in Invalid, Thresholds and Exit, which follow from the figures.
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
		// A server that ends a connection has not delivered what came after, and a
		// busy machine is no reason to.
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
			because("sends were late: p99 %s, and at most %s may be (1 ms or a tenth of the median latency)",
				Micros(r.Lateness.P99), Micros(limit))
		}
	}
	if t := r.Traffic; !r.Closed && float64(t.Sent) < minSent*float64(t.Due) {
		because("only %s of %s messages of the schedule were sent (%.1f %%), and 99 %% are needed",
			cli.Count(t.Sent), cli.Count(t.Due), 100*float64(t.Sent)/float64(t.Due))
	}
	reasons = append(reasons, r.NotMeasured...)
	if cpu := r.Generator.ThreadCPU; cpu > maxThreadCPU {
		because("the generator's thread was busy for %.0f %% of the time, and more than 85 %% measures the generator", 100*cpu)
	}
	if s := r.Generator.Steal; s > maxSteal {
		because("other machines on this host took %.1f %% of the CPU time (steal), and 1 %% is too much", 100*s)
	}
	return reasons
}
