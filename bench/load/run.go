package load

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"dotsconnect/bench/client"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/probe"
	"dotsconnect/bench/proof"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// presence is the state of a member.
type presence uint8

const (
	here  presence = iota
	quiet          // never sends: silent, or on a server whose members do not send
	gone           // ended, or no longer judged
)

// run is one run. All fields belong to the goroutine of Run.
type run struct {
	cfg     Config
	s       *scenario.Scenario
	targets []client.Target
	e       *client.Engine
	ledger  Ledger
	id      uint32
	own     int // number of this generator, and of all
	parts   int
	mine    func(m int32) bool // nil: all members are ours
	admin   *probe.Admin       // nil: not known

	roomOf   []int32    // by member
	state    []presence // by member
	connOf   []int32    // by member: its connection, -1 before there is one
	memberOf []int32    // by connection: its member; below 0 its place among the guests
	size     int        // number of our members
	joined   int        // of these, members that are in their rooms
	frames   *templates
	joins    joins
	many     bool
	sched    schedule
	pick     *picker
	k        int64 // the next message of the schedule
	due      int64
	from     int64 // start and end of the time measured
	to       int64
	closed   bool // closed loop
	over     bool // the closed loop has stopped sending
	agenda   agenda
	silent   silent
	slow     slow
	churn    churn
	restart  restart
	phases   phases

	unsettled bool    // memory was still changing when it was read
	bare      int64   // our memory before there were members
	openFrom  int64   // when opening began
	openGap   float64 // ns between two connections; 0: no schedule
	before    memory
	opened    memory
	now       reading // its counters are kept up to date
	begin     reading
	end       reading
	last      reading // at the last full second
	refused   int64
	exhausted bool // a sender ran out of message numbers
	other     int64
	ended     string // the first connection that was wrongly ended
	ends      int
	left      int
	spent     int64 // time that a spinning generator spent outside of its engine
	progress  int64 // when the last delivery arrived

	interval  *hdrhistogram.Histogram
	first     *hdrhistogram.Histogram
	lastOne   *hdrhistogram.Histogram
	lateness  *hdrhistogram.Histogram
	connect   *hdrhistogram.Histogram
	reconnect *hdrhistogram.Histogram
	out       *result.Result
}

func newRun(cfg Config) (*run, error) {
	if cfg.Progress == nil {
		cfg.Progress = cli.NewProgress(nil)
	}
	s := &cfg.Scenario
	r := &run{
		cfg: cfg, s: s, id: cfg.RunID, parts: 1,
		pick: newPicker(s.Seed, s.Conns), closed: s.Rate.Max, many: cfg.Frames.Many,
		interval: result.NewHistogram(), first: result.NewHistogram(), lastOne: result.NewHistogram(),
		lateness: result.NewHistogram(), connect: result.NewHistogram(), reconnect: result.NewHistogram(),
	}
	if r.id == 0 {
		r.id = NewRunID()
	}
	for url := range strings.SplitSeq(cfg.URL, ",") {
		target, err := client.ParseTarget(strings.TrimSpace(url))
		if err != nil {
			return nil, cli.Failf(cli.Usage, "%w", err)
		}
		r.targets = append(r.targets, target)
	}
	if cfg.Admin != "" {
		r.admin = probe.NewAdmin(cfg.Admin)
	}
	// From here on, all memory belongs to connections and their proof.
	r.bare = ownMemory()
	r.roomOf = deal(s)
	r.divide()
	var err error
	if r.joins, err = newJoins(cfg.Frames); err != nil {
		return nil, err
	}
	r.frames = newTemplates(r.id, s.Sizes, cfg.Frames.Send, r.roomName)
	roomOrder := s.Order == scenario.OrderRoom
	if largest := largestRoom(r.roomOf); !roomOrder && !proof.Judges(largest) {
		return nil, cli.Failf(cli.Usage, "order: sender works in rooms of up to 4,096 members, but one has %s; use --order room, or more rooms", cli.Count(largest))
	}
	if cfg.NewLedger != nil {
		r.ledger = cfg.NewLedger(r.roomOf, roomOrder)
	} else {
		r.ledger = proof.Only(r.roomOf, roomOrder, r.mine)
	}
	r.newResult()
	return r, nil
}

// divide takes this generator's part of the members, and makes some of them
// silent, slow or members of another server.
func (r *run) divide() {
	n := r.s.Conns
	r.state, r.connOf = make([]presence, n), make([]int32, n)
	r.size = n
	if r.cfg.Together != nil {
		own, parts := r.cfg.Together.Part()
		of := part(r.roomOf, r.s.Rooms, parts)
		r.own, r.parts, r.size = own, parts, 0
		r.mine = func(m int32) bool { return of(m) == own }
		for m := range int32(n) {
			if r.mine(m) {
				r.size++
			}
		}
	}
	for m := range r.connOf {
		r.connOf[m] = -1
	}
	r.silent = newSilent(r.s)
	r.slow = newSlow(r.s)
	r.churn = newChurn(r.s, r.parts)
	r.memberOf = make([]int32, r.size+r.churn.slots())
	for m := range int32(n) {
		if r.mute(m) {
			r.state[m] = quiet
		}
	}
}

