package versus

import (
	"fmt"
	"slices"
	"time"

	"dotsconnect/bench/adapter"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
)

// FieldConfig configures a field: a comparison of servers in tables that an
// adapter file describes. Unlike a comparison by Config, a field does not treat
// our server in a special way: a row of a table can be any server with any
// settings.
type FieldConfig struct {
	Servers  []adapter.Adapter
	Tables   []Table
	Skipped  map[string]string // by name of a server that is not available: the reason
	Rounds   int
	Quick    bool // short runs, which give only rough figures
	Progress *cli.Progress

	// Run makes a run; nil: Spec.Run. Tests use another function.
	Run func(s runner.Spec) (*result.Result, error)
}

// FieldReport is the outcome of a field, as in field.json.
type FieldReport struct {
	Schema  int            `json:"schema"`
	Program string         `json:"program"`
	Started string         `json:"started"` // RFC 3339, UTC
	Machine result.Machine `json:"machine"`
	Rounds  int            `json:"rounds"`
	Quick   bool           `json:"quick"`
	Tables  []Table        `json:"tables"`
	Servers []Server       `json:"servers"` // the Experiment of each of their runs is the Key of a Table
	Proved  int64          `json:"proved_deliveries"`
	Notes   []string       `json:"notes"`

	raw []rawRun
}

// rawRun is the complete result of a run, and the name of its folder.
type rawRun struct {
	name   string
	result *result.Result
}

// MostConns returns the largest number of connections that a run of the tables
// has.
func (c *FieldConfig) MostConns() int {
	most := 0
	for _, t := range c.Tables {
		most = max(most, t.scenario.Conns+t.scenario.Prelude)
	}
	return most
}

// Compare makes all runs. A round goes through all tables and, for each table,
// through its servers, in another order than in the round before.
func (c *FieldConfig) Compare() (*FieldReport, error) {
	r := &FieldReport{
		Schema: 1, Program: "dotsbench", Started: time.Now().UTC().Format(time.RFC3339), Machine: result.ReadMachine(),
		Rounds: c.Rounds, Quick: c.Quick, Tables: c.Tables, Notes: []string{},
	}
	for _, a := range c.Servers {
		r.Servers = append(r.Servers, Server{Name: a.Name, Library: a.Library, More: a.More, Less: a.Less, Skipped: c.Skipped[a.Name], Runs: []Run{}})
	}
	if c.Run == nil {
		c.Run = runner.Spec.Run
	}
	for i := range r.Tables {
		t := &r.Tables[i]
		if c.Quick {
			t.scenario.Duration, t.scenario.Warmup = time.Second, 200*time.Millisecond
			t.describe()
		}
	}
	for round := range c.Rounds {
		for i := range r.Tables {
			c.round(r, &r.Tables[i], round)
		}
	}
	c.Progress.Clear()
	if !slices.ContainsFunc(r.Servers, func(s Server) bool { return len(s.Runs) > 0 }) {
		return nil, cli.Failf(cli.Usage, "none of the servers could be measured: %s", r.Servers[0].Skipped)
	}
	r.conclude()
	return r, nil
}

func (c *FieldConfig) round(r *FieldReport, t *Table, round int) {
	for place, i := range order(round, len(t.Rows)) {
		at := slices.IndexFunc(r.Servers, func(s Server) bool { return s.Name == t.Rows[i] })
		s := &r.Servers[at]
		if s.Skipped != "" {
			continue
		}
		c.Progress.Show("round %d of %d: %s: %s (%d of %d)", round+1, c.Rounds, t.Title, s.Name, place+1, len(t.Rows))
		got, found := c.one(t, &c.Servers[at])
		got.Experiment, got.Round = t.Key, round+1
		s.Runs = append(s.Runs, got)
		if found != nil {
			r.Proved += found.Proof.Received
			r.raw = append(r.raw, rawRun{fmt.Sprintf("table%s-%s-%d", t.Key, s.Name, round+1), found})
		}
	}
}

// one makes one run with a fresh server. In a table about latency an INVALID
// run is repeated at most twice, because other programs may have used the CPUs.
func (c *FieldConfig) one(t *Table, a *adapter.Adapter) (Run, *result.Result) {
	const tries = 3
	for try := 1; ; try++ {
		found, err := c.Run(runner.Spec{Scenario: t.scenario, Adapter: a, Servers: t.Nodes})
		if err != nil {
			return failed(a, err), nil
		}
		if got := figuresOf(found); t.closed() || got.Exit != cli.Invalid || c.Quick || try == tries {
			got.Tries = try
			return got, found
		}
	}
}

// broken returns why the figures of a server in a table are meaningless: the
// server lost a message, ended a connection, died, or could not be run. If
// there is no such reason, broken returns "".
func (s *Server) broken(table string) string {
	for _, run := range s.Runs {
		if run.Experiment != table {
			continue
		}
		for _, text := range []string{run.Violation, run.Died, run.Ended, run.Error} {
			if text != "" {
				return fmt.Sprintf("round %d: %s", run.Round, text)
			}
		}
		if run.Exit == cli.Violated {
			return fmt.Sprintf("round %d: a promise was broken", run.Round)
		}
	}
	return ""
}

// Verdict returns the worst outcome as an error with its exit code, or nil. A
// missed goal is not an error.
func (r *FieldReport) Verdict() error {
	var worst [cli.ServerDied + 1]error // index: exit code
	for _, t := range r.Tables {
		for _, name := range t.Rows {
			s := r.server(name)
			why := s.broken(t.Key)
			if why == "" {
				continue
			}
			code := cli.Invalid
			for _, run := range s.Runs {
				if run.Experiment == t.Key {
					code = max(code, run.Exit)
				}
			}
			worst[code] = cli.Failf(code, "%s: %s: %s", t.Title, name, why)
		}
	}
	for _, err := range slices.Backward(worst[:]) {
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *FieldReport) server(name string) *Server {
	return &r.Servers[slices.IndexFunc(r.Servers, func(s Server) bool { return s.Name == name })]
}
