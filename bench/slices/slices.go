// Package slices compares servers that are all up and connected at the same time. They work one at a time, in
// rotating order, for a slice of some hundred milliseconds. Each ratio is computed within a turn, between slices
// that are a second apart. Neighbours, heat and clocks of a shared machine change more slowly than that. So ratios
// of slices agree within 2 to 3 %, while whole runs, made one after the other, differ by 10 %.
//
// A slice in which other programs or other machines took more than a tenth of a CPU is dropped and counted, and so
// are its pairs.
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

// Config says what to compare.
type Config struct {
	Servers  []adapter.Adapter // all are compared with the first
	Rows     []Row
	Sittings int // number of times that all servers are started
	Turns    int // turns of a sitting; every server works once in each
	Most     int // largest number of sittings, if an interval is too wide
	Length   time.Duration
	Progress *cli.Progress
}

// Limits of a comparison.
const (
	mostForeign = 0.1  // a slice with a larger share is dropped
	wide        = 0.05 // an interval is narrow enough if both ends are within this share of its ratio
)

// A Report has the results, a line for each figure of each row.
type Report struct {
	Schema  int            `json:"schema"`
	Program string         `json:"program"`
	Started string         `json:"started"`
	Machine result.Machine `json:"machine"`
	Servers []string       `json:"servers"`
	Pinned  bool           `json:"pinned"`
	Lines   []Line         `json:"lines"`
}

// Line is a figure of one server, compared with that of the base.
type Line struct {
	Row     string      `json:"row"`
	Figure  string      `json:"figure"`
	Unit    string      `json:"unit"`
	Server  string      `json:"server"`
	Base    float64     `json:"base"` // median
	Value   float64     `json:"value"`
	Ratio   stats.Ratio `json:"ratio"`
	Dropped int         `json:"dropped"`
	Must    float64     `json:"must,omitempty"`
	Aim     float64     `json:"aim,omitempty"`
}

// Met reports whether the goal Must was shown: the ratio is at most 2 % above it, and its interval reaches it and
// extends at most 5 % to either side.
func (l *Line) Met() bool {
	return l.Ratio.Of <= 1.02*l.Must && l.Ratio.Low <= l.Must && !tooWide(l.Ratio)
}

func tooWide(r stats.Ratio) bool { return (r.High-r.Low)/2 > wide*r.Of }

// Compare measures all rows. The caller has built the servers.
func (c *Config) Compare() (*Report, error) {
	r := &Report{Schema: 1, Program: "dotsbench", Started: time.Now().UTC().Format(time.RFC3339), Machine: result.ReadMachine()}
	for i := range c.Servers {
		r.Servers = append(r.Servers, c.Servers[i].Name)
	}
	runtime.LockOSThread() // CPU time belongs to a thread, and servers end with the thread that started them
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

// row measures one row: sittings until every interval is narrow enough.
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

// sitting starts all servers and runs the turns of one sitting.
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

// Ours and Reference are the names of the servers to which the goals apply.
const (
	Ours      = "ours"
	Reference = "uws"
)

// Server is a server that a command starts, with the same protocol as dotsd:
//
//   - GET /ws/chat/ROOM/ upgrades and joins the room; ROOM consists of ASCII letters, digits and hyphens
//   - a text message {"message":X} goes to all members of the room, the sender included, byte for byte, in one order
//   - a text message "heartbeat", with the quotes, goes to nobody
//   - it listens on 127.0.0.1:{port}, and ends on SIGTERM
//
// {cpu} in the command is the number of the CPU on which it should run. It is started on that CPU in any case.
func Server(name, command string, cpu int) adapter.Adapter {
	return adapter.Adapter{
		Name: name, Start: strings.ReplaceAll(command, "{cpu}", fmt.Sprint(cpu)), Ready: adapter.TCP, URL: "ws://127.0.0.1:{port}/ws/chat/{room}/",
		Frames: adapter.Frames{Send: `{"message":"{payload}"}`, Receive: `{"message":"{payload}"}`, Heartbeat: `"heartbeat"`},
	}
}
