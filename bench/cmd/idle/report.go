package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"dotsconnect/bench/internal/cli"
)

// result is the JSON object. Bytes per connection are differences to before,
// divided by the number of connections.
type result struct {
	Program          string   `json:"program"`
	Method           string   `json:"method"`
	Conns            int      `json:"connections"`
	Rooms            int      `json:"rooms"`
	Warmup           int      `json:"warmup_connections"`
	Messages         int      `json:"deliveries"`
	IdleBytes        float64  `json:"idle_rss_bytes_per_connection"`
	ActiveBytes      float64  `json:"active_rss_bytes_per_connection"`
	IdleInuseBytes   *float64 `json:"idle_inuse_bytes_per_connection,omitempty"`
	ActiveInuseBytes *float64 `json:"active_inuse_bytes_per_connection,omitempty"`
	Before           sample   `json:"before"`
	Idle             sample   `json:"idle"`
	Active           sample   `json:"active"`
	Missed           []string `json:"missed"`
}

func (m *meter) per(a, b int64) float64 { return float64(b-a) / float64(m.conns) }

// inuse is what the Go runtime of the server uses: heap spans and stacks.
func inuse(s sample) int64 { return s.Go.HeapInuse + s.Go.StackInuse }

func (m *meter) result() result {
	r := result{
		Program: "idle", Method: "RSS after GC, settled",
		Conns: m.conns, Rooms: m.rooms, Warmup: m.warmup, Messages: m.total,
		IdleBytes:   m.per(m.before.RSS, m.idle.RSS),
		ActiveBytes: m.per(m.before.RSS, m.active.RSS),
		Before:      m.before, Idle: m.idle, Active: m.active,
		Missed: []string{},
	}
	if m.admin == nil {
		r.Method = "RSS settled, no collection forced"
	} else {
		idle, active := m.per(inuse(m.before), inuse(m.idle)), m.per(inuse(m.before), inuse(m.active))
		r.IdleInuseBytes, r.ActiveInuseBytes = &idle, &active
	}
	miss := func(what string, got, limit float64) {
		if limit > 0 && got > limit {
			r.Missed = append(r.Missed, fmt.Sprintf("%s %.0f > %.0f", what, got, limit))
		}
	}
	miss("idle bytes", r.IdleBytes, m.maxIdle)
	miss("active bytes", r.ActiveBytes, m.maxActive)
	if m.admin != nil {
		miss("goroutines", float64(max(m.idle.Go.Goroutines, m.active.Go.Goroutines)), float64(m.maxGoroutines))
	}
	return r
}

// report prints, and returns an error when a threshold was missed.
func (m *meter) report(stdout, stderr io.Writer) error {
	r := m.result()
	table := stdout
	if m.json {
		table = stderr
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	if err := m.table(table, r); err != nil {
		return err
	}
	if len(r.Missed) > 0 {
		return cli.Failf(cli.Missed, "missed: %s", strings.Join(r.Missed, ", "))
	}
	return nil
}

func (m *meter) table(w io.Writer, r result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	p := func(cells ...string) { _, _ = fmt.Fprintln(t, strings.Join(cells, "\t")+"\t") }
	all := [3]sample{m.before, m.idle, m.active}
	row := func(name string, get func(s sample) int64) {
		p(name, cli.Count(get(all[0])), cli.Count(get(all[1])), cli.Count(get(all[2])))
	}
	kB := func(name string, get func(s sample) int64) {
		row(name+" kB", func(s sample) int64 { return get(s) / 1024 })
	}
	each := func(idle, active float64) {
		p("per connection, bytes", "", cli.Count(int64(idle)), cli.Count(int64(active)))
	}

	_, _ = fmt.Fprintf(w, "%s connections in %s rooms; %s; %s deliveries\n",
		cli.Count(m.conns), cli.Count(m.rooms), r.Method, cli.Count(m.total))
	p("", "before", "idle", "active")
	kB("RSS", func(s sample) int64 { return s.RSS })
	each(r.IdleBytes, r.ActiveBytes)
	kB("Pss", func(s sample) int64 { return s.Pss })
	kB("private", func(s sample) int64 { return s.Private })
	if m.admin != nil {
		kB("Go heap in use", func(s sample) int64 { return s.Go.HeapInuse })
		kB("Go stacks", func(s sample) int64 { return s.Go.StackInuse })
		each(*r.IdleInuseBytes, *r.ActiveInuseBytes)
		kB("Go heap given back", func(s sample) int64 { return s.Go.HeapReleased })
		row("goroutines", func(s sample) int64 { return s.Go.Goroutines })
	}
	row("threads", func(s sample) int64 { return s.Threads })
	row("descriptors", func(s sample) int64 { return s.Descriptors })
	if err := t.Flush(); err != nil {
		return err
	}
	for i, name := range []string{"before", "idle", "active"} {
		if !all[i].Settled {
			_, _ = fmt.Fprintf(w, "note: RSS %q had not settled after %v\n", name, m.settle)
		}
	}
	return nil
}
