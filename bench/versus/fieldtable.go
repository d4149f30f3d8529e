package versus

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"dotsconnect/bench/internal/cli"
)

// column is a column of a table of a field.
type column struct {
	key   string // second part of a key in Server.Figures; the first part is the key of the table
	head  [2]string
	value func(run *Run) float64 // returns the value of a run; 0: none
	base  string                 // the row with which the value is compared, by the function in by; empty: none
	by    func(own, base float64) float64
	mark  func(run *Run) string // returns the Mark of a run; may be nil
	show  func(v float64) string
	some  bool // the column is left out if no row has a value
}

// columns returns the columns of a table.
func (t *Table) columns() []column {
	var all []column
	if t.closed() {
		share := float64(t.scenario.Rooms) / float64(t.scenario.Conns) // messages per delivery: each member of a room gets each message
		rate := column{key: "rate", head: [2]string{"messages/s", "most"}, show: count,
			value: func(run *Run) float64 { return run.DeliveredRate * share },
			mark:  func(run *Run) string { return markIf(len(run.Invalid) > 0, AtLeast) }}
		all = append(all, rate)
		if t.Base != "" {
			rate.key, rate.head, rate.base, rate.mark = "times", [2]string{"times", t.Base}, t.Base, nil
			rate.by = func(own, base float64) float64 { return own / base }
			rate.show = func(v float64) string { return fmt.Sprintf("%.1f", v) }
			all = append(all, rate)
		}
	} else {
		all = append(all, latencyColumn("p50"), latencyColumn("p99"))
		if t.Base != "" {
			more := latencyColumn("p50")
			more.key, more.head, more.base = "p50more", [2]string{"p50 ms above", t.Base}, t.Base
			more.by = func(own, base float64) float64 { return own - base }
			all = append(all, more)
		}
	}
	servers := "server"
	if t.Nodes > 1 {
		servers = fmt.Sprintf("%d servers", t.Nodes)
	}
	return append(all,
		column{key: "percall", some: true, head: [2]string{"messages", "a call"}, show: func(v float64) string { return fmt.Sprintf("%.1f", v) },
			value: func(run *Run) float64 { return run.PerCall }},
		column{key: "cpu", some: true, head: [2]string{"CPU us a message", servers}, show: micros, value: func(run *Run) float64 { return run.cost(run.CPUPerMessage) }},
		column{key: "beside", some: true, head: [2]string{"CPU us a message", "beside it"}, show: micros, value: func(run *Run) float64 { return run.cost(run.BesidePerMessage) }})
}

func latencyColumn(name string) column {
	return column{key: name, head: [2]string{name, "ms"}, show: millis, value: func(run *Run) float64 { return run.millis(name) }}
}

// figure returns the figure of a server in a column of a table. It returns
// false if there is none, or if the server broke a promise in a run of this
// table.
func (r *FieldReport) figure(t *Table, c *column, s *Server) (Figure, bool) {
	var values []float64
	mark := ""
	if s.broken(t.Key) != "" || c.base == s.Name || c.base != "" && r.server(c.base).broken(t.Key) != "" {
		return Figure{}, false
	}
	for i := range s.Runs {
		run := &s.Runs[i]
		if run.Experiment != t.Key || c.value(run) == 0 {
			continue
		}
		v := c.value(run)
		if c.base != "" {
			base := r.inRound(t, c, run.Round)
			if base == 0 {
				continue
			}
			v = c.by(v, base)
		}
		values = append(values, v)
		if c.mark != nil && mark == "" {
			mark = c.mark(run)
		}
	}
	if len(values) == 0 {
		return Figure{}, false
	}
	f := summarize(values)
	f.Mark = mark
	return f, true
}

// inRound returns the value of the base of a column in a round, or 0. Values
// are compared within a round, because the runs of a round are only seconds
// apart.
func (r *FieldReport) inRound(t *Table, c *column, round int) float64 {
	base := r.server(c.base)
	i := slices.IndexFunc(base.Runs, func(run Run) bool { return run.Experiment == t.Key && run.Round == round })
	if i < 0 {
		return 0
	}
	return c.value(&base.Runs[i])
}

// conclude computes the figures, the outcome of the goals, and the notes from
// the runs.
func (r *FieldReport) conclude() {
	for i := range r.Servers {
		r.Servers[i].Figures = map[string]Figure{}
	}
	for i := range r.Tables {
		t := &r.Tables[i]
		columns := t.columns()
		for _, name := range t.Rows {
			s := r.server(name)
			for c := range columns {
				if f, ok := r.figure(t, &columns[c], s); ok {
					s.Figures[t.Key+"."+columns[c].key] = f
				}
			}
			r.note(t, s)
		}
		for g := range t.Goals {
			r.judge(t, &t.Goals[g])
		}
	}
}

