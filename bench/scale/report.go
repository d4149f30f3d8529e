package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"dotsconnect/bench/internal/cli"
)

// snapshot is what the lab measured in the guest at a mark. The figures per
// connection are the growth since the mark "baseline".
type snapshot struct {
	Name      string `json:"name"`
	Pairs     int    `json:"pairs"` // TCP connections with both ends in the guest
	ServerKB  int64  `json:"server_rss_kb"`
	Server    int64  `json:"server_bytes_per_conn"`
	Kernel    int64  `json:"kernel_bytes_per_conn"`
	Generator int64  `json:"generator_bytes_per_conn"`
}

// report has the contents of the lab's JSON lines.
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
			Data   json.RawMessage `json:"data"` // for the server: its log
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

// held is the number of connections in the guest's kernel at a mark, without
// those from before the generator started (the server's listening sockets).
// The mark "baseline" would be wrong here: the server may still be closing
// connections of the warm-up.
func (r *report) held(mark string) int {
	m, ok := r.marks[mark]
	if !ok {
		return 0
	}
	return m.Pairs - r.marks["start"].Pairs
}

func (r *report) print(w io.Writer, o labOptions) {
	if _, ok := r.marks["connected"]; !ok {
		return // there are no figures to print
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
	_, _ = fmt.Fprintf(w, "  %s connections sent a heartbeat while idle; all lines are in %s\n", cli.Count(r.steps["idle"].Heartbeats), o.out)
}

// judge does not rely on the generator alone: the guest's kernel must have
// held the connections, and every broadcast must be accounted for.
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
			return cli.Failf(cli.Invalid, "the results lack the mark %q", mark)
		}
		if held := r.held(mark); mark != "start" && mark != "baseline" && held < conns {
			return cli.Failf(cli.Violated, "the kernel held %d of %d connections at the mark %q", held, conns, mark)
		}
	}
	return judge(last, conns)
}
