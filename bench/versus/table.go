package versus

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"dotsconnect/bench/internal/cli"
)

// grid is a table for printing. Its head has two lines. The first cell of a row
// is the name of a server. A row of only two cells has a text in place of the
// figures.
type grid struct {
	head [][2]string
	rows [][]string
}

func (r *Report) grid(metrics []metric) grid {
	g := grid{head: [][2]string{{"", "server"}}}
	for _, m := range metrics {
		g.head = append(g.head, m.head)
	}
	for i := range r.Servers {
		s := &r.Servers[i]
		if s.Skipped != "" {
			g.rows = append(g.rows, []string{s.Name, "skipped: " + s.Skipped})
			continue
		}
		row := []string{s.Name}
		for _, m := range metrics {
			f, ok := s.Figures[m.key]
			text := cell(f, ok, m.show)
			if !ok && s.invalid(m.in) {
				text = "invalid"
			}
			row = append(row, text)
		}
		g.rows = append(g.rows, row)
	}
	row, some := []string{floorName}, false
	for _, m := range metrics {
		f, ok := r.floorFigure(&m)
		some = some || ok
		row = append(row, cell(f, ok, m.show))
	}
	if some {
		g.rows = append(g.rows, row)
	}
	return g
}

func cell(f Figure, ok bool, show func(v float64) string) string {
	if !ok {
		return "-"
	}
	text := show(f.Median)
	if f.Runs > 1 {
		text += " (" + show(f.Min) + ".." + show(f.Max) + ")"
	}
	if f.Mark == AtLeast {
		return AtLeast + " " + text
	}
	return text + f.Mark
}

// text writes the grid for a terminal. Names are aligned left, figures right.
func (g grid) text(b *strings.Builder) {
	width := make([]int, len(g.head))
	wider := func(i int, s string) { width[i] = max(width[i], utf8.RuneCountInString(s)) }
	for i, h := range g.head {
		wider(i, h[0])
		wider(i, h[1])
	}
	for _, row := range g.rows {
		wider(0, row[0])
		for i := 1; i < len(row) && len(row) == len(g.head); i++ {
			wider(i, row[i])
		}
	}
	line := func(cells []string) {
		out := fmt.Sprintf("%-*s", width[0], cells[0])
		for i, c := range cells[1:] {
			if len(cells) == len(g.head) {
				out += fmt.Sprintf("  %*s", width[i+1], c)
			} else {
				out += "  " + c
			}
		}
		b.WriteString(strings.TrimRight(out, " ") + "\n")
	}
	for l := range 2 {
		var cells []string
		for _, h := range g.head {
			cells = append(cells, h[l])
		}
		line(cells)
	}
	for _, row := range g.rows {
		line(row)
	}
}