// mute marks members that never send. All generators of a run know all of
// them.
func (r *run) mute(m int32) bool {
	switch server := r.serverOf(m); r.s.Publish {
	case scenario.PublishFirst:
		return server != 0 || r.silent.is(m)
	case scenario.PublishOthers:
		return server == len(r.targets)-1 || r.silent.is(m)
	}
	return r.silent.is(m)
}

func largestRoom(roomOf []int32) int {
	size := make([]int, slices.Max(roomOf)+1)
	for _, room := range roomOf {
		size[room]++
	}
	return slices.Max(size)
}

func (r *run) isMine(m int32) bool { return r.mine == nil || r.mine(m) }

// serverOf is the server that a member connects to.
func (r *run) serverOf(m int32) int {
	if r.s.Across == scenario.AcrossMembers {
		return int(m) / r.s.Rooms % len(r.targets)
	}
	return int(r.roomOf[m]) % len(r.targets)
}

// roomName is the same in all generators of a run, and differs from the names
// of any other current run on the same server.
func (r *run) roomName(room int32) string { return fmt.Sprintf("db-%05x-%d", r.id, room) }

func (r *run) newResult() {
	r.out = &result.Result{
		Schema: result.Schema, Program: "dotsbench", Started: time.Now().UTC().Format(time.RFC3339), Name: r.s.Name,
		Scenario: map[string]string{}, Seed: r.s.Seed, RunID: r.id, URL: r.cfg.URL, Closed: r.closed,
		Machine: result.ReadMachine(), Seconds: []result.Second{}, Broken: []string{},
		Histograms: result.Histograms{Latency: result.NewHistogram()},
	}
	for _, f := range scenario.Fields() {
		r.out.Scenario[f.Name] = f.Get(r.s)
	}
	if len(r.cfg.Pids) > 0 {
		r.out.Server = &result.Server{Pid: r.cfg.Pids[0]}
	}
}

// CheckPids finds ids that do not belong to a process: it has ended, or the id
// belongs to a thread.
func CheckPids(pids []int) error {
	for _, pid := range pids {
		if _, err := processCPU(pid); err != nil {
			return cli.Failf(cli.Usage, "--server-pid %d: no such process; use the id that pgrep shows for the server, or start the server with --server-cmd", pid)
		}
	}
	return nil
}

// reach checks that a server listens, before 8,000 connections try.
func reach(targets []client.Target) error {
	for _, t := range targets {
		c, err := net.DialTimeout("tcp", t.Host, 5*time.Second)
		if err != nil {
			return cli.Failf(cli.Usage, "no server at %s: %w; start one, or name another with --url", t.Host, err)
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) died() string {
	if r.cfg.Died == nil {
		return ""
	}
	return r.cfg.Died()
}

// promise records a promise that the server broke.
func (r *run) promise(format string, args ...any) {
	const most = 20
	if len(r.out.Broken) < most {
		r.out.Broken = append(r.out.Broken, fmt.Sprintf(format, args...))
	}
}

// drain waits for deliveries in flight, and a moment longer for messages that
// come twice.
func (r *run) drain() error {
	met, err := r.meet(StepSent, Brought{Totals: r.ledger.Totals()})
	if err != nil {
		return err
	}
	for _, t := range met.Totals {
		r.ledger.Remote(t)
	}
	r.progress = max(r.progress, r.e.Now())
	r.read(&r.end)
	seen := r.progress
	for r.ledger.Outstanding() > 0 && r.left < r.size {
		quiet := r.progress + int64(r.s.Settle)
		if r.e.Now() >= quiet {
			break
		}
		r.cfg.Progress.Show("waiting for %s deliveries", cli.Count(r.ledger.Outstanding()))
		if err := r.e.Poll(min(quiet, r.e.Now()+int64(200*time.Millisecond))); err != nil {
			return err
		}
		// The time measured ends with the last delivery, not with the wait for
		// a delivery that never comes.
		if r.progress != seen {
			seen = r.progress
			r.read(&r.end)
		}
	}
	if r.begin.at == 0 {
		r.begin = r.last
	}
	r.row(r.end)
	// A second copy arrives late, with other machines or a fault in between even later.
	wait := 500 * time.Millisecond
	if r.s.Hurt > 0 || r.s.Across == scenario.AcrossMembers {
		wait = r.s.Settle
	}
	_, err = r.e.Run(r.e.Now()+int64(wait), nil)
	return errors.Join(err, r.agenda.err)
}
