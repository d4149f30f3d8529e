package server

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

// Metrics are read when somebody asks: a scrape takes what each loop has published at the end of its last turn and turns it
// into samples. So the loops know nothing of Prometheus, and nobody's scraping costs them more than a mutex a turn.
//
// The number of series depends on the number of loops and on nothing else. No label holds a room, an address or anything
// that a client can choose; each reason, code and status has its series from the start, at 0, so that a rate over its
// first event is right.
//
// The counters of the ledger, summed over all loops, keep its rule: dots_expected_frames_total is dots_frames_total plus
// all of dots_dropped_total plus what is on its way.

// A Metric is one row of the table of metrics.
type Metric struct {
	Name   string
	Type   string // "counter" or "gauge"
	Labels []string
	Help   string
}

// Metrics lists everything that /metrics has about dotsconnect. The Go runtime and the process are described by their own
// metrics, which begin with go_ and process_.
func Metrics() []Metric {
	rows := metricRows()
	table := make([]Metric, len(rows))
	for i := range rows {
		table[i] = rows[i].Metric
	}
	return table
}

// MetricsMarkdown is the table of all metrics in METRICS.md.
func MetricsMarkdown() string {
	var b strings.Builder
	b.WriteString("| metric | type | labels | what it says |\n|---|---|---|---|\n")
	for _, m := range Metrics() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, strings.Join(m.Labels, ", "), strings.ReplaceAll(m.Help, "|", `\|`))
	}
	return b.String()
}

// metricRow is a metric with how its samples are made.
type metricRow struct {
	Metric
	read func(s scrape, emit emit)
}

// scrape is what the samples are made of.
type scrape struct {
	srv     *Server
	loops   []loop.Stats
	backend BackendStats
}

// emit takes one sample, with the values of the labels in their order.
type emit func(value float64, labels ...string)

func metricRows() []metricRow {
	return slices.Concat(connectionMetrics(), messageMetrics(), pressureMetrics(), backendMetrics(), nodeMetrics())
}

func connectionMetrics() []metricRow {
	return []metricRow{
		gauge("dots_connections", "Connections now, those in their handshake included.", perLoop(func(s *loop.Stats) float64 { return float64(s.Conns) }), "loop"),
		gauge("dots_connections_max", "How many connections this process can hold.", node(func(s *Server) float64 { n, _ := s.MaxConnections(); return float64(n) })),
		gauge("dots_rooms", "Rooms with members on this node.", node(func(s *Server) float64 { return float64(s.node.Directory().Rooms()) })),
		counter("dots_accepted_total", "TCP connections accepted.", node(func(s *Server) float64 { return float64(s.counts.accepted.Load()) })),
		counter("dots_accept_errors_total", "Failures to accept one, mostly for want of file descriptors.", node(func(s *Server) float64 { return float64(s.counts.acceptErrs.Load()) })),
		counter("dots_connections_refused_total", "Connections refused because there was no place for another.", node(func(s *Server) float64 { return float64(s.counts.full.Load()) })),
		counter("dots_admin_connections_cut_total", "Idle or unfinished connections of the admin address closed to make place for others.", node(func(s *Server) float64 { return float64(s.counts.adminCut.Load()) })),
		counter("dots_upgraded_total", "Handshakes that made a WebSocket.", node(func(s *Server) float64 { return float64(s.counts.upgraded.Load()) })),
		counter("dots_handshakes_refused_total", "Requests refused, by HTTP status.", refusals, "status"),
		counter("dots_http_requests_total", "Plain HTTP requests answered on the address for clients.", node(func(s *Server) float64 { return float64(s.counts.pages.Load()) })),
		counter("dots_closes_total", "Connections ended with a close code, by the code; who is found slow while ending counts twice.", closes, "code", "name"),
		counter("dots_ended_total", "Connections ended, by reason.", byReason(func(s *loop.Stats) *[loop.NumReasons]uint64 { return &s.Ended }), "reason"),
	}
}

