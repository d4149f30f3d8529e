// Package load makes a run: it opens the connections of a scenario, sends by the
// schedule, times every delivery from the moment at which its message should
// have been sent, and enters each into the ledger.
//
// One thread does it all, in the loop of package client, so that nothing stands
// between the arrival of a message and its entry. What the thread does beside
// that, a line of figures each second, takes about a tenth of a millisecond and
// shows in the send lateness, which is a figure of its own.
package load

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"dotsconnect/bench/client"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/probe"
	"dotsconnect/bench/proof"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// Ledger is what judges the deliveries.
type Ledger interface {
	Next(sender int32) uint32
	Sent(sender int32)
	Receive(member int32, sender, seq uint32)
	Damaged(member int32, what string)
	Foreign(member int32, what string)
	Left(member int32)
	Outstanding() int64
	Verdict() proof.Verdict
}

// Config says what to run against what.
type Config struct {
	Scenario  scenario.Scenario
	URL       string
	SourceNet netip.Prefix
	Pid       int           // of the server; 0: not known
	Died      func() string // why the server has ended, or nothing; may be nil
	Frames    Frames        // of another server's protocol; the zero value is ours
	Progress  *cli.Progress
	NewLedger func(roomOf []int32, roomOrder bool) Ledger // nil: package proof
}

// run is one run. All fields belong to the goroutine of Run.
type run struct {
	cfg    Config
	s      *scenario.Scenario
	target client.Target
	e      *client.Engine
	ledger Ledger
	id     uint32

	roomOf []int32
	gone   []bool
	frames *templates
	sched  schedule
	pick   *picker
	k      int64 // the next message of the schedule
	due    int64
	from   int64 // start and end of the time measured
	to     int64
	closed bool // closed loop
	over   bool // the closed loop sends no more

	now      reading // the counters among them are kept up to date
	begin    reading
	end      reading
	last     reading // at the last full second
	refused  int64
	other    int64
	ended    string // the first connection that ended
	ends     int
	progress int64 // the last delivery

	interval *hdrhistogram.Histogram
	lateness *hdrhistogram.Histogram
	connect  *hdrhistogram.Histogram
	out      *result.Result
}

// Run makes a run. An error says that it did not come about; what it found, good
// or bad, is in the result, which is still to be judged.
func Run(cfg Config) (*result.Result, error) {
	// CPU time and timer slack are those of a thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cli.NeedDescriptors(cfg.Scenario.Conns); err != nil {
		return nil, err
	}
	r, err := newRun(cfg)
	if err != nil {
		return nil, err
	}
	if err := r.reach(); err != nil {
		return nil, err
	}
	// 50 us of slack, the default, would be most of the send lateness.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	if err := r.open(); err != nil {
		return nil, err
	}
	defer func() { _ = r.e.Close() }()
	defer r.cfg.Progress.Clear()
	if err := r.send(); err != nil {
		return nil, err
	}
	if err := r.drain(); err != nil {
		return nil, err
	}
	r.finish()
	return r.out, nil
}

func newRun(cfg Config) (*run, error) {
	target, err := client.ParseTarget(cfg.URL)
	if err != nil {
		return nil, cli.Failf(cli.Usage, "%w", err)
	}
	if cfg.Progress == nil {
		cfg.Progress = cli.NewProgress(nil)
	}
	s := &cfg.Scenario
	r := &run{
		cfg: cfg, s: s, target: target, id: runID(time.Now().UnixNano(), os.Getpid()),
		roomOf: deal(s), gone: make([]bool, s.Conns), pick: newPicker(s.Seed, s.Conns), closed: s.Rate.Max,
		interval: result.NewHistogram(), lateness: result.NewHistogram(), connect: result.NewHistogram(),
	}
	r.frames = newTemplates(r.id, s.Sizes)
	roomOrder := s.Order == scenario.OrderRoom
	if cfg.NewLedger != nil {
		r.ledger = cfg.NewLedger(r.roomOf, roomOrder)
	} else {
		r.ledger = proof.New(r.roomOf, roomOrder)
	}
	r.out = &result.Result{
		Schema: result.Schema, Program: "dotsbench", Started: time.Now().UTC().Format(time.RFC3339), Name: s.Name,
		Scenario: map[string]string{}, Seed: s.Seed, RunID: r.id, URL: cfg.URL, Closed: r.closed,
		Machine: result.ReadMachine(), Seconds: []result.Second{},
		Histograms: result.Histograms{Latency: result.NewHistogram()},
	}
	for _, f := range scenario.Fields() {
		r.out.Scenario[f.Name] = f.Get(s)
	}
	if cfg.Pid != 0 {
		r.out.Server = &result.Server{Pid: cfg.Pid, RSSBefore: rss(cfg.Pid)}
		if _, err := processCPU(cfg.Pid); err != nil {
			return nil, cli.Failf(cli.Usage, "--server-pid %d: no such process: %w", cfg.Pid, err)
		}
	}
	return r, nil
}

