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

// Metrics are read on demand: a scrape takes the counters that each loop published at the end of its last turn, and turns them
// into samples. So the loops do not depend on Prometheus, and scraping costs them only a mutex in each turn.
//
// The number of series depends only on the number of loops. No label holds a room, an address or anything else that a client can
// choose. Each reason, code and status has its series from the start, with the value 0, so that a rate is right even for its
// first event.
//
// The equation of the ledger also holds for the metrics, summed over all loops: dots_expected_frames_total is
// dots_frames_total, plus dots_dropped_total summed over all reasons, plus the frames in flight.

// A Metric is one row of the table of metrics.
type Metric struct {
	Name   string
	Type   string // "counter" or "gauge"
	Labels []string
	Help   string
}

// Metrics lists all of this node's own metrics in /metrics. The other metrics there come from the backend (Backend.Metrics),
// from the Go runtime (go_…) and from the process (process_…).
func Metrics() []Metric {
	rows := metricRows()
	table := make([]Metric, len(rows))
	for i := range rows {
		table[i] = rows[i].Metric
	}
	return table
}

// A BackendMetric is a metric of the backend. It has no labels, so its list is fixed. Any goroutine may call Value.
type BackendMetric struct {
	Name, Type, Help string
	Value            func() float64
}

// MetricsMarkdown returns a table of metrics for METRICS.md.
func MetricsMarkdown(metrics []Metric) string {
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, m := range metrics {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, strings.Join(m.Labels, ", "), strings.ReplaceAll(m.Help, "|", `\|`))
	}
	return b.String()
}

// metricRow is a metric and the function that makes its samples.
type metricRow struct {
	Metric
	read func(s scrape, emit emit)
}

// scrape holds the data from which a scrape makes its samples.
type scrape struct {
	srv   *Server
	loops []loop.Stats
}

// emit takes one sample: its value, and the values of its labels in the order of the metric.
type emit func(value float64, labels ...string)

func metricRows() []metricRow {
	return slices.Concat(connectionMetrics(), messageMetrics(), pressureMetrics(), nodeMetrics())
}

func connectionMetrics() []metricRow {
	return []metricRow{
		gauge("dots_connections", "Connections that are open now, including those in their handshake.", perLoop(func(s *loop.Stats) float64 { return float64(s.Conns) }), "loop"),
		gauge("dots_connections_max", "Maximum number of connections that this process can hold at a time.", node(func(s *Server) float64 { n, _ := s.MaxConnections(); return float64(n) })),
		gauge("dots_rooms", "Rooms with members on this node.", node(func(s *Server) float64 { return float64(s.node.Directory().Rooms()) })),
		counter("dots_accepted_total", "TCP connections that the server accepted.", node(func(s *Server) float64 { return float64(s.counts.accepted.Load()) })),
		counter("dots_accept_errors_total", "Failures to accept a TCP connection, mostly because no file descriptor was free.", node(func(s *Server) float64 { return float64(s.counts.acceptErrs.Load()) })),
		counter("dots_connections_refused_total", "Connections refused because the server was full.", node(func(s *Server) float64 { return float64(s.counts.full.Load()) })),
		counter("dots_admin_connections_cut_total", "Idle or unfinished connections of the admin address that were closed to make room for others.", node(func(s *Server) float64 { return float64(s.counts.adminCut.Load()) })),
		counter("dots_upgraded_total", "Handshakes that succeeded.", node(func(s *Server) float64 { return float64(s.counts.upgraded.Load()) })),
		counter("dots_handshakes_refused_total", "Requests refused, by HTTP status.", refusals, "status"),
		counter("dots_event_streams_total", "Streams of Server-Sent Events that were opened.", node(func(s *Server) float64 { return float64(s.counts.streams.Load()) })),
		counter("dots_http_requests_total", "Plain HTTP requests answered on the address for clients.", node(func(s *Server) float64 { return float64(s.counts.pages.Load()) })),
		counter("dots_closes_total", "Connections ended with a close code, by code. A connection that becomes a slow consumer while it ends counts under both codes.", closes, "code", "name"),
		counter("dots_ended_total", "Connections ended, by reason.", byReason(func(s *loop.Stats) *[loop.NumReasons]uint64 { return &s.Ended }), "reason"),
	}
}