func messageMetrics() []metricRow {
	return []metricRow{
		counter("dots_messages_accepted_total", "Messages accepted from clients.", sum(func(s *loop.Stats) uint64 { return s.Accepted })),
		counter("dots_publications_total", "Publications taken from the bus, once for each loop with members.", sum(func(s *loop.Stats) uint64 { return s.Appended })),
		counter("dots_expected_frames_total", "Frames owed: one for each publication and member.", sum(func(s *loop.Stats) uint64 { return s.Expected })),
		counter("dots_frames_total", "Frames delivered: taken whole by the kernel.", sum(func(s *loop.Stats) uint64 { return s.Delivered })),
		counter("dots_dropped_total", "Frames not delivered, by the reason for which their member left.", byReason(func(s *loop.Stats) *[loop.NumReasons]uint64 { return &s.Dropped }), "reason"),
		counter("dots_heartbeats_total", "Heartbeats received.", node(func(s *Server) float64 { return float64(s.counts.heartbeats.Load()) })),
		counter("dots_writes_total", "Writes that delivered frames; frames per write is what batching gains.", sum(func(s *loop.Stats) uint64 { return s.Writes })),
		counter("dots_written_bytes_total", "Bytes that these writes sent.", sum(func(s *loop.Stats) uint64 { return s.WrittenBytes })),
		counter("dots_read_bytes_total", "Bytes read from clients.", sum(func(s *loop.Stats) uint64 { return s.ReadBytes })),
	}
}

func pressureMetrics() []metricRow {
	return []metricRow{
		counter("dots_lags_total", "Times that a member could not take everything at once.", sum(func(s *loop.Stats) uint64 { return s.Lags })),
		counter("dots_stalls_total", "Times that slow members slowed the publishers of their room down.", sum(func(s *loop.Stats) uint64 { return s.Stalls })),
		counter("dots_pauses_total", "Times that a client was read no further because of back-pressure.", sum(func(s *loop.Stats) uint64 { return s.Pauses })),
		gauge("dots_lagging_connections", "Members with a backlog now.", sum(func(s *loop.Stats) uint64 { return uint64(s.LaggingConns) })),
		gauge("dots_paused_connections", "Clients that are not read now because of back-pressure.", sum(func(s *loop.Stats) uint64 { return uint64(s.PausedNow) })),
		gauge("dots_backlog_bytes", "Frames waiting for slow members, counted once for each member.", perLoop(func(s *loop.Stats) float64 { return float64(s.BacklogBytes) }), "loop"),
		gauge("dots_backlog_held_bytes", "Memory that all backlogs hold: a frame that several members wait for counts once.", node(func(s *Server) float64 { return float64(s.node.Held()) })),
		gauge("dots_loop_load_bytes", "Publications waiting for the loop or for their fan-out.", perLoop(func(s *loop.Stats) float64 { return float64(s.LoadBytes) }), "loop"),
		gauge("dots_unparsed_bytes", "Bytes read and not parsed yet: half request heads, and of clients that are not read on now.", sum(func(s *loop.Stats) uint64 { return uint64(s.UnparsedBytes) })),
		gauge("dots_parked_bytes", "Publications of other nodes that wait for a member of their room who reads slowly.", node(func(s *Server) float64 { return float64(s.node.Parked()) })),
		gauge("dots_congested_loops", "Loops over their inbox limit; while there is one, nothing is accepted.", node(func(s *Server) float64 { return float64(s.node.Congested()) })),
	}
}