// reach asks whether anybody listens, before 8,000 connections ask.
func (r *run) reach() error {
	c, err := net.DialTimeout("tcp", r.target.Host, 5*time.Second)
	if err != nil {
		return cli.Failf(cli.Usage, "no server at %s: %w; start it, or name another with --url", r.target.Host, err)
	}
	return c.Close()
}

func (r *run) open() error {
	own := ownMemory()
	var err error
	r.e, err = client.New(client.Config{
		Target: r.target, MaxConns: r.s.Conns, SourceNet: r.cfg.SourceNet, BeatEvery: r.s.Beat,
		MaxBacklog: 4 << 20,
	}, client.Handlers{
		OnOpen: func(id int32, o client.Open) {
			r.e.Beat(id, true)
			result.Record(r.connect, o.Stamp-o.Dialed)
			r.cfg.Progress.Show("%s of %s connections open", cli.Count(r.e.Opened()), cli.Count(r.s.Conns))
		},
		OnMessage: r.message,
		OnClose:   r.left,
		OnBeat:    func(int32, int64, int64) { r.now.beats++ },
	})
	if err != nil {
		return cli.Failf(cli.Usage, "%w", err)
	}
	const window = 256 // handshakes under way: fewer than any listen backlog
	path := func(i int) string { return r.target.Room(fmt.Sprintf("db-%08x-%d", r.id, r.roomOf[i])) }
	limit := 15*time.Second + time.Duration(r.s.Conns)*2*time.Millisecond
	err = r.e.OpenAll(r.s.Conns, window, path, limit)
	if err == nil {
		// What a server still does for new connections is not the run's.
		_, err = r.e.Run(r.e.Now()+int64(200*time.Millisecond), nil)
	}
	if err != nil || r.ends > 0 {
		_ = r.e.Close()
		return r.notOpen(err)
	}
	if s := r.out.Server; s != nil {
		s.RSSOpen = rss(r.cfg.Pid)
		s.BytesPerConn = float64(s.RSSOpen-s.RSSBefore) / float64(r.s.Conns)
	}
	r.out.Generator.BytesPerConn = float64(ownMemory()-own) / float64(r.s.Conns)
	return nil
}

// ownMemory is our RSS without garbage, which is not what a connection needs.
func ownMemory() int64 {
	debug.FreeOSMemory()
	return rss(os.Getpid())
}

func (r *run) notOpen(err error) error {
	if why := r.died(); why != "" {
		return cli.Failf(cli.ServerDied, "the server died while connections were opened: %s", why)
	}
	if r.ends > 0 {
		return cli.Failf(cli.Invalid, "only %s of %s connections came to be: %s; raise the server's limits or lower --conns",
			cli.Count(r.s.Conns-r.ends), cli.Count(r.s.Conns), r.ended)
	}
	return cli.Failf(cli.Invalid, "opening connections: %w", err)
}

func (r *run) died() string {
	if r.cfg.Died == nil {
		return ""
	}
	return r.cfg.Died()
}

// left is called when a connection ended by another hand.
func (r *run) left(id int32, c client.Close) {
	if r.gone[id] {
		return
	}
	r.gone[id] = true
	r.ledger.Left(id)
	if r.ends++; r.ends == 1 {
		r.ended = fmt.Sprintf("room %d: member %d: %s", r.roomOf[id], id, c)
	}
}

