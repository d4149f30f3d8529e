package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"dotsconnect/bench/internal/cli"
)

// result is the JSON object.
type result struct {
	Program         string         `json:"program"`
	Seed            uint64         `json:"seed"`
	Rooms           int            `json:"rooms"`
	Members         int            `json:"members_per_room"`
	Seconds         float64        `json:"seconds"`
	Resets          map[string]int `json:"resets"`
	ResetsPerSecond float64        `json:"resets_per_second"`
	OtherEnds       map[string]int `json:"other_ends"`
	Sent            int            `json:"messages_sent"`
	LateP50         float64        `json:"send_lateness_p50_ms"`
	LateP99         float64        `json:"send_lateness_p99_ms"`
	Deliveries      int            `json:"deliveries_checked"`
	FromResetters   int            `json:"deliveries_from_resetters"`
	Counts          map[kind]int   `json:"violation_counts"`
	Violations      []string       `json:"violations"`
}

func (t *trial) result() result {
	r := result{
		Program: "churn", Seed: t.seed, Rooms: t.rooms, Members: t.members,
		Seconds: float64(t.end-t.start) / 1e9, Resets: map[string]int{}, OtherEnds: t.others, Sent: t.sends - t.skipped,
		LateP50: t.latePercentile(50), LateP99: t.latePercentile(99), Deliveries: t.ledger.deliveries,
		FromResetters: t.ledger.fromResetters, Counts: t.ledger.counts, Violations: append([]string{}, t.ledger.lines...),
	}
	total := 0
	for at, n := range t.done {
		r.Resets[pointNames[at]] = n
		total += n
	}
	r.ResetsPerSecond = float64(total) / r.Seconds
	return r
}

func (t *trial) report(stdout, stderr io.Writer) error {
	r := t.result()
	table := stdout
	if t.json {
		table = stderr
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(table, t.table(r)); err != nil {
		return err
	}
	switch n := t.ledger.violations(); {
	case n > 0:
		return cli.Failf(cli.Violated, "%s violations: %s", cli.Count(n), list(r.Counts))
	case !t.finished:
		return cli.Failf(cli.Invalid, "the time limit of %v came after %s of %s resets", t.limit, cli.Count(t.ended), cli.Count(t.resets))
	case t.opened*10 < t.planned*9:
		return cli.Failf(cli.Invalid, "only %s of %s handshakes of resetters were answered", cli.Count(t.opened), cli.Count(t.planned))
	}
	return nil
}

// list writes a map of counts in the order of its names.
func list[K ~string](counts map[K]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %s", cli.Count(counts[name]), strings.ReplaceAll(string(name), "_", " ")))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func (t *trial) table(r result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d hot rooms of %d, %s for %.1f s, seed %d\n", t.rooms, t.members, t.rate.String(), r.Seconds, t.seed)
	fmt.Fprintf(&b, "resets:      %.0f/s: %s\n", r.ResetsPerSecond, list(r.Resets))
	fmt.Fprintf(&b, "other ends:  %s\n", list(r.OtherEnds))
	fmt.Fprintf(&b, "sent:        %s messages, late by p50 %.2f ms, p99 %.2f ms\n", cli.Count(r.Sent), r.LateP50, r.LateP99)
	fmt.Fprintf(&b, "deliveries:  %s checked, %s of them from resetters\n", cli.Count(r.Deliveries), cli.Count(r.FromResetters))
	fmt.Fprintf(&b, "violations:  %s\n", list(r.Counts))
	for _, line := range r.Violations {
		fmt.Fprintf(&b, "VIOLATION %s\n", line)
	}
	if more := t.ledger.violations() - len(r.Violations); more > 0 {
		fmt.Fprintf(&b, "VIOLATION … and %s more\n", cli.Count(more))
	}
	return b.String()
}