// backendMetrics are all 0 on a node that stands alone.
func backendMetrics() []metricRow {
	g := func(name, help string, value func(*BackendStats) float64) metricRow {
		return gauge(name, help, ofBackend(value))
	}
	c := func(name, help string, value func(*BackendStats) float64) metricRow {
		return counter(name, help, ofBackend(value))
	}
	return []metricRow{
		g("dots_redis_lanes", "Lanes that the rooms are cut into; 0 without Redis.", func(b *BackendStats) float64 { return float64(b.Lanes) }),
		g("dots_redis_lanes_down", "Lanes whose publications go by --redis-down, because Redis was away for longer than --redis-hold.", func(b *BackendStats) float64 { return float64(b.LanesDown) }),
		g("dots_redis_lanes_listening", "Lanes with a confirmed subscription.", func(b *BackendStats) float64 { return float64(b.LanesListening) }),
		g("dots_redis_round_trip_age_seconds", "Age of the last proven round trip through Redis.", func(b *BackendStats) float64 { return b.RoundTripAge.Seconds() }),
		gauge("dots_redis_down", "1 while dots_redis_round_trip_age_seconds is over --redis-ready-after: the node is not ready, or serves alone with --redis-down=local.", cutOff),
		g("dots_redis_evicting", "1 if a Redis has a maxmemory-policy other than noeviction: it may take messages that nobody has read yet.", func(b *BackendStats) float64 { return oneIf(b.Evicting) }),
		g("dots_redis_evicted_keys", "Keys that the Redis servers have evicted since they were started.", func(b *BackendStats) float64 { return float64(b.Evicted) }),
		g("dots_redis_call_timeout_seconds", "Timeout of a call now; it follows what calls take.", func(b *BackendStats) float64 { return b.CallTimeout.Seconds() }),
		g("dots_redis_log_reach_seconds", "How far back the log of the lane with the least of it reaches: who is away for longer misses something. 0: unknown.", func(b *BackendStats) float64 { return b.LogReach.Seconds() }),
		g("dots_redis_held_bytes", "Publications that wait for Redis or are on their way through it.", func(b *BackendStats) float64 { return float64(b.HeldBytes) }),
		c("dots_redis_publications_total", "Publications that Redis took; by dots_redis_batches_total it is the size of a batch.", func(b *BackendStats) float64 { return float64(b.Published) }),
		c("dots_redis_batches_total", "Batches that Redis took.", func(b *BackendStats) float64 { return float64(b.Batches) }),
		c("dots_redis_calls_total", "Calls of the script, retries included.", func(b *BackendStats) float64 { return float64(b.Calls) }),
		c("dots_redis_call_failures_total", "Calls of the script that failed.", func(b *BackendStats) float64 { return float64(b.Failures) }),
		c("dots_redis_call_seconds_total", "Time of all calls; by dots_redis_calls_total it is the time to publish.", func(b *BackendStats) float64 { return b.CallTime.Seconds() }),
		c("dots_redis_received_total", "Publications that came back from Redis, those of other nodes included.", func(b *BackendStats) float64 { return float64(b.Received) }),
		c("dots_redis_refilled_batches_total", "Batches that were missed and read from the log.", func(b *BackendStats) float64 { return float64(b.Refilled) }),
		c("dots_redis_gaps_total", "Gaps announced: members here may have missed something.", func(b *BackendStats) float64 { return float64(b.Gaps) }),
		c("dots_redis_lost_total", "Batches, or publications of this node, that are known to be lost.", func(b *BackendStats) float64 { return float64(b.Lost) }),
		c("dots_redis_rejected_total", "Publications refused with 4104.", func(b *BackendStats) float64 { return float64(b.Rejected) }),
		c("dots_redis_local_total", "Publications delivered on this node alone.", func(b *BackendStats) float64 { return float64(b.Local) }),
		c("dots_redis_reconnects_total", "Subscriptions that were lost and made again.", func(b *BackendStats) float64 { return float64(b.Reconnects) }),
		c("dots_redis_epochs_total", "Times that this node had to begin a new numbering of a lane.", func(b *BackendStats) float64 { return float64(b.Epochs) }),
	}
}

func ofBackend(value func(*BackendStats) float64) func(scrape, emit) {
	return func(s scrape, emit emit) { emit(value(&s.backend)) }
}

