package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"dotsconnect/bench/internal/cli"
)

// snapshot has the measurements of the virtual machine at a mark. The figures
// per connection are the growth since the mark "baseline".
type snapshot struct {
	Name      string `json:"name"`
	Pairs     int    `json:"pairs"` // TCP connections; both ends are in the virtual machine
	ServerKB  int64  `json:"server_rss_kb"`
	Server    int64  `json:"server_bytes_per_conn"`
	Kernel    int64  `json:"kernel_bytes_per_conn"`
	Generator int64  `json:"generator_bytes_per_conn"`
}

// report has the contents of the output file, which has a JSON object per line.
type report struct {
	marks map[string]snapshot
	steps map[string]step
}

func readReport(in io.Reader) (*report, error) {
	r := &report{map[string]snapshot{}, map[string]step{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var line struct {
			Source string          `json:"source"`
			Event  string          `json:"event"`
			Data   json.RawMessage `json:"data"` // a step of the generator, or a log line of the server
			snapshot
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		switch {
		case line.Source == "generator":
			var s step
			if err := json.Unmarshal(line.Data, &s); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			r.steps[s.Phase] = s
		case line.Event == "mark":
			r.marks[line.Name] = line.snapshot
		}
	}
	return r, lines.Err()
}

// held returns the number of connections that the kernel of the virtual machine
// had at a mark. It subtracts those at the mark "start", which are the server's
// listening sockets. The mark "baseline" would be the wrong mark to subtract,
// because the server may still be closing connections of the warm-up.
func (r *report) held(mark string) int {
	m, ok := r.marks[mark]
	if !ok {
		return 0
	}
	return m.Pairs - r.marks["start"].Pairs
}

func (r *report) print(w io.Writer, o labOptions) {
	if _, ok := r.marks["connected"]; !ok {
		return // the run failed before there were figures
	}
	last := r.steps["broadcast"]
	_, _ = fmt.Fprintf(w, "\nscale: %s connections in rooms of %s, in a virtual machine with %s of memory\n",
		cli.Count(o.conns), cli.Count(o.room), o.memory)
	const line = "  %-24s%12s%12s%18s%s\n"
	row := func(name, unit string, of func(mark string) int64) {
		var cells [3]string
		for i, mark := range [...]string{"connected", "idle", "broadcast"} {
			cells[i] = "-"
			if _, ok := r.marks[mark]; ok {
				cells[i] = cli.Count(of(mark))
			}
		}
		_, _ = fmt.Fprintf(w, line, name, cells[0], cells[1], cells[2], unit)
	}
	_, _ = fmt.Fprintf(w, line, "", "connected", "idle", "after broadcast", "")
	row("connections held", "", func(m string) int64 { return int64(r.held(m)) })
	row("server, user (RSS)", "  B a connection", func(m string) int64 { return r.marks[m].Server })
	row("kernel, both ends", "  B a connection", func(m string) int64 { return r.marks[m].Kernel })
	row("generator, user (RSS)", "  B a connection", func(m string) int64 { return r.marks[m].Generator })
	if p := last.Proof; p != nil {
		_, _ = fmt.Fprintf(w, "  %s of %s connections got every broadcast of their room: %s of %s deliveries, "+
			"%d lost, %d doubled, %d reordered, %d foreign, %d damaged\n", cli.Count(last.Complete), cli.Count(o.conns),
			cli.Count(p.Received), cli.Count(p.Expected), p.Lost, p.Doubled, p.Reordered, p.Foreign, p.Damaged)
	}
	_, _ = fmt.Fprintf(w, "  %s connections sent a heartbeat during the idle phase; all results are in %s\n", cli.Count(r.steps["idle"].Heartbeats), o.out)
}

// judge returns an error if the run failed. It does not rely only on the
// generator: the kernel of the virtual machine must also have had all
// connections.
func (r *report) judge(conns int) error {
	if r == nil {
		return cli.Failf(cli.Invalid, "the lab wrote no results")
	}
	last, ok := r.steps["broadcast"]
	if !ok || last.Proof == nil {
		return cli.Failf(cli.Invalid, "the results have no line about the broadcast")
	}
	for _, mark := range []string{"start", "baseline", "connected", "idle", "broadcast"} {
		if _, ok := r.marks[mark]; !ok {
			return cli.Failf(cli.Invalid, "the results have no mark %q", mark)
		}
		if held := r.held(mark); mark != "start" && mark != "baseline" && held < conns {
			return cli.Failf(cli.Violated, "the kernel had %d of %d connections at the mark %q", held, conns, mark)
		}
	}
	return judge(last, conns)
}