// message enters a delivery.
func (r *run) message(id int32, payload []byte, at int64) {
	s, found, damage := r.frames.find(payload)
	switch {
	case !found:
		r.other++ // a server may greet, or relay heartbeats
		return
	case damage != "":
		r.ledger.Damaged(id, damage)
		return
	case s.run != r.id:
		r.ledger.Foreign(id, fmt.Sprintf("number %d of sender %d of run %08x", s.seq, s.sender, s.run))
		return
	}
	r.ledger.Receive(id, s.sender, s.seq)
	r.now.received++
	r.progress = at
	if s.intended >= r.from && s.intended < r.to {
		result.Record(r.interval, at-s.intended)
	}
	if r.closed && int32(s.sender) == id && !r.over {
		r.sendOne(id, r.e.Now())
	}
}

// sendOne sends the next message of a sender.
func (r *run) sendOne(id int32, intended int64) {
	b := r.frames.frame(stamp{r.id, uint32(id), r.ledger.Next(id), intended})
	if _, err := r.e.SendRaw(id, b); err != nil {
		r.refused++ // a connection whose end is on its way, or a server that does not read
		return
	}
	r.ledger.Sent(id)
	r.now.sent++
}

// send is the run proper: until the end of the schedule.
func (r *run) send() error {
	t0 := r.e.Now() + int64(20*time.Millisecond)
	length := r.s.Warmup + r.s.Duration
	r.from, r.to = t0+int64(r.s.Warmup), t0+int64(length)
	r.sched = schedule{start: t0, rate: r.s.Rate.PerSecond, burst: int64(r.s.Burst)}
	r.sched.total = int64(math.Round(r.s.Rate.PerSecond * length.Seconds()))
	if r.closed {
		r.startClosed(t0)
	}
	r.read(&r.last)
	r.last.at = t0
	second := t0 + int64(time.Second)
	for {
		now := r.e.Now()
		if now >= second {
			r.tick(now, second)
			second += int64(time.Second)
		}
		if now >= r.from && r.begin.at == 0 {
			r.read(&r.begin)
		}
		if now >= r.to || r.ends == r.s.Conns {
			break
		}
		wake := min(second, r.to, r.sendDue(now))
		if r.begin.at == 0 {
			wake = min(wake, r.from)
		}
		if err := r.e.Poll(wake); err != nil {
			return err
		}
	}
	r.over = true
	r.due = r.sched.due(r.to - 1)
	return nil
}

// sendDue sends what is due, a bounded number so that what arrives meanwhile is
// read too, and returns when the next message is.
func (r *run) sendDue(now int64) int64 {
	const most = 64
	for range most {
		intended := r.sched.at(r.k)
		if intended > now {
			return intended
		}
		id, ok := r.pick.next(func(id int32) bool { return r.gone[id] })
		if !ok {
			return math.MaxInt64
		}
		r.k++
		at := r.e.Now()
		r.sendOne(id, intended)
		if intended >= r.from {
			result.Record(r.lateness, at-intended)
		}
	}
	return r.sched.at(r.k)
}

func (r *run) startClosed(t0 int64) {
	for id := range int32(r.s.Conns) {
		for range r.s.Burst {
			r.sendOne(id, max(t0, r.e.Now()))
		}
	}
}

// drain waits for what is still on its way, and a moment for what comes twice.
func (r *run) drain() error {
	r.progress = max(r.progress, r.e.Now())
	for r.ledger.Outstanding() > 0 && r.ends < r.s.Conns {
		quiet := r.progress + int64(r.s.Settle)
		if r.e.Now() >= quiet {
			break
		}
		r.cfg.Progress.Show("waiting for %s deliveries", cli.Count(r.ledger.Outstanding()))
		if err := r.e.Poll(min(quiet, r.e.Now()+int64(200*time.Millisecond))); err != nil {
			return err
		}
	}
	r.read(&r.end)
	if r.begin.at == 0 {
		r.begin = r.last
	}
	r.tick(r.e.Now(), r.e.Now())
	_, err := r.e.Run(r.e.Now()+int64(100*time.Millisecond), nil)
	return err
}

// serverEnd reads what /proc says of the server at the end.
func (r *run) serverEnd(s *result.Server) {
	s.RSSEnd = rss(r.cfg.Pid)
	if p, err := probe.ReadProc(r.cfg.Pid); err == nil {
		s.Descriptors, s.Threads = p.Descriptors, p.Threads
	}
}
