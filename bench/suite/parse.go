package suite

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// A suite file is a YAML mapping with the keys about, needs, set and runs. Each
// run is a mapping with the keys scenario, name, set, thresholds, needs and
// requires. The file is read from its syntax tree, as scenario files are. So a
// value means the same as in a flag, and an error can name the line of a
// mistake.

// reader reads one suite file.
type reader struct {
	file string
	s    *Suite
	set  []setting // set of the suite: these settings are for all runs
}

// setting is a field of a scenario with its value and line.
type setting struct {
	name, value string
	line        int
}

// field is an entry of a mapping.
type field struct {
	name  string
	value ast.Node
	line  int
}

// Parse reads a suite file.
func Parse(file string, text []byte) (*Suite, error) {
	r := &reader{file: file, s: &Suite{Name: strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))}}
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		var located yaml.Error
		if errors.As(err, &located) && located.GetToken() != nil {
			return nil, fmt.Errorf("%s:%d: not YAML: %s", file, located.GetToken().Position.Line, located.GetMessage())
		}
		return nil, fmt.Errorf("%s: not YAML: %w", file, err)
	}
	if len(tree.Docs) != 1 || tree.Docs[0].Body == nil {
		return nil, fmt.Errorf("%s: must be one YAML document with runs", file)
	}
	if err := r.suite(tree.Docs[0].Body); err != nil {
		return nil, err
	}
	if len(r.s.Runs) == 0 {
		return nil, fmt.Errorf("%s: runs: the list is missing or empty", file)
	}
	return r.s, nil
}

func (r *reader) fail(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", r.file, line, fmt.Errorf(format, args...))
}

func (r *reader) suite(body ast.Node) error {
	fields, err := r.mapping("a suite", body)
	if err != nil {
		return err
	}
	// Read the runs last: they need the settings for all runs, which may come
	// later in the file.
	slices.SortStableFunc(fields, func(a, b field) int { return rank(a.name) - rank(b.name) })
	for _, f := range fields {
		switch f.name {
		case "about":
			r.s.About, err = r.text(f)
		case "needs":
			r.s.Needs, err = r.text(f)
		case "set":
			r.set, err = r.settings(f)
		case "runs":
			err = r.runs(f)
		default:
			err = r.fail(f.line, "%s: unknown field; a suite has about, needs, set, runs", f.name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func rank(name string) int {
	if name == "runs" {
		return 1
	}
	return 0
}

func (r *reader) runs(f field) error {
	all, ok := f.value.(*ast.SequenceNode)
	if !ok {
		return r.fail(f.line, "runs: must be a list of runs")
	}
	for _, node := range all.Values {
		if err := r.run(node); err != nil {
			return err
		}
	}
	return nil
}

// tellable matches names of runs that can be names of folders.
var tellable = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

func (r *reader) run(node ast.Node) error {
	fields, err := r.mapping("a run", node)
	if err != nil {
		return err
	}
	line := node.GetToken().Position.Line
	if len(fields) > 0 {
		line = fields[0].line
	}
	e := Entry{}
	source, settings := "", slices.Clone(r.set)
	for _, f := range fields {
		var more []setting
		switch f.name {
		case "scenario":
			line = f.line
			source, err = r.text(f)
		case "name":
			e.Name, err = r.text(f)
		case "set":
			more, err = r.settings(f)
			settings = append(settings, more...)
		case "thresholds":
			e.Thresholds, err = r.thresholds(f)
		case "needs":
			e.Needs, err = r.text(f)
		case "requires":
			e.Requires, err = r.requires(f)
		default:
			err = r.fail(f.line, "%s: unknown field; a run has scenario, name, set, thresholds, needs, requires", f.name)
		}
		if err != nil {
			return err
		}
	}
	return r.complete(e, source, settings, line)
}

// complete makes the scenario of a run, checks the run, and adds it to the
// suite.
func (r *reader) complete(e Entry, source string, settings []setting, line int) error {
	if source == "" {
		return r.fail(line, "scenario: a run must name a scenario; write one of %s", strings.Join(scenario.Names(), ", "))
	}
	var err error
	if e.Scenario, err = scenario.Load(source); err != nil {
		return r.fail(line, "scenario: %w", err)
	}
	if e.Name == "" {
		e.Name = e.Scenario.Name
	}
	if !tellable.MatchString(e.Name) {
		return r.fail(line, "name: %q must be letters, digits, dots and dashes", e.Name)
	}
	if slices.ContainsFunc(r.s.Runs, func(o Entry) bool { return o.Name == e.Name }) {
		return r.fail(line, "name: %q is already the name of a run; give this run another name", e.Name)
	}
	for _, s := range settings {
		if err := e.Scenario.Set(s.name, s.value); err != nil {
			return r.fail(s.line, "set: %w", err)
		}
	}
	if e.Needs == "" {
		e.Needs = e.Scenario.Needs
	}
	// A run with Needs is always skipped, so the settings for all runs need not
	// be valid for it.
	if err := e.Scenario.Validate(); err != nil && e.Needs == "" {
		return r.fail(line, "%s: %w", e.Name, err)
	}
	r.s.Runs = append(r.s.Runs, e)
	return nil
}

func (r *reader) settings(f field) ([]setting, error) {
	fields, err := r.mapping(f.name, f.value)
	if err != nil {
		return nil, err
	}
	var all []setting
	for _, f := range fields {
		text, err := r.text(f)
		if err != nil {
			return nil, err
		}
		all = append(all, setting{f.name, text, f.line})
	}
	return all, nil
}

func (r *reader) thresholds(f field) ([]result.Threshold, error) {
	texts, err := r.texts(f)
	if err != nil {
		return nil, err
	}
	var all []result.Threshold
	for _, text := range texts {
		t, err := result.ParseThreshold(text)
		if err != nil {
			return nil, r.fail(f.line, "%w", err)
		}
		all = append(all, t)
	}
	return all, nil
}

func (r *reader) requires(f field) ([]string, error) {
	texts, err := r.texts(f)
	if err != nil {
		return nil, err
	}
	for _, text := range texts {
		if _, ok := requirements()[text]; !ok {
			return nil, r.fail(f.line, "requires: %q is unknown; write one of %s", text,
				strings.Join(slices.Sorted(maps.Keys(requirements())), ", "))
		}
	}
	return texts, nil
}

func (r *reader) mapping(what string, node ast.Node) ([]field, error) {
	var values []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		return nil, r.fail(node.GetToken().Position.Line, "%s: must be a mapping of name: value", what)
	}
	var fields []field
	for _, v := range values {
		token := v.Key.GetToken()
		fields = append(fields, field{token.Value, v.Value, token.Position.Line})
	}
	return fields, nil
}

func (r *reader) text(f field) (string, error) {
	if _, ok := f.value.(ast.ScalarNode); !ok || f.value.Type() == ast.NullType {
		return "", r.fail(f.line, "%s: must be one plain value", f.name)
	}
	return f.value.GetToken().Value, nil
}

func (r *reader) texts(f field) ([]string, error) {
	all, ok := f.value.(*ast.SequenceNode)
	if !ok {
		return nil, r.fail(f.line, "%s: must be a list, as in [a, b]", f.name)
	}
	var texts []string
	for _, node := range all.Values {
		text, err := r.text(field{f.name, node, node.GetToken().Position.Line})
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}
