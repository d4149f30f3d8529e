// Package result has the outcome of a run: its figures, the judgment whether they are valid, and
// the files and tables that show them.
package result

import "dotsconnect/bench/proof"

// Schema is the version of result.json. It grows when a field is removed or changes its meaning,
// but not when a field is added.
const Schema = 1

// Result is the outcome of one run. Times are in microseconds unless their
// names say otherwise.
type Result struct {
	Schema   int               `json:"schema"`
	Program  string            `json:"program"`
	Started  string            `json:"started"` // RFC 3339, UTC
	Name     string            `json:"name"`
	Scenario map[string]string `json:"scenario"` // all fields of the scenario, as texts that its flags accept
	Seed     uint64            `json:"seed"`
	RunID    uint32            `json:"run_id"`
	URL      string            `json:"url"`             // URL of the server; several URLs are separated by commas
	Flags    []string          `json:"flags,omitempty"` // the command line's flags, except those for the scenario and the thresholds
	Closed   bool              `json:"closed_loop"`
	Machine  Machine           `json:"machine"`

	Latency   Quantiles `json:"latency"`                // time from the moment when a message was due until it arrived at a receiver; all receivers count
	FromSend  Quantiles `json:"latency_from_send"`      // time from the moment when a message was really sent; without messages of other processes
	First     Quantiles `json:"latency_first_receiver"` // one value per message; empty if members of a room were in several processes
	Last      Quantiles `json:"latency_last_receiver"`
	Lateness  Quantiles `json:"send_lateness"`
	Connect   Quantiles `json:"connect"`
	Reconnect Quantiles `json:"reconnect"`     // time from the end of a member's connection to the 101 of the member's next connection
	Kick      Quantiles `json:"kick_lateness"` // how late the server kicked silent members

	Traffic     Traffic    `json:"traffic"`
	Connects    Connects   `json:"connects"`
	Proof       Verdict    `json:"proof"`
	Server      *Server    `json:"server,omitempty"` // nil if the server's process id is not known
	Generator   Generator  `json:"generator"`        // with several processes: the sum of their memory, and the largest value of each share
	Kicks       *Kicks     `json:"kicks,omitempty"`
	Churn       *Churn     `json:"churn,omitempty"`
	Slow        *Slow      `json:"slow,omitempty"`
	Recovery    *Recovery  `json:"recovery,omitempty"`
	Phases      []Phase    `json:"phases,omitempty"` // only if the run makes a fault
	Seconds     []Second   `json:"seconds"`
	Plots       Plots      `json:"plots"` // curves for the report that do not follow from Seconds
	Thresholds  []Outcome  `json:"thresholds"`
	Invalid     []string   `json:"invalid"`                // reasons why the rates and latencies of this run do not count
	Busy        string     `json:"busy,omitempty"`         // reason why the server's CPU time does not count either
	NotJudged   []string   `json:"not_judged,omitempty"`   // conditions of a valid run that cannot be checked on this machine
	Ended       string     `json:"ended,omitempty"`        // text with the number of members that the server wrongly disconnected, and the first of these members
	Broken      []string   `json:"broken"`                 // violations that are not about messages, each with the member
	NotMeasured []string   `json:"not_measured,omitempty"` // what the generator could not measure, and why
	Died        string     `json:"died,omitempty"`
	Exit        int        `json:"exit"`
	Histograms  Histograms `json:"-"`
	InvalidOK   bool       `json:"-"` // see Judge
}

// Verdict is the judgment of package proof about all deliveries of a run.
type Verdict = proof.Verdict

// Traffic counts messages and deliveries.
type Traffic struct {
	Conns         int     `json:"connections"`
	MeasuredS     float64 `json:"measured_seconds"`
	Due           int64   `json:"messages_due"` // messages that the schedule has, including the warm-up
	Sent          int64   `json:"messages_sent"`
	Refused       int64   `json:"messages_refused"` // messages that could not be sent, mostly because the server did not read
	SentRate      float64 `json:"messages_per_second"`
	Delivered     int64   `json:"deliveries"` // deliveries in the time measured
	DeliveredRate float64 `json:"deliveries_per_second"`
	Beats         int64   `json:"heartbeats"`
	PerRead       float64 `json:"deliveries_per_read"`
	Other         int64   `json:"messages_without_stamp"`

	OtherKinds map[string]int64 `json:"messages_without_stamp_by_kind,omitempty"`
}

// Connects counts the connections that were opened at the start of the run.
type Connects struct {
	Tried  int            `json:"tried"`
	Failed int            `json:"failed"`
	Causes map[string]int `json:"causes,omitempty"`
}

