// Package slices compares servers that all run and have their connections at the same time. In a
// turn each server works once, for a slice of some hundred milliseconds, while the other servers
// have no work. The order of the servers rotates from turn to turn. Ratios are computed within a
// turn, so the two slices of a ratio are about a second apart. Within a second the load by other
// virtual machines, the heat and the clock rate change little. So the ratios of several turns agree
// within 2 to 3 %. The ratios of whole runs, which are made one after the other, differ by 10 %.
//
// If other programs or virtual machines used more than a tenth of a CPU during a slice, the slice
// is dropped: it is counted, and the ratios that need it are left out.
package slices

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/adapter"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
	"dotsconnect/bench/stats"
)

// Config configures a comparison.
type Config struct {
	Servers  []adapter.Adapter // all other servers are compared with the first server, the base
	Rows     []Row
	Sittings int // minimum number of sittings; for each sitting all servers are started again
	Turns    int // turns per sitting; in each turn every server works once
	Most     int // maximum number of sittings: more are made while an interval is too wide
	Length   time.Duration
	Progress *cli.Progress
}

// Limits of a comparison.
const (
	mostForeign = 0.1  // a slice is dropped if other programs used a larger share of a CPU than this
	wide        = 0.05 // an interval is too wide if half its width is more than this share of the ratio
)

// A Report has the results: a line for each server and each figure of each row.
type Report struct {
	Schema  int            `json:"schema"`
	Program string         `json:"program"`
	Started string         `json:"started"`
	Machine result.Machine `json:"machine"`
	Servers []string       `json:"servers"`
	Pinned  bool           `json:"pinned"`
	Lines   []Line         `json:"lines"`
}

// Line is a figure of a server, compared with the same figure of the base.
type Line struct {
	Row     string      `json:"row"`
	Figure  string      `json:"figure"`
	Unit    string      `json:"unit"`
	Server  string      `json:"server"`
	Base    float64     `json:"base"` // median of the base; Value: median of the server
	Value   float64     `json:"value"`
	Ratio   stats.Ratio `json:"ratio"`
	Dropped int         `json:"dropped"`
	Must    float64     `json:"must,omitempty"`
	Aim     float64     `json:"aim,omitempty"`
}

// Met reports whether the goal Must was met: the ratio is at most 2 % above Must, the lower end of
// its interval is at most Must, and the interval is not too wide.
func (l *Line) Met() bool {
	return l.Ratio.Of <= 1.02*l.Must && l.Ratio.Low <= l.Must && !tooWide(l.Ratio)
}

func tooWide(r stats.Ratio) bool { return (r.High-r.Low)/2 > wide*r.Of }

// Compare measures all rows. The servers must have been built.
func (c *Config) Compare() (*Report, error) {
	r := &Report{Schema: 1, Program: "dotsbench", Started: time.Now().UTC().Format(time.RFC3339), Machine: result.ReadMachine()}
	for i := range c.Servers {
		r.Servers = append(r.Servers, c.Servers[i].Name)
	}
	runtime.LockOSThread() // the kernel ends a server when the thread that started it ends
	defer runtime.UnlockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	var cpus *unix.CPUSet
	if pin, err := runner.NewPin(); err == nil {
		unpin, err := pin.Generator()
		if err != nil {
			return nil, err
		}
		defer unpin()
		cpus, r.Pinned = &pin.Server, true
	}
	for _, row := range c.Rows {
		lines, err := c.row(row, cpus)
		r.Lines = append(r.Lines, lines...)
		if err != nil {
			return r, fmt.Errorf("%s: %w", row.Title, err)
		}
	}
	c.Progress.Clear()
	return r, nil
}

// row measures one row. It makes sittings until no interval is too wide, but at
// least Sittings and at most Most.
func (c *Config) row(row Row, cpus *unix.CPUSet) ([]Line, error) {
	t := &tally{}
	for sitting := 0; sitting < c.Sittings || sitting < c.Most && t.wide(row); sitting++ {
		if err := c.sitting(row, t, sitting, cpus); err != nil {
			return nil, err
		}
	}
	var lines []Line
	for f, figure := range row.Figures {
		for server := 1; server < len(c.Servers); server++ {
			base, value, ratio := t.ratio(f, server)
			l := Line{Row: row.Title, Figure: figure.Name, Unit: figure.Unit, Server: c.Servers[server].Name,
				Base: base, Value: value, Ratio: ratio, Dropped: t.dropped}
			if l.Server == Ours && c.Servers[0].Name == Reference {
				l.Must, l.Aim = figure.Must, figure.Aim
			}
			lines = append(lines, l)
		}
	}
	return lines, nil
}

// sitting starts all servers, makes the turns of one sitting, and ends the
// servers.
func (c *Config) sitting(row Row, t *tally, sitting int, cpus *unix.CPUSet) (err error) {
	players := make([]player, 0, len(c.Servers))
	defer func() {
		for _, p := range players {
			err = errors.Join(err, p.close())
		}
	}()
	for i := range c.Servers {
		a := &c.Servers[i]
		c.Progress.Show("%s: sitting %d: starting %s", row.Title, sitting+1, a.Name)
		p, err := newPlayer(a, row, len(c.Servers), cpus)
		if err != nil {
			return fmt.Errorf("%s: %w", a.Name, err)
		}
		players = append(players, p)
	}
	for turn := range c.Turns {
		c.Progress.Show("%s: sitting %d, turn %d of %d; %d slices dropped", row.Title, sitting+1, turn+1, c.Turns, t.dropped)
		found := make([]sample, len(players))
		for i := range players {
			at := (i + turn) % len(players)
			if found[at], err = players[at].play(c.Length); err != nil {
				return fmt.Errorf("%s: %w", c.Servers[at].Name, err)
			}
		}
		t.enter(found)
	}
	return nil
}

// The goals apply only to the ratio of the server named Ours to the server
// named Reference.
const (
	Ours      = "ours"
	Reference = "uws"
)

// Server returns an adapter for a server that a command starts. The server must
// have the same protocol as dotsd:
//
//   - GET /ws/chat/ROOM/ upgrades and joins the room; ROOM consists of ASCII letters, digits and hyphens
//   - a text message {"message":X} goes to all members of the room, the sender included, byte for byte, in one order
//   - a text message "heartbeat", with the quotes, is not sent to anybody
//   - the server listens on 127.0.0.1:{port}, and ends on SIGTERM
//
// In the command {cpu} stands for cpu, the number of the CPU on which the
// server should run. A pinned server is started on that CPU even if the command
// does not use {cpu}.
func Server(name, command string, cpu int) adapter.Adapter {
	return adapter.Adapter{
		Name: name, Start: strings.ReplaceAll(command, "{cpu}", fmt.Sprint(cpu)), Ready: adapter.TCP, URL: "ws://127.0.0.1:{port}/ws/chat/{room}/",
		Frames: adapter.Frames{Send: `{"message":"{payload}"}`, Receive: `{"message":"{payload}"}`, Heartbeat: `"heartbeat"`},
	}
}
