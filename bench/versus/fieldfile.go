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

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"dotsconnect/bench/adapter"
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

// tableReader reads tables from the syntax tree of a file, as package scenario
// does, so that a value means the same as in a flag.
type tableReader struct {
	file    string
	servers []adapter.Adapter
	tables  []Table
}

func parseTables(name string, text []byte, servers []adapter.Adapter) ([]Table, error) {
	r := &tableReader{file: name, servers: servers}
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, document := range tree.Docs {
		for _, e := range entries(document.Body) {
			if e.Key.GetToken().Value != adapter.Tables {
				continue
			}
			list, ok := e.Value.(*ast.SequenceNode)
			if !ok {
				return nil, r.fail(e, "tables must be a list")
			}
			for _, node := range list.Values {
				if err := r.table(node); err != nil {
					return nil, err
				}
			}
		}
	}
	if len(r.tables) == 0 {
		return nil, fmt.Errorf("%s: it has no tables; bench/peers/README.md describes them", name)
	}
	return r.tables, nil
}

func entries(node ast.Node) []*ast.MappingValueNode {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	return nil
}

func (r *tableReader) fail(at ast.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", r.file, at.GetToken().Position.Line, fmt.Errorf(format, args...))
}

func (r *tableReader) table(node ast.Node) error {
	t := Table{Key: strconv.Itoa(len(r.tables) + 1), Nodes: 1, scenario: scenario.Default()}
	all := entries(node)
	// Load the scenario first: other fields change it, and they may come before
	// it in the file.
	for _, e := range all {
		if e.Key.GetToken().Value == "scenario" {
			var err error
			if t.scenario, err = scenario.Load(e.Value.GetToken().Value); err != nil {
				return r.fail(e, "scenario: %w", err)
			}
		}
	}
	for _, e := range all {
		if err := r.entry(&t, e); err != nil {
			return err
		}
	}
	if err := r.complete(&t, node); err != nil {
		return err
	}
	r.tables = append(r.tables, t)
	return nil
}

func (r *tableReader) entry(t *Table, e *ast.MappingValueNode) error {
	var err error
	switch key := e.Key.GetToken().Value; key {
	case "scenario":
	case "title":
		err = yaml.NodeToValue(e.Value, &t.Title)
	case "base":
		err = yaml.NodeToValue(e.Value, &t.Base)
	case "nodes":
		if err = yaml.NodeToValue(e.Value, &t.Nodes); err == nil && t.Nodes < 1 {
			err = fmt.Errorf("nodes: %d is out of range; write at least 1", t.Nodes)
		}
	case "servers":
		err = yaml.NodeToValue(e.Value, &t.Rows)
	case "set":
		for _, f := range entries(e.Value) {
			if _, plain := f.Value.(ast.ScalarNode); !plain {
				return r.fail(f, "set: must be a mapping of name: value")
			}
			if err := t.scenario.Set(f.Key.GetToken().Value, f.Value.GetToken().Value); err != nil {
				return r.fail(f, "set: %w", err)
			}
		}
	case "goals":
		var texts []string
		err = yaml.NodeToValue(e.Value, &texts)
		for _, text := range texts {
			d, mistake := parseDemand(text)
			t.Goals, err = append(t.Goals, d), errors.Join(err, mistake)
		}
	default:
		err = fmt.Errorf("unknown field %q; a table has title, scenario, set, nodes, servers, base, goals", key)
	}
	if err != nil {
		return r.fail(e, "%w", err)
	}
	return nil
}

// complete makes the checks for which all fields of the table must be known.
func (r *tableReader) complete(t *Table, at ast.Node) error {
	if t.Title == "" || len(t.Rows) == 0 {
		return r.fail(at, "a table needs a title and servers")
	}
	rows, err := adapter.Select(r.servers, t.Rows)
	if err != nil {
		return r.fail(at, "servers: %w", err)
	}
	if err := t.together(rows); err != nil {
		return r.fail(at, "%w", err)
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
			return r.fail(at, "%q is not one of the table's servers: %s", name, strings.Join(t.Rows, ", "))
		}
	}
	if t.scenario.Needs != "" {
		return r.fail(at, "scenario %s needs %s", t.scenario.Name, t.scenario.Needs)
	}
	if err := t.scenario.Validate(); err != nil {
		return r.fail(at, "%w", err)
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