func messageMetrics() []metricRow {
	return []metricRow{
		counter("dots_messages_accepted_total", "Messages accepted from clients.", sum(func(s *loop.Stats) uint64 { return s.Accepted })),
		counter("dots_posts_total", "Messages published by POST /chat/ROOM/; they do not count in dots_messages_accepted_total.", node(func(s *Server) float64 { return float64(s.counts.posts.Load()) })),
		gauge("dots_idempotency_keys", "Idempotency-Keys of POST requests that this node remembers.", node(func(s *Server) float64 { return float64(s.posted.len()) })),
		counter("dots_publications_total", "Publications taken from the bus; a publication counts once for each loop that has members of its room.", sum(func(s *loop.Stats) uint64 { return s.Appended })),
		counter("dots_expected_frames_total", "Frames that must be delivered: one for each publication and each member of its room that gets it.", sum(func(s *loop.Stats) uint64 { return s.Expected - s.Blank })),
		counter("dots_frames_total", "Frames delivered: the kernel accepted every byte of the frame.", sum(func(s *loop.Stats) uint64 { return s.Delivered })),
		counter("dots_dropped_total", "Frames not delivered, by the reason why the connection of the member ended.", byReason(func(s *loop.Stats) *[loop.NumReasons]uint64 { return &s.Dropped }), "reason"),
		counter("dots_resumes_total", "Clients of version 2 that named the position of the last message that they have, by whether the server could go on from there.", resumes, "resumed"),
		counter("dots_repeated_frames_total", "Missed messages that were sent to clients of version 2; they do not count in dots_frames_total.", sum(func(s *loop.Stats) uint64 { return s.Repeated })),
		counter("dots_gaps_told_total", "Gaps told to members of version 2 that read too slowly.", func(s scrape, emit emit) { emit(float64(s.srv.counts.gaps.Load())) }),
		counter("dots_presence_events_total", "Events of presence that were sent to the watchers of a room, by kind: changes (users that came or left), count (only the number of members, because the room is too large or too lively for names), members (the whole list).", presenceEvents, "kind"),
		counter("dots_presence_states_total", "Lists of the members of a room that were sent to single clients, because they began to watch the room or asked.", node(func(s *Server) float64 { _, states := s.node.PresenceCounts(); return float64(states) })),
		counter("dots_request_errors_total", "Requests of clients of version 2 that were answered with an error, by its code.", requestErrors, "code"),
		gauge("dots_history_bytes", "Memory of the latest messages, which are kept for clients of version 2.", node(func(s *Server) float64 { return float64(s.node.HistoryBytes()) })),
		counter("dots_heartbeats_total", "Heartbeats received.", node(func(s *Server) float64 { return float64(s.counts.heartbeats.Load()) })),
		counter("dots_writes_total", "Writes that delivered frames; dots_frames_total divided by this value is the number of frames per write.", sum(func(s *loop.Stats) uint64 { return s.Writes })),
		counter("dots_written_bytes_total", "Bytes that the writes of dots_writes_total sent.", sum(func(s *loop.Stats) uint64 { return s.WrittenBytes })),
		counter("dots_read_bytes_total", "Bytes read from clients.", sum(func(s *loop.Stats) uint64 { return s.ReadBytes })),
	}
}

func pressureMetrics() []metricRow {
	return []metricRow{
		counter("dots_lags_total", "Number of times that the socket of a member did not accept all bytes at once, so that a backlog began.", sum(func(s *loop.Stats) uint64 { return s.Lags })),
		counter("dots_stalls_total", "Number of times that slow members made the publishers of their room wait.", sum(func(s *loop.Stats) uint64 { return s.Stalls })),
		counter("dots_pauses_total", "Number of times that the server stopped reading a client because of back-pressure.", sum(func(s *loop.Stats) uint64 { return s.Pauses })),
		gauge("dots_lagging_connections", "Members with a backlog now.", sum(func(s *loop.Stats) uint64 { return uint64(s.LaggingConns) })),
		gauge("dots_paused_connections", "Clients that the server does not read now because of back-pressure.", sum(func(s *loop.Stats) uint64 { return uint64(s.PausedNow) })),
		gauge("dots_backlog_bytes", "Bytes of frames that wait for slow members; a frame counts once for each member that it waits for.", perLoop(func(s *loop.Stats) float64 { return float64(s.BacklogBytes) }), "loop"),
		gauge("dots_backlog_held_bytes", "Memory of all backlogs in bytes; a frame that waits for several members counts once.", node(func(s *Server) float64 { return float64(s.node.Held()) })),
		gauge("dots_loop_load_bytes", "Bytes of publications that wait in the inbox of the loop or for their fan-out.", perLoop(func(s *loop.Stats) float64 { return float64(s.LoadBytes) }), "loop"),
		gauge("dots_unparsed_bytes", "Bytes read and not parsed yet: incomplete request heads, and input of clients that the server does not read now.", sum(func(s *loop.Stats) uint64 { return uint64(s.UnparsedBytes) })),
		gauge("dots_parked_bytes", "Bytes of publications from other nodes that wait (are deferred) because a member of their room reads slowly.", node(func(s *Server) float64 { return float64(s.node.Parked()) })),
		gauge("dots_congested_loops", "Loops whose load (dots_loop_load_bytes) is over --inbox-limit; while there is such a loop, no messages are accepted.", node(func(s *Server) float64 { return float64(s.node.Congested()) })),
	}
}

