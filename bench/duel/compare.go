package duel

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/result"
)

// Load is result.Load: it reads a result.json, or the result.json in a folder.
func Load(path string) (*result.Result, error) { return result.Load(path) }

// Comparison compares two results.
type Comparison struct {
	A, B         *result.Result
	NameA, NameB string
}

// Table writes the comparison as a table for people.
func (c *Comparison) Table(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "A  %s: %s\nB  %s: %s\n", c.NameA, about(c.A), c.NameB, about(c.B))
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "\tA\tB\tB/A\tchange\tcounts\t")
	for _, f := range Figures() {
		if f.Of(c.A) > 0 || f.Of(c.B) > 0 {
			c.row(t, f)
		}
	}
	_, _ = fmt.Fprintf(t, "violations\t%s\t%s\t\t\tyes\t\n", cli.Count(c.A.Proof.Sum()), cli.Count(c.B.Proof.Sum()))
	if err := t.Flush(); err != nil {
		return err
	}
	for _, text := range c.warnings() {
		fmt.Fprintf(&b, "WARNING %s\n", text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func about(r *result.Result) string {
	text := fmt.Sprintf("%s, seed %d, %s", r.Name, r.Seed, r.Started)
	switch {
	case r.Died != "":
		text += ", its server DIED"
	case r.Proof.Sum() > 0:
		text += ", VIOLATION"
	}
	if len(r.Invalid) > 0 {
		text += ", INVALID: " + strings.Join(r.Invalid, "; ")
	}
	return text
}

func (c *Comparison) row(w io.Writer, f Figure) {
	cell := func(v float64) string {
		if v <= 0 {
			return "-"
		}
		return f.Show(v)
	}
	a, b := f.Of(c.A), f.Of(c.B)
	// Show no ratio for figures that prove nothing, because a reader might
	// quote it.
	ratio, change, counts := "-", "-", "yes"
	if why := c.against(f); why != "" {
		counts = "no: " + why
	} else {
		ratio, change = fmt.Sprintf("%.3f", b/a), fmt.Sprintf("%+.1f %%", 100*(b/a-1))
	}
	_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t\n", f.Label, cell(a), cell(b), ratio, change, counts)
}

// against returns why the values of a figure cannot be compared, or "" if they
// can.
func (c *Comparison) against(f Figure) string {
	var doubts []string
	for _, side := range []struct {
		name string
		r    *result.Result
	}{{"A", c.A}, {"B", c.B}} {
		if f.Of(side.r) <= 0 {
			return side.name + " lacks this figure"
		}
		if why := f.Doubt(side.r); why != "" {
			doubts = append(doubts, side.name+": "+why)
		}
	}
	if why := f.Doubt(c.A); why != "" && why == f.Doubt(c.B) {
		return "A and B: " + why
	}
	return strings.Join(doubts, "; ")
}

// warnings describes differences between the two runs that make figures hard to
// compare: schema, scenario, machine.
func (c *Comparison) warnings() []string {
	var all []string
	if c.A.Schema != c.B.Schema {
		all = append(all, fmt.Sprintf("the schemas differ (%d, %d): figures may have changed their meaning", c.A.Schema, c.B.Schema))
	}
	if c.A.Name != c.B.Name {
		all = append(all, fmt.Sprintf("the scenarios differ (%s, %s)", c.A.Name, c.B.Name))
	}
	if d := differences(c.A.Scenario, c.B.Scenario); len(d) > 0 {
		all = append(all, "fields of the scenario differ: "+strings.Join(d, ", "))
	}
	if d := differences(machine(c.A), machine(c.B)); len(d) > 0 {
		all = append(all, "the machines differ: "+strings.Join(d, ", "))
	}
	return all
}

func differences(a, b map[string]string) []string {
	var all []string
	names := maps.Clone(a)
	maps.Copy(names, b)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if a[name] != b[name] {
			all = append(all, fmt.Sprintf("%s (%s, %s)", name, orNone(a[name]), orNone(b[name])))
		}
	}
	return all
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// machine returns those properties of the machine that change figures. The
// memory is rounded, because its size differs by a few pages after each boot.
func machine(r *result.Result) map[string]string {
	m := r.Machine
	return map[string]string{
		"cpu": m.CPU, "cpus": fmt.Sprint(m.CPUs), "kernel": m.Kernel, "arch": m.Arch, "cpu governor": m.Governor,
		"memory": fmt.Sprintf("%.1f GB", float64(m.Memory)/1e9),
	}
}
