// Package suite runs lists of scenarios and sums up their outcomes. One suite has short runs for
// every commit. Another has all scenarios at full size, for a release. A third has runs with up to
// a million connections.
package suite

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
	"dotsconnect/bench/scenario"
)

//go:embed files/*.yaml
var files embed.FS

// Suite is a list of runs.
type Suite struct {
	Name  string
	About string
	Needs string // requirements of the suite, printed if the machine does not meet them
	Runs  []Entry
}

// Entry is one run of a suite.
type Entry struct {
	Name       string
	Scenario   scenario.Scenario
	Thresholds []result.Threshold
	Needs      string   // if not empty, the run is always skipped; names the missing feature that the run needs
	Requires   []string // names of requirements; the run is skipped if the command line does not meet all of them
}

// requirement is a condition that a run sets for the command line; text
// describes it.
type requirement struct {
	text string
	met  func(spec *runner.Spec) bool
}

func requirements() map[string]requirement {
	return map[string]requirement{
		// The server of an adapter cannot be restarted. A restart also needs a
		// single generator, because this process kills the server.
		"server-cmd": {"--server-cmd (the run restarts the server), without --servers, --procs and --workers",
			func(s *runner.Spec) bool {
				return s.ServerCmd != "" && s.Servers <= 1 && s.Procs <= 1 && len(s.Workers) == 0
			}},
		"server-cmds": {"--server-cmd and --servers 2 or more (the run restarts one of the servers), without --procs and --workers",
			func(s *runner.Spec) bool {
				return s.ServerCmd != "" && s.Servers > 1 && s.Procs <= 1 && len(s.Workers) == 0
			}},
		"servers": {"two servers that are one system: --servers 2, or two addresses in --url",
			func(s *runner.Spec) bool { return s.Servers > 1 || strings.Contains(s.URL, ",") }},
		"hurt-cmd": {"--hurt-cmd and --heal-cmd",
			func(s *runner.Spec) bool { return s.HurtCmd != "" && s.HealCmd != "" }},
	}
}

// lacks describes the needs of a run that spec does not meet; it returns "" if
// there are none.
func (e *Entry) lacks(spec *runner.Spec) string {
	if e.Needs != "" {
		return e.Needs
	}
	var missing []string
	for _, name := range e.Requires {
		if r := requirements()[name]; !r.met(spec) {
			missing = append(missing, r.text)
		}
	}
	return strings.Join(missing, "; ")
}

// order is the order in which suites are listed.
var order = []string{"smoke", "full", "million"}

// Names returns the names of the suites in the binary.
func Names() []string {
	entries, err := fs.ReadDir(files, "files")
	if err != nil {
		panic(err) // cannot happen: the folder is embedded in the binary
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	slices.SortFunc(names, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) })
	return names
}

// Text returns the text of the file of a suite in the binary.
func Text(name string) ([]byte, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("unknown suite %q: write one of %s, or the path of a .yaml or .yml file", name, strings.Join(Names(), ", "))
	}
	return files.ReadFile(path.Join("files", name+".yaml"))
}

// Load reads the suite file with this name if it ends in .yaml or .yml, or else
// the suite of the binary with this name.
func Load(name string) (*Suite, error) {
	if strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("suite file: %w", err)
		}
		return Parse(name, text)
	}
	text, err := Text(name)
	if err != nil {
		return nil, err
	}
	return Parse(name+".yaml", text)
}

// Only keeps the runs with these names and drops all others.
func (s *Suite) Only(names []string) error {
	if len(names) == 0 {
		return nil
	}
	var left []Entry
	for _, name := range names {
		i := slices.IndexFunc(s.Runs, func(e Entry) bool { return e.Name == name })
		if i < 0 {
			var all []string
			for _, e := range s.Runs {
				all = append(all, e.Name)
			}
			return fmt.Errorf("%q is not in suite %s: write one of %s", name, s.Name, strings.Join(all, ", "))
		}
		left = append(left, s.Runs[i])
	}
	s.Runs = left
	return nil
}