func nodeMetrics() []metricRow {
	return []metricRow{
		counter("dots_turns_total", "Turns of the loop: passes through all of its work.", perLoop(func(s *loop.Stats) float64 { return float64(s.Turns) }), "loop"),
		gauge("dots_timers", "Running timeouts, at most one for each connection.", sum(func(s *loop.Stats) uint64 { return uint64(s.Timers) })),
		counter("dots_panics_total", "Panics recovered; each is a bug, and the log has its stack.", node(func(s *Server) float64 { return float64(s.counts.panics.Load()) })),
		gauge("dots_ready", "1 while the node takes new clients, otherwise 0.", node(readiness)),
		gauge("dots_build_info", "Always 1; the labels hold the versions of the program and of Go.", buildInfo, "version", "goversion"),
	}
}

// backendRows returns the metrics of the backend, or nothing without a backend.
func (s *Server) backendRows() []metricRow {
	if s.backend == nil {
		return nil
	}
	var rows []metricRow
	for _, m := range s.backend.Metrics {
		rows = append(rows, metricRow{Metric{m.Name, m.Type, nil, m.Help}, node(func(*Server) float64 { return m.Value() })})
	}
	return rows
}

func counter(name, help string, read func(scrape, emit), labels ...string) metricRow {
	return metricRow{Metric{name, "counter", labels, help}, read}
}

func gauge(name, help string, read func(scrape, emit), labels ...string) metricRow {
	return metricRow{Metric{name, "gauge", labels, help}, read}
}

// node makes a sample from one value of the server.
func node(value func(*Server) float64) func(scrape, emit) {
	return func(s scrape, emit emit) { emit(value(s.srv)) }
}

// sum makes a sample from the sum of a field over all loops.
func sum(field func(*loop.Stats) uint64) func(scrape, emit) {
	return func(s scrape, emit emit) {
		total := uint64(0)
		for i := range s.loops {
			total += field(&s.loops[i])
		}
		emit(float64(total))
	}
}

// perLoop makes one sample of a field for each loop.
func perLoop(field func(*loop.Stats) float64) func(scrape, emit) {
	return func(s scrape, emit emit) {
		for i := range s.loops {
			emit(field(&s.loops[i]), strconv.Itoa(i))
		}
	}
}

// byReason makes one sample for each reason from the sum of a table over all loops.
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

// refusalStatuses are the statuses that have a series of their own. Any other status is unexpected and counts as "other".
var refusalStatuses = []int{400, 403, 404, 405, 408, 413, 414, 417, 422, 426, 431, 500, 503}

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

func requestErrors(s scrape, emit emit) {
	for i, code := range requestErrorCodes {
		emit(float64(s.srv.counts.badAsks[i].Load()), strconv.Itoa(code))
	}
}

func presenceEvents(s scrape, emit emit) {
	events, _ := s.srv.node.PresenceCounts()
	for kind, name := range [...]string{loop.PresenceState: "members", loop.PresenceChanges: "changes", loop.PresenceCount: "count"} {
		emit(float64(events[kind]), name)
	}
}

func resumes(s scrape, emit emit) {
	emit(float64(s.srv.counts.resumes[0].Load()), "false")
	emit(float64(s.srv.counts.resumes[1].Load()), "true")
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
	descs []*prometheus.Desc // in the order of the rows
}

// newRegistry registers all metrics that /metrics shows.
func newRegistry(s *Server) *prometheus.Registry {
	c := &collector{srv: s, rows: slices.Concat(metricRows(), s.backendRows())}
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
	s := scrape{srv: c.srv}
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
