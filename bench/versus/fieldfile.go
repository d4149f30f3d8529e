package versus

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"dotsconnect/bench/adapter"
	"dotsconnect/bench/internal/yamlfile"
	"dotsconnect/bench/scenario"
)

// Table is a scenario of a field and the servers to measure with it. An adapter
// file has tables in its list "tables":
//
//	tables:
//	  - title: most, 128 rooms of 1
//	    scenario: rooms                      # a scenario of the program, or a file
//	    set: {conns: 128, rooms: 128, rate: max, burst: 64}
//	    nodes: 2                             # processes of each server, which share one program of "beside"; default 1
//	    servers: [slow, fast]                # the rows
//	    base: slow                           # the other rows are compared with this one; optional
//	    goals: [fast rate >= 5 x slow, fast p50 <= slow + 500us]
//
// A table with rate max is about throughput; others are about latency.
type Table struct {
	Key      string            `json:"key"`
	Title    string            `json:"title"`
	Nodes    int               `json:"nodes"`
	Rows     []string          `json:"servers"`
	Base     string            `json:"base,omitempty"`
	Goals    []Demand          `json:"goals,omitempty"`
	Scenario map[string]string `json:"scenario"` // all fields of the scenario, as texts that the flags of dotsbench run accept

	scenario scenario.Scenario
}

// Demand is a goal of a table about one figure: the figure of Server must be at least Times the
// figure of Against, or at most MoreUs larger than it.
type Demand struct {
	Text    string  `json:"text"`
	Server  string  `json:"server"`
	Figure  string  `json:"figure"` // rate, p50 or p99
	Against string  `json:"against"`
	Times   float64 `json:"at_least_times,omitempty"`
	MoreUs  float64 `json:"at_most_more_us,omitempty"`
	Found   *Figure `json:"found"` // the ratio or, for MoreUs, the difference in microseconds; nil: not measured
	Met     bool    `json:"met"`
}

var (
	timesGoal = regexp.MustCompile(`^(\S+) (rate) >= ([0-9.]+) x (\S+)$`)
	moreGoal  = regexp.MustCompile(`^(\S+) (p50|p99) <= (\S+) \+ (\S+)$`)
)

func parseDemand(text string) (Demand, error) {
	d := Demand{Text: text}
	var err error
	if m := timesGoal.FindStringSubmatch(text); m != nil {
		d.Server, d.Figure, d.Against = m[1], m[2], m[4]
		d.Times, err = strconv.ParseFloat(m[3], 64)
		return d, err
	}
	if m := moreGoal.FindStringSubmatch(text); m != nil {
		d.Server, d.Figure, d.Against = m[1], m[2], m[3]
		more, err := time.ParseDuration(m[4])
		d.MoreUs = float64(more) / 1000
		return d, err
	}
	return d, fmt.Errorf("%q is not a goal; write A rate >= 5 x B, or A p50 <= B + 500us", text)
}

// LoadTables reads the tables of an adapter file. servers has the servers of
// this file.
func LoadTables(name string, servers []adapter.Adapter) ([]Table, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parseTables(name, text, servers)
}

// tableReader reads the tables of a file.
type tableReader struct {
	servers []adapter.Adapter
	tables  []Table
}

func parseTables(name string, text []byte, servers []adapter.Adapter) ([]Table, error) {
	r := &tableReader{servers: servers}
	fields, err := yamlfile.Parse(name, text)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		if f.Name != adapter.Tables {
			continue
		}
		list, err := f.List()
		if err != nil {
			return nil, err
		}
		for _, at := range list {
			if err := r.table(at); err != nil {
				return nil, err
			}
		}
	}
	if len(r.tables) == 0 {
		return nil, fmt.Errorf("%s: it has no tables; bench/peers/README.md describes them", name)
	}
	return r.tables, nil
}

func (r *tableReader) table(at yamlfile.Field) error {
	t := Table{Key: strconv.Itoa(len(r.tables) + 1), Nodes: 1, scenario: scenario.Default()}
	fields, err := at.Fields()
	if err != nil {
		return err
	}
	// Load the scenario first: other fields change it, and they may come before
	// it in the file.
	for _, f := range fields {
		if f.Name == "scenario" {
			name, err := f.Text()
			if err != nil {
				return err
			}
			if t.scenario, err = scenario.Load(name); err != nil {
				return f.Fail("scenario: %w", err)
			}
		}
	}
	for _, f := range fields {
		if err := t.entry(f); err != nil {
			return err
		}
	}
	if err := r.complete(&t, at); err != nil {
		return err
	}
	r.tables = append(r.tables, t)
	return nil
}

func (t *Table) entry(f yamlfile.Field) (err error) {
	switch f.Name {
	case "scenario":
	case "title":
		t.Title, err = f.Text()
	case "base":
		t.Base, err = f.Text()
	case "nodes":
		if err = f.Decode(&t.Nodes); err == nil && t.Nodes < 1 {
			err = f.Fail("nodes: %d is out of range; write at least 1", t.Nodes)
		}
	case "servers":
		t.Rows, err = f.Texts()
	case "set":
		var settings []yamlfile.Field
		settings, err = f.Fields()
		for _, s := range settings {
			text, err := s.Text()
			if err != nil {
				return err
			}
			if err := t.scenario.Set(s.Name, text); err != nil {
				return s.Fail("set: %w", err)
			}
		}
	case "goals":
		var texts []string
		texts, err = f.Texts()
		for _, text := range texts {
			d, mistake := parseDemand(text)
			if mistake != nil {
				return f.Fail("%w", mistake)
			}
			t.Goals = append(t.Goals, d)
		}
	default:
		err = f.Unknown("a table", "title", "scenario", "set", "nodes", "servers", "base", "goals")
	}
	return err
}

// complete makes the checks for which all fields of the table must be known.
func (r *tableReader) complete(t *Table, at yamlfile.Field) error {
	if t.Title == "" || len(t.Rows) == 0 {
		return at.Fail("a table needs a title and servers")
	}
	rows, err := adapter.Select(r.servers, t.Rows)
	if err != nil {
		return at.Fail("servers: %w", err)
	}
	if err := t.together(rows); err != nil {
		return at.Fail("%w", err)
	}
	named := []string{}
	if t.Base != "" {
		named = append(named, t.Base)
	}
	for _, d := range t.Goals {
		named = append(named, d.Server, d.Against)
	}
	for _, name := range named {
		if !slices.Contains(t.Rows, name) {
			return at.Fail("%q is not one of the table's servers: %s", name, strings.Join(t.Rows, ", "))
		}
	}
	if t.scenario.Needs != "" {
		return at.Fail("scenario %s needs %s", t.scenario.Name, t.scenario.Needs)
	}
	if err := t.scenario.Validate(); err != nil {
		return at.Fail("%w", err)
	}
	t.describe()
	return nil
}

// together checks that the servers can be several nodes of one system, if rooms
// have members on all nodes.
func (t *Table) together(rows []adapter.Adapter) error {
	if t.scenario.Across != scenario.AcrossMembers {
		return nil
	}
	if t.Nodes < 2 {
		return errors.New("across: members needs nodes: 2 or more")
	}
	for _, a := range rows {
		if err := a.OneSystem(t.Nodes); err != nil {
			return fmt.Errorf("%w: leave this server out, or set across: rooms", err)
		}
	}
	return nil
}

func (t *Table) describe() {
	t.Scenario = map[string]string{}
	for _, f := range scenario.Fields() {
		t.Scenario[f.Name] = f.Get(&t.scenario)
	}
}

// closed reports whether the table is about throughput and not about latency.
func (t *Table) closed() bool { return t.scenario.Rate.Max }
