package versus

import (
	"fmt"
	"slices"

	"dotsconnect/bench/floor"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/result"
)

// Report is the outcome of a comparison, as in peers.json. Times are in
// microseconds.
type Report struct {
	Schema      int            `json:"schema"`
	Program     string         `json:"program"`
	Started     string         `json:"started"` // RFC 3339, UTC
	Machine     result.Machine `json:"machine"`
	Rounds      int            `json:"rounds"`
	Quick       bool           `json:"quick"`
	Seed        uint64         `json:"seed"`
	Pinned      bool           `json:"pinned"` // each server had the first CPU, and the generator had the others
	Experiments []Experiment   `json:"experiments"`
	Servers     []Server       `json:"servers"` // the first is our server
	Floor       [][]floor.Row  `json:"floor"`   // by round
	Goals       []Goal         `json:"goals"`
	Notes       []string       `json:"notes"`
}

// Server is a row of the tables.
type Server struct {
	Name    string            `json:"name"`
	Library string            `json:"library"`
	More    string            `json:"more_than_ours,omitempty"`
	Less    string            `json:"less_than_ours,omitempty"`
	Skipped string            `json:"skipped,omitempty"` // why the server has no figures
	Figures map[string]Figure `json:"figures"`
	Runs    []Run             `json:"runs"`
}

// Run has the figures of one run of a server.
type Run struct {
	Experiment       string   `json:"experiment"`
	Round            int      `json:"round"`
	Error            string   `json:"error,omitempty"` // why the run could not be made
	Exit             int      `json:"exit"`
	Invalid          []string `json:"invalid,omitempty"` // reasons why the rates and latencies of this run do not count
	Violation        string   `json:"violation,omitempty"`
	Ended            string   `json:"ended,omitempty"`
	Died             string   `json:"died,omitempty"`
	CPUPerDelivery   float64  `json:"cpu_us_per_delivery"`
	CPUPerConnect    float64  `json:"cpu_us_per_connect"`
	BytesPerConn     float64  `json:"rss_bytes_per_connection"`
	DeliveredRate    float64  `json:"deliveries_per_second"`
	P50              int64    `json:"p50_us"`
	P99              int64    `json:"p99_us"`
	CPUs             float64  `json:"server_cpus"`
	GeneratorCPU     float64  `json:"generator_thread_cpu_share"`
	CPUPerMessage    float64  `json:"cpu_us_per_message,omitempty"`
	BesidePerMessage float64  `json:"beside_cpu_us_per_message,omitempty"`
	PerCall          float64  `json:"messages_per_call,omitempty"`
	Doubtful         []string `json:"doubtful_figures,omitempty"` // figures that do not count: the machine was busy, the generator late, or the values few
	Tries            int      `json:"tries,omitempty"`            // number of attempts; all before the last were INVALID
}

// Goal is a limit for the ratio of our server to another row in one metric.
type Goal struct {
	What    string  `json:"what"`
	Against string  `json:"against"`
	AtMost  float64 `json:"at_most"`
	Ratio   *Figure `json:"ratio"` // nil if it was not measured
	Met     bool    `json:"met"`
}

// goals returns the goals of the project.
func goals() []Goal {
	return []Goal{
		{What: "one.cpu", Against: "gws", AtMost: 0.8},
		{What: "burst.cpu", Against: "gws", AtMost: 0.25},
		{What: "rooms.cpu", Against: "gws", AtMost: 0.25},
		{What: "echo.cpu", Against: "gws", AtMost: 0.8},
		{What: "idle.bytes", Against: "gws", AtMost: 0.1},
		{What: "one.cpu", Against: floorName, AtMost: 1.4},
	}
}

// conclude computes the figures, the outcome of the goals, and the notes from
// the runs.
func (r *Report) conclude() {
	for i := range r.Servers {
		s := &r.Servers[i]
		s.Figures = map[string]Figure{}
		for _, m := range r.metrics() {
			if f, ok := m.of(s); ok {
				s.Figures[m.key] = f
			}
		}
		r.Notes = append(r.Notes, s.notes(r.Rounds)...)
	}
	r.Goals = goals()
	for i := range r.Goals {
		g := &r.Goals[i]
		if f, ok := r.ratio(g.What, g.Against); ok {
			g.Ratio, g.Met = &f, f.Median <= g.AtMost
		}
	}
}

// notes describes the errors in the runs of a server. It has one note for each
// kind of error in each experiment.
func (s *Server) notes(rounds int) []string {
	var notes []string
	seen := map[string]bool{}
	for _, run := range s.Runs {
		for kind, text := range map[string]string{
			"not measured": run.Error, "delivery violation": run.Violation, "died": run.Died, "ended connections": run.Ended,
		} {
			if key := run.Experiment + kind; text != "" && !seen[key] {
				seen[key] = true
				notes = append(notes, fmt.Sprintf("%s, %s, round %d: %s: %s", s.Name, run.Experiment, run.Round, kind, text))
			}
		}
	}
	slices.Sort(notes)
	for _, key := range []string{Half} {
		invalid, why := 0, ""
		for _, run := range s.Runs {
			if run.Experiment == key && len(run.Invalid) > 0 {
				invalid, why = invalid+1, run.Invalid[0]
			}
		}
		if invalid > 0 {
			notes = append(notes, fmt.Sprintf("%s: the latencies of %d of %d runs do not count: %s", s.Name, invalid, rounds, why))
		}
	}
	return notes
}

// title returns the name of the metric with this key, as people read it.
func (r *Report) title(key string) string {
	for _, m := range r.metrics() {
		if m.key == key {
			return m.head[1] + " (" + m.head[0] + ")"
		}
	}
	return key
}

func count(v float64) string { return cli.Count(int64(v)) }