// Server has figures of the server's process, or the sums of several servers.
type Server struct {
	Pid              int     `json:"pid"`
	CPUSeconds       float64 `json:"cpu_seconds"`
	CPUPerDelivery   float64 `json:"cpu_us_per_delivery"`
	CPUPerMessage    float64 `json:"cpu_us_per_message"`
	BesidePerMessage float64 `json:"beside_cpu_us_per_message,omitempty"` // CPU time of the program that the server needs, such as Redis
	PerCall          float64 `json:"messages_per_call,omitempty"`         // average number of messages per call of that program
	CPUPerBeat       float64 `json:"cpu_us_per_heartbeat"`                // set only if the run has heartbeats and no messages
	CPUs             float64 `json:"cpus"`                                // average number of busy CPUs
	RSSBefore        int64   `json:"rss_before_bytes"`                    // RSS before the first connection
	RSSOpen          int64   `json:"rss_open_bytes"`                      // RSS when all connections are open and nothing has been sent
	RSSEnd           int64   `json:"rss_end_bytes"`
	Settled          bool    `json:"rss_settled"`                  // each RSS was read after garbage collections, when it no longer changed
	BytesActive      float64 `json:"rss_bytes_per_connection_end"` // growth of the RSS from before the first connection to the end
	BytesPerConn     float64 `json:"rss_bytes_per_connection"`     // growth of the RSS while the connections were opened
	KernelPerConn    float64 `json:"kernel_bytes_per_connection"`  // kernel objects for both ends of a loopback connection; 0: not known
	CPUPerConnect    float64 `json:"cpu_us_per_connect"`
	Wait             float64 `json:"cpu_wait_share"`      // time that all threads together waited for a CPU, divided by the time measured; -1: not known
	NotFresh         string  `json:"not_fresh,omitempty"` // reason why memory per connection may be too small: the server was used before
	Growth           *Growth `json:"growth,omitempty"`    // nil: the run was too short
	Descriptors      int64   `json:"descriptors"`
	Threads          int64   `json:"threads"`
	Go               *Go     `json:"go,omitempty"` // figures from the server's debug pages, if --admin names their address
}

// Growth says how fast the server's memory and descriptors grew while the
// connections stayed the same. A server that leaks grows without end.
type Growth struct {
	RSS         float64 `json:"rss_bytes_per_hour"`
	Descriptors float64 `json:"descriptors_per_hour"`
}

// GrowthNeeds is the shortest time measured, in seconds, from which a growth is
// computed. In a shorter time a single allocation would look like a leak.
const GrowthNeeds = 60

// Go has figures of the Go runtime of the server, read at the end of the run.
// Collections counts from when all connections were open.
type Go struct {
	Collections int64 `json:"collections"`
	Goroutines  int64 `json:"goroutines"`
	HeapAlloc   int64 `json:"heap_alloc_bytes"`
	HeapInuse   int64 `json:"heap_inuse_bytes"`
	StackInuse  int64 `json:"stack_inuse_bytes"`
}

// Kicks says how the server closed the connections of silent members, which
// send no heartbeats.
type Kicks struct {
	Silent  int            `json:"silent_connections"`
	Kicked  int            `json:"kicked"`
	Early   int            `json:"early"`          // silent connections that were closed too early: a violation
	Missing int            `json:"missing"`        // silent connections that were still open when they should have been closed: a violation
	Wrong   int            `json:"wrongly_closed"` // connections with heartbeats that were closed: a violation
	Codes   map[string]int `json:"codes"`          // number of kicks for each pair of close code and reason
}

// Churn counts guests: connections that are opened and reset while the members
// run.
type Churn struct {
	Opened int64   `json:"opened"`
	Cut    int64   `json:"cut"` // guests that reset before the end of the handshake
	Failed int64   `json:"failed"`
	Sent   int64   `json:"messages_sent"`
	Seen   int64   `json:"messages_seen"` // messages of guests that arrived at members; no member got the other messages of guests
	Rate   float64 `json:"per_second"`
}

// Slow counts the members that stopped reading, and how the server disconnected
// them.
type Slow struct {
	Members int            `json:"members"`
	Ended   int            `json:"ended_by_server"`
	Codes   map[string]int `json:"codes"`
}

// Recovery says how fast members came back after their server was killed.
type Recovery struct {
	Conns  int   `json:"connections"`
	Back   int   `json:"back"`
	At50   int64 `json:"back_50_us"` // from the kill until 50 % were back; 0: 50 % were never back
	At90   int64 `json:"back_90_us"`
	At99   int64 `json:"back_99_us"`
	At100  int64 `json:"back_100_us"`
	Server int64 `json:"server_accepts_us"` // time from the kill until the new server accepted connections; 0: it never did
}

// Phase is a part of a run that makes a fault. Latency is the latency of the
// messages that were due in this part.
type Phase struct {
	Name    string    `json:"name"` // one of PhaseNames
	From    float64   `json:"from_s"`
	To      float64   `json:"to_s"`
	Latency Quantiles `json:"latency"`
}

// PhaseCount is the number of phases.
const PhaseCount = 4

// PhaseNames returns the names of the phases, in their order in time.
func PhaseNames() [PhaseCount]string { return [...]string{"before", "grace", "hurt", "healed"} }

// Plots are the curves for which the quantiles do not suffice.
type Plots struct {
	Latency []Point `json:"latency_percentiles"`
	Kick    []Point `json:"kick_lateness_counts"` // X: upper bound of a bar in us, Y: count
}

// Point is one point of a curve. X is a percentile and Y is in microseconds,
// unless stated otherwise.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// Generator has figures of dotsbench itself and of its machine in the time
// measured.
type Generator struct {
	ThreadCPU    float64 `json:"thread_cpu_share"` // 1: the thread was never idle
	PerDelivery  float64 `json:"cpu_us_per_delivery"`
	RSS          int64   `json:"rss_bytes"`
	BytesPerConn float64 `json:"rss_bytes_per_connection"`
	Processes    int     `json:"processes"`
	Steal        float64 `json:"steal_share"`
	Wait         float64 `json:"cpu_wait_share"`     // share of the time in which the generator's thread waited for a CPU; -1: not known
	Foreign      float64 `json:"foreign_cpus"`       // CPUs that other programs used; -1: not known
	Pinned       bool    `json:"pinned"`             // the server had CPUs of its own
	PSI          float64 `json:"cpu_pressure_share"` // share of the time in which a task waited for a CPU; -1: the kernel does not report it
}

// Second has the figures of one second of the run.
type Second struct {
	T         int     `json:"t"` // seconds since the start of the schedule
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