// markdown writes the grid as a table in Markdown.
func (g grid) markdown(b *strings.Builder) {
	head, rule := "|", "|"
	for i, h := range g.head {
		head += " " + strings.TrimPrefix(h[0]+"<br>"+h[1], "<br>") + " |"
		if i == 0 {
			rule += "---|"
		} else {
			rule += "---:|"
		}
	}
	b.WriteString(head + "\n" + rule + "\n")
	for _, row := range g.rows {
		cells := make([]string, len(g.head))
		copy(cells, row)
		for i := range cells {
			cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
}

// paper has the parts of a report that differ between a terminal and Markdown.
type paper struct {
	title func(text string) string
	item  string
	grid  func(g grid, b *strings.Builder)
}

// Table writes the report for a terminal.
func (r *Report) Table(w io.Writer) error {
	return r.write(w, paper{func(text string) string { return text + "\n" }, "  ", grid.text})
}

// Markdown writes the report as Markdown.
func (r *Report) Markdown(w io.Writer) error {
	return r.write(w, paper{func(text string) string { return "**" + text + "**\n\n" }, "- ", grid.markdown})
}

func (r *Report) write(w io.Writer, p paper) error {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "%s, %d CPUs, Linux %s, %s%s\n", m.CPU, m.CPUs, m.Kernel, m.Go, commit(m.Commit, m.Modified))
	fmt.Fprintf(&b, "%s; medians%s; messages of %d bytes, seed %d\n\n", r.how(), spread(r.Rounds), messageBytes, r.Seed)
	all := r.metrics()
	b.WriteString(p.title("CPU us per delivery"))
	p.grid(r.grid(all[:perDelivery]), &b)
	b.WriteString("\n" + p.title("Throughput, latency, memory, connects"))
	p.grid(r.grid(all[perDelivery:]), &b)
	b.WriteString("\n")
	r.legend(&b, p)
	b.WriteString("\n" + p.title("Our server and its goals"))
	for _, g := range r.Goals {
		b.WriteString(p.item + r.goal(g) + "\n")
	}
	b.WriteString("\n" + p.title("Work that another server does and ours does not, or the other way round"))
	for _, s := range r.Servers[1:] {
		fmt.Fprintf(&b, "%s%s (%s)%s%s\n", p.item, s.Name, s.Library, phrase("more", s.More), phrase("less", s.Less))
	}
	if len(r.Notes) > 0 {
		b.WriteString("\n" + p.title("Notes"))
	}
	for _, n := range r.Notes {
		b.WriteString(p.item + n + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) how() string {
	text := cli.Count(r.Rounds) + " rounds"
	if r.Rounds == 1 {
		text = "1 round"
	}
	if r.Quick {
		text += ", small and short: rough figures only"
	}
	if r.Pinned {
		return text + "; each server alone on the first CPU, the generator on the others"
	}
	return text + "; servers and generator share the CPUs"
}

func spread(rounds int) string {
	if rounds == 1 {
		return " of one run each"
	}
	return " (least..greatest)"
}

func commit(id string, modified bool) string {
	if id == "" {
		return ""
	}
	text := ", commit " + id[:min(12, len(id))]
	if modified {
		text += " with changes"
	}
	return text
}

func (r *Report) legend(b *strings.Builder, p paper) {
	at := map[string]Experiment{}
	for _, x := range r.Experiments {
		at[x.Key] = x
	}
	line := func(format string, args ...any) { fmt.Fprintf(b, p.item+format+"\n", args...) }
	line("messages: one at a time, %s; bursts of 32, %s in all; echo, %s; all publishing (%s): each connection sends again when its own message has come back",
		at[One].Scenario["rate"], at[Burst].Scenario["rate"], at[Echo].Scenario["rate"], at[Rooms].Rooms)
	line("%s: the cost of the kernel alone for a delivery: its share of a send of 1, 32 or 8 frames and, in small rooms, of the receive of its message", floorName)
	marks := map[string]string{
		AtLeast: "the generator or the machine was the limit; the server can do more",
		Busy:    "the server was never idle. A busy server wakes up less often and batches more, so its cost may look lower than it is",
	}
	for _, mark := range []string{AtLeast, Busy} {
		if r.uses(mark) {
			line("%s %s", mark, marks[mark])
		}
	}
}

// invalid reports whether a run of the server in this experiment was INVALID,
// so that its rates and latencies do not count.
func (s *Server) invalid(experiment string) bool {
	for _, run := range s.Runs {
		if run.Experiment == experiment && len(run.Invalid) > 0 {
			return true
		}
	}
	return false
}

func (r *Report) uses(mark string) bool {
	for _, s := range r.Servers {
		for _, f := range s.Figures {
			if f.Mark == mark {
				return true
			}
		}
	}
	return false
}

func (r *Report) goal(g Goal) string {
	if g.Ratio == nil {
		return fmt.Sprintf("not measured: %s compared with %s", r.title(g.What), g.Against)
	}
	word := "MISSED"
	if g.Met {
		word = "met"
	}
	return fmt.Sprintf("%-6s %s: %s of %s, goal at most %.2f", word, r.title(g.What),
		cell(*g.Ratio, true, func(v float64) string { return fmt.Sprintf("%.2f", v) }), g.Against, g.AtMost)
}

func phrase(word, text string) string {
	if text == "" {
		return ""
	}
	return "; " + word + ": " + text
}
