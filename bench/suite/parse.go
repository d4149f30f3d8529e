package suite

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"dotsconnect/bench/internal/yamlfile"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// A suite file is a YAML mapping with the keys about, needs, set and runs. Each
// run is a mapping with the keys scenario, name, set, thresholds, needs and
// requires. A value means the same as in a flag.

// reader reads one suite file.
type reader struct {
	s   *Suite
	set []field // set of the suite: these settings are for all runs
}

type field = yamlfile.Field

// Parse reads a suite file.
func Parse(file string, text []byte) (*Suite, error) {
	r := &reader{s: &Suite{Name: strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))}}
	fields, err := yamlfile.Parse(file, text)
	if err != nil {
		return nil, err
	}
	if err := r.suite(fields); err != nil {
		return nil, err
	}
	if len(r.s.Runs) == 0 {
		return nil, fmt.Errorf("%s: runs: the list is missing or empty", file)
	}
	return r.s, nil
}

func (r *reader) suite(fields []field) (err error) {
	// Read the runs last: they need the settings for all runs, which may come
	// later in the file.
	slices.SortStableFunc(fields, func(a, b field) int { return rank(a.Name) - rank(b.Name) })
	for _, f := range fields {
		switch f.Name {
		case "about":
			r.s.About, err = f.Text()
		case "needs":
			r.s.Needs, err = f.Text()
		case "set":
			r.set, err = f.Fields()
		case "runs":
			err = r.runs(f)
		default:
			err = f.Unknown("a suite", "about", "needs", "set", "runs")
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
	all, err := f.List()
	for _, one := range all {
		if err == nil {
			err = r.run(one)
		}
	}
	return err
}

// tellable matches names of runs that can be names of folders.
var tellable = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

func (r *reader) run(at field) error {
	fields, err := at.Fields()
	if err != nil {
		return err
	}
	if len(fields) > 0 {
		at = fields[0]
	}
	e := Entry{}
	source, settings := "", slices.Clone(r.set)
	for _, f := range fields {
		var more []field
		switch f.Name {
		case "scenario":
			at = f
			source, err = f.Text()
		case "name":
			e.Name, err = f.Text()
		case "set":
			more, err = f.Fields()
			settings = append(settings, more...)
		case "thresholds":
			e.Thresholds, err = thresholds(f)
		case "needs":
			e.Needs, err = f.Text()
		case "requires":
			e.Requires, err = requires(f)
		default:
			err = f.Unknown("a run", "scenario", "name", "set", "thresholds", "needs", "requires")
		}
		if err != nil {
			return err
		}
	}
	return r.complete(e, source, settings, at)
}

// complete makes the scenario of a run, checks the run, and adds it to the
// suite.
func (r *reader) complete(e Entry, source string, settings []field, at field) error {
	if source == "" {
		return at.Fail("scenario: a run must name a scenario; write one of %s", strings.Join(scenario.Names(), ", "))
	}
	var err error
	if e.Scenario, err = scenario.Load(source); err != nil {
		return at.Fail("scenario: %w", err)
	}
	if e.Name == "" {
		e.Name = e.Scenario.Name
	}
	if !tellable.MatchString(e.Name) {
		return at.Fail("name: %q must be letters, digits, dots and dashes", e.Name)
	}
	if slices.ContainsFunc(r.s.Runs, func(o Entry) bool { return o.Name == e.Name }) {
		return at.Fail("name: %q is already the name of a run; give this run another name", e.Name)
	}
	for _, s := range settings {
		text, err := s.Text()
		if err != nil {
			return err
		}
		if err := e.Scenario.Set(s.Name, text); err != nil {
			return s.Fail("set: %w", err)
		}
	}
	if e.Needs == "" {
		e.Needs = e.Scenario.Needs
	}
	// A run with Needs is always skipped, so the settings for all runs need not
	// be valid for it.
	if err := e.Scenario.Validate(); err != nil && e.Needs == "" {
		return at.Fail("%s: %w", e.Name, err)
	}
	r.s.Runs = append(r.s.Runs, e)
	return nil
}

func thresholds(f field) ([]result.Threshold, error) {
	texts, err := f.Texts()
	if err != nil {
		return nil, err
	}
	var all []result.Threshold
	for _, text := range texts {
		t, err := result.ParseThreshold(text)
		if err != nil {
			return nil, f.Fail("%w", err)
		}
		all = append(all, t)
	}
	return all, nil
}

func requires(f field) ([]string, error) {
	texts, err := f.Texts()
	if err != nil {
		return nil, err
	}
	for _, text := range texts {
		if _, ok := requirements()[text]; !ok {
			return nil, f.Fail("requires: %q is unknown; write one of %s", text,
				strings.Join(slices.Sorted(maps.Keys(requirements())), ", "))
		}
	}
	return texts, nil
}