func cutOff(s scrape, emit emit) {
	emit(oneIf(s.srv.backend != nil && s.backend.RoundTripAge > s.srv.cfg.RedisReady))
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func nodeMetrics() []metricRow {
	return []metricRow{
		counter("dots_turns_total", "Turns of the loop.", perLoop(func(s *loop.Stats) float64 { return float64(s.Turns) }), "loop"),
		gauge("dots_timers", "Timeouts that are running, at most one for each connection.", sum(func(s *loop.Stats) uint64 { return uint64(s.Timers) })),
		counter("dots_panics_total", "Panics recovered; each is a bug, and the log has its stack.", node(func(s *Server) float64 { return float64(s.counts.panics.Load()) })),
		gauge("dots_ready", "1 while new clients are welcome, else 0.", node(readiness)),
		gauge("dots_build_info", "Always 1; the labels say what is running.", buildInfo, "version", "goversion"),
	}
}

func counter(name, help string, read func(scrape, emit), labels ...string) metricRow {
	return metricRow{Metric{name, "counter", labels, help}, read}
}

func gauge(name, help string, read func(scrape, emit), labels ...string) metricRow {
	return metricRow{Metric{name, "gauge", labels, help}, read}
}

// node reads one value of the server.
func node(value func(*Server) float64) func(scrape, emit) {
	return func(s scrape, emit emit) { emit(value(s.srv)) }
}

// sum adds a field up over the loops.
func sum(field func(*loop.Stats) uint64) func(scrape, emit) {
	return func(s scrape, emit emit) {
		total := uint64(0)
		for i := range s.loops {
			total += field(&s.loops[i])
		}
		emit(float64(total))
	}
}

// perLoop shows a field of each loop.
func perLoop(field func(*loop.Stats) float64) func(scrape, emit) {
	return func(s scrape, emit emit) {
		for i := range s.loops {
			emit(field(&s.loops[i]), strconv.Itoa(i))
		}
	}
}

// byReason adds a table by reason up over the loops.
func byReason(table func(*loop.Stats) *[loop.NumReasons]uint64) func(scrape, emit) {
	return func(s scrape, emit emit) {
		for why := range loop.NumReasons {
			total := uint64(0)
			for i := range s.loops {
				total += table(&s.loops[i])[why]
			}
			emit(float64(total), loop.CloseReason(why).String())
		}
	}
}

// refusalStatuses have series of their own; any other would be a surprise and is "other".
var refusalStatuses = []int{400, 403, 404, 405, 408, 414, 426, 431, 500, 503}

func refusals(s scrape, emit emit) {
	other := uint64(0)
	for status := range s.srv.counts.refused {
		if n := s.srv.counts.refused[status].Load(); slices.Contains(refusalStatuses, status) {
			emit(float64(n), strconv.Itoa(status))
		} else {
			other += n
		}
	}
	emit(float64(other), "other")
}

func closes(s scrape, emit emit) {
	for i, c := range protocol.Codes {
		emit(float64(s.srv.counts.closes[i].Load()), strconv.Itoa(c.Code), c.Name)
	}
	emit(float64(s.srv.counts.closes[len(protocol.Codes)].Load()), "other", "other")
}

func readiness(s *Server) float64 {
	if s.ready() != nil {
		return 0
	}
	return 1
}

func buildInfo(s scrape, emit emit) { emit(1, s.srv.version, runtime.Version()) }

// collector makes the samples of a scrape. It implements prometheus.Collector.
type collector struct {
	srv   *Server
	rows  []metricRow
	descs []*prometheus.Desc // by row
}

// newRegistry has everything that /metrics shows.
func newRegistry(s *Server) *prometheus.Registry {
	c := &collector{srv: s, rows: metricRows()}
	for _, m := range c.rows {
		c.descs = append(c.descs, prometheus.NewDesc(m.Name, m.Help, m.Labels, nil))
	}
	r := prometheus.NewRegistry()
	r.MustRegister(c, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector. Any goroutine.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := scrape{srv: c.srv, backend: c.srv.backendStats()}
	for _, l := range c.srv.node.Loops() {
		s.loops = append(s.loops, l.Stats())
	}
	for i, m := range c.rows {
		kind := prometheus.CounterValue
		if m.Type == "gauge" {
			kind = prometheus.GaugeValue
		}
		m.read(s, func(value float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(c.descs[i], kind, value, labels...)
		})
	}
}