// note adds a note about a server in a table, if its runs were INVALID or broke
// a promise.
func (r *FieldReport) note(t *Table, s *Server) {
	if why := s.broken(t.Key); why != "" {
		r.Notes = append(r.Notes, fmt.Sprintf("%s: %s: INVALID: %s", t.Title, s.Name, why))
		return
	}
	invalid, why := 0, ""
	for _, run := range s.Runs {
		if run.Experiment == t.Key && len(run.Invalid) > 0 {
			invalid, why = invalid+1, run.Invalid[0]
		}
	}
	if invalid > 0 {
		what := "the latencies do not count"
		if t.closed() {
			what = AtLeast
		}
		r.Notes = append(r.Notes, fmt.Sprintf("%s: %s: %d of %d runs: %s: %s", t.Title, s.Name, invalid, r.Rounds, what, why))
	}
}

// judge computes the outcome of a goal.
func (r *FieldReport) judge(t *Table, d *Demand) {
	columns := t.columns()
	i := slices.IndexFunc(columns, func(c column) bool { return c.key == d.Figure })
	if i < 0 {
		return
	}
	c := columns[i]
	c.base, c.mark = d.Against, nil
	if d.Times > 0 {
		c.by = func(own, base float64) float64 { return own / base }
	} else {
		c.by = func(own, base float64) float64 { return 1000 * (own - base) }
	}
	f, ok := r.figure(t, &c, r.server(d.Server))
	if !ok {
		return
	}
	d.Found, d.Met = &f, f.Median >= d.Times
	if d.Times == 0 {
		d.Met = f.Median <= d.MoreUs
	}
}

// Table writes the report for a terminal.
func (r *FieldReport) Table(w io.Writer) error {
	return r.write(w, paper{func(text string) string { return text + "\n" }, "  ", grid.text})
}

// Markdown writes the report as Markdown.
func (r *FieldReport) Markdown(w io.Writer) error {
	return r.write(w, paper{func(text string) string { return "**" + text + "**\n\n" }, "- ", grid.markdown})
}

func (r *FieldReport) write(w io.Writer, p paper) error {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "%s, %d CPUs, Linux %s, %s%s\n", m.CPU, m.CPUs, m.Kernel, m.Go, commit(m.Commit, m.Modified))
	head := Report{Rounds: r.Rounds, Quick: r.Quick}
	fmt.Fprintf(&b, "%s; medians%s\n", head.how(), spread(r.Rounds))
	for i := range r.Tables {
		t := &r.Tables[i]
		b.WriteString("\n" + p.title(t.Title))
		p.grid(r.grid(t), &b)
		if len(t.Goals) > 0 {
			b.WriteString("\n")
		}
		for _, d := range t.Goals {
			b.WriteString(p.item + d.String() + "\n")
		}
	}
	r.footer(&b, p)
	_, err := io.WriteString(w, b.String())
	return err
}

// footer writes the number of proved deliveries, the descriptions of the
// servers, and the notes.
func (r *FieldReport) footer(b *strings.Builder, p paper) {
	fmt.Fprintf(b, "\n%s deliveries were proved: each arrived undamaged, once, in order and in its room", cli.Count(r.Proved))
	if r.Verdict() != nil {
		b.WriteString(" (rows marked INVALID are an exception)")
	}
	b.WriteString("\n\n" + p.title("The servers"))
	for _, s := range r.Servers {
		fmt.Fprintf(b, "%s%s: %s%s%s\n", p.item, s.Name, s.Library, phrase("more", s.More), phrase("less", s.Less))
	}
	if len(r.Notes) > 0 {
		b.WriteString("\n" + p.title("Notes"))
	}
	for _, n := range r.Notes {
		b.WriteString(p.item + n + "\n")
	}
}

// grid arranges the figures of a table in rows and columns.
func (r *FieldReport) grid(t *Table) grid {
	columns := slices.DeleteFunc(t.columns(), func(c column) bool {
		return c.some && !slices.ContainsFunc(t.Rows, func(name string) bool {
			_, ok := r.server(name).Figures[t.Key+"."+c.key]
			return ok
		})
	})
	g := grid{head: [][2]string{{"", "server"}}}
	for _, c := range columns {
		g.head = append(g.head, c.head)
	}
	for _, name := range t.Rows {
		s := r.server(name)
		row := []string{name}
		switch {
		case s.Skipped != "":
			row = append(row, "skipped: "+s.Skipped)
		case s.broken(t.Key) != "":
			row = append(row, "INVALID: "+s.broken(t.Key))
		default:
			for _, c := range columns {
				f, ok := s.Figures[t.Key+"."+c.key]
				text := cell(f, ok, c.show)
				if !ok && !c.some && c.base != name {
					text = "invalid"
				}
				row = append(row, text)
			}
		}
		g.rows = append(g.rows, row)
	}
	return g
}

func (d Demand) String() string {
	if d.Found == nil {
		return "not measured: " + d.Text
	}
	word := "MISSED"
	if d.Met {
		word = "met"
	}
	show := func(v float64) string { return fmt.Sprintf("%.1f", v) }
	if d.Times == 0 {
		show = func(v float64) string { return cli.Count(int64(v)) + "us" }
	}
	return fmt.Sprintf("%-6s %s: %s", word, d.Text, cell(*d.Found, true, show))
}
