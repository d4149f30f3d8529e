package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"dotsconnect/bench/client"
	"dotsconnect/bench/internal/cli"
)

const (
	window    = 256 // handshakes under way at once
	openLimit = time.Minute
	roomSize  = 8
	showLines = 10 // violations described one by one
)

// watch holds the connections and what became of them.
type watch struct {
	options
	e       *client.Engine
	lives   []life
	counts  [verdicts]int
	samples []time.Duration // lateness of the kicks
	lines   []string
	silence int    // silent ones that have not ended
	cut     int    // ended other than by a close frame
	failed  string // the first that could not be opened
	refused bool
	// gap is the longest time between two heartbeats of one connection.
	gap time.Duration
}

func newWatch(o options) *watch {
	n := o.silent + o.beating
	w := &watch{options: o, lives: make([]life, n), silence: o.silent}
	for i := range w.lives {
		// Both kinds evenly mixed, in time and in rooms.
		w.lives[i].beats = (i+1)*o.beating/n > i*o.beating/n
	}
	return w
}

func (w *watch) watch(p *cli.Progress) error {
	var err error
	w.e, err = client.New(client.Config{Target: w.target, MaxConns: len(w.lives), BeatEvery: w.beat}, client.Handlers{
		OnOpen: func(id int32, o client.Open) {
			l := &w.lives[id]
			if l.opened != 0 {
				w.failed = "one ended before all were open, --max-age is too short for so many"
			}
			l.requested, l.opened, l.last = o.Requested, o.Stamp, o.Requested
			w.e.Beat(id, l.beats)
			p.Show("%s of %s connections open", cli.Count(w.e.Opened()), cli.Count(len(w.lives)))
		},
		OnBeat: func(id int32, before, after int64) {
			l := &w.lives[id]
			w.gap = max(w.gap, time.Duration(after-l.last))
			l.beat(before, after, w.maxAge)
		},
		OnClose: w.close,
	})
	if err != nil {
		return err
	}
	defer func() { _ = w.e.Close() }()
	if err := w.open(); err != nil {
		return err
	}

	start := w.e.Now()
	// Each silent one has its max-age and slack from its own 101 on; the last
	// opened before start.
	patience := start + int64(w.maxAge+w.slack)
	end := start + int64(w.duration)
	watching := func(now int64) bool {
		return (now < end && w.e.Opened() > 0) || (now < patience && w.silence > 0)
	}
	for now := start; watching(now); now = w.e.Now() {
		p.Show("%v of %v, %s silent ones still open, %d excused", time.Duration(now-start).Round(time.Second),
			max(w.duration, w.maxAge), cli.Count(w.silence), w.counts[excused])
		if err := w.e.Poll(now + int64(100*time.Millisecond)); err != nil {
			return err
		}
	}
	// If this process stalled over the end, what came in time waits to be read.
	if _, err := w.e.Run(w.e.Now()+int64(100*time.Millisecond), func() bool { return w.silence == 0 }); err != nil {
		return err
	}
	w.findNotClosed()
	return w.checkServer()
}

// open opens all connections. A slot must be one connection for the whole
// run, so none may end meanwhile.
func (w *watch) open() error {
	path := func(i int) string { return w.target.Room(fmt.Sprintf("kick-%d", i/roomSize)) }
	err := w.e.OpenAll(len(w.lives), window, path, openLimit)
	if w.refused && w.e.Opened() == 0 {
		return cli.Failf(cli.Usage, "nobody listens at %s", w.target.Host)
	}
	if w.failed != "" {
		return cli.Failf(cli.Invalid, "not all connections could be opened: %s", w.failed)
	}
	if err != nil {
		return cli.Failf(cli.Invalid, "%w", err)
	}
	return nil
}

func (w *watch) close(id int32, c client.Close) {
	if w.lives[id].opened == 0 {
		w.refused = w.refused || c.How == client.Refused
		if w.failed == "" {
			w.failed = c.String()
		}
		return
	}
	l := &w.lives[id]
	l.ended = true
	if !l.beats {
		w.silence--
	}
	if c.How != client.ByFrame {
		w.cut++
	}
	v, lateness := l.judge(c, w.maxAge)
	if v == kicked {
		w.samples = append(w.samples, lateness)
	}
	w.count(v, id, c)
}

func (w *watch) count(v verdict, id int32, c client.Close) {
	w.counts[v]++
	if v.violation() && len(w.lines) < showLines {
		w.lines = append(w.lines, w.lives[id].describe(id, v, c, w.maxAge))
	}
}

func (w *watch) findNotClosed() {
	now := w.e.Now()
	for id := range w.lives {
		if l := &w.lives[id]; !l.ended && !l.beats {
			w.count(notClosed, int32(id), client.Close{Stamp: now})
		}
	}
	w.counts[fine] = w.e.Opened() - w.counts[notClosed]
}

// checkServer tells a dead server from one that closes wrongly.
func (w *watch) checkServer() error {
	if w.cut == 0 {
		return nil
	}
	c, err := net.DialTimeout("tcp", w.target.Host, 5*time.Second)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return cli.Failf(cli.ServerDied, "%s connections were cut off, and nobody listens at %s any more", cli.Count(w.cut), w.target.Host)
	}
	if err == nil {
		_ = c.Close()
	}
	return nil
}
