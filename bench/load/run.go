package load

import (
	"fmt"
	"net"
	"slices"
	"strings"
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

// presence says whether a member takes part in the run.
type presence uint8

const (
	here  presence = iota
	quiet          // a member that never sends: a silent member, or a member of a server whose members do not send
	gone           // a member whose connection has ended, or that is no longer judged
)

// run is the state of a run. All fields belong to the goroutine that calls Run.
type run struct {
	cfg     Config
	s       *scenario.Scenario
	targets []client.Target
	e       *client.Engine
	ledger  Ledger
	sends   sends
	id      uint32
	own     int // number of this generator, counted from 0; parts is the number of all generators
	parts   int
	mine    func(m int32) bool // whether a member belongs to this generator; nil: all do
	admin   *probe.Admin       // nil: the URL of the debug pages is not known

	roomOf   []int32    // by member: the number of its room
	state    []presence // by member: its presence
	connOf   []int32    // by member: the id of its connection; -1: it has none yet
	memberOf []int32    // by connection: the number of its member; for a guest -1 minus the guest's index in churn.places
	size     int        // number of members of this generator
	joined   int        // how many of these members have joined their rooms
	frames   *templates
	joins    joins
	many     bool
	sched    schedule
	pick     *picker
	k        int64 // number of the next message in the schedule
	due      int64
	from     int64 // start of the time measured; to: its end
	to       int64
	closed   bool // the scenario has a closed loop
	over     bool // the closed loop has stopped sending
	agenda   agenda
	silent   silent
	slow     slow
	churn    churn
	restart  restart
	phases   phases
	failures failures

	guestSends sends

	unsettled bool    // the RSS was still changing when it was read
	bare      int64   // memory of this process before it opened connections
	openFrom  int64   // time at which dialAll began
	openGap   float64 // ns between two connections that are opened; 0: they have no schedule
	before    memory
	opened    memory
	now       reading // the current reading: events change its counters at once
	begin     reading
	end       reading
	last      reading // the reading at the end of the last row
	refused   int64
	exhausted bool             // a sender ran out of message numbers
	others    map[string]int64 // messages without a stamp, by kind
	ended     string           // describes the first connection that ended and should not have
	ends      int
	left      int
	spent     int64 // ns that keepSchedule spent outside of Poll, for Spin
	progress  int64 // time of the last delivery

	thread      int         // id of the thread of the run
	waits       probe.Waits // waits of this thread
	serverWaits probe.Waits

	interval  *recorder
	first     *hdrhistogram.Histogram
	lastOne   *hdrhistogram.Histogram
	lateness  *hdrhistogram.Histogram
	fromSend  *recorder
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
		interval: newRecorder(), first: result.NewHistogram(), lastOne: result.NewHistogram(),
		lateness: result.NewHistogram(), connect: result.NewHistogram(), reconnect: result.NewHistogram(),
		thread: unix.Gettid(), waits: probe.Waits{Root: "/proc"}, serverWaits: probe.Waits{Root: "/proc"},
		fromSend: newRecorder(), others: map[string]int64{}, failures: failures{causes: map[string]int{}},
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
	// All memory that is allocated from here on is for connections and their
	// proof.
	r.bare = ownMemory()
	r.roomOf = deal(s)
	r.divide()
	var err error
	if r.joins, err = newJoins(cfg.Frames); err != nil {
		return nil, err
	}
	r.frames = newTemplates(r.id, s.Sizes, cfg.Frames, r.roomName)
	r.frames.roomOf, r.frames.sent = r.roomOf, r.wasSent
	roomOrder := s.Order == scenario.OrderRoom && s.Echo == scenario.EchoYes
	if largest := largestRoom(r.roomOf); !roomOrder && !proof.Judges(largest) {
		return nil, cli.Failf(cli.Usage, "order: sender, and echo: no, work in rooms of up to 4,096 members, but one room has %s members; use --order room, or more rooms", cli.Count(largest))
	}
	if cfg.NewLedger != nil {
		r.ledger = cfg.NewLedger(r.roomOf, roomOrder)
	} else {
		ledger := proof.Only(r.roomOf, roomOrder, r.mine)
		if s.Echo == scenario.EchoNo {
			ledger.WithoutEcho()
		}
		r.ledger = ledger
	}
	r.newResult()
	return r, nil
}

// divide decides which members belong to this generator, and which of them are
// silent, slow or never send.
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

// mute reports whether a member never sends. All generators of a run get the
// same answer for each member.
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

// serverOf returns the index of the server to which a member connects.
func (r *run) serverOf(m int32) int {
	if r.s.Across == scenario.AcrossMembers {
		return int(m) / r.s.Rooms % len(r.targets)
	}
	return int(r.roomOf[m]) % len(r.targets)
}

// roomName returns the name of a room. It includes the id of the run: all
// generators of a run use the same name, and another run on the same server
// uses other names.
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

// CheckPids returns an error if an id does not belong to a process, because the
// process has ended or the id is that of a thread.
func CheckPids(pids []int) error {
	for _, pid := range pids {
		if _, err := processCPU(pid); err != nil || probe.Ended(pid) {
			return cli.Failf(cli.Usage, "--server-pid %d: no such process; use the id that pgrep shows for the server, or start the server with --server-cmd", pid)
		}
	}
	return nil
}

// reach checks with one connection per server that all servers listen, so that
// a wrong URL gives one clear error.
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

// promise records that the server broke a promise, described by format and
// args.
func (r *run) promise(format string, args ...any) {
	const most = 20
	if len(r.out.Broken) < most {
		r.out.Broken = append(r.out.Broken, fmt.Sprintf(format, args...))
	}
}

// drain waits for the deliveries that are still expected, and then as long as
// the scenario says, to notice messages that come twice.
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
		// The time measured ends with the last delivery, so read the counters
		// after each delivery. The time measured must not include the wait for
		// deliveries that never come.
		if r.progress != seen {
			seen = r.progress
			r.read(&r.end)
		}
	}
	if r.begin.at == 0 {
		r.begin = r.last
	}
	r.row(r.end)
	// A second copy of a message arrives later than the first.
	if _, err = r.e.Run(r.e.Now()+int64(r.s.Settle), nil); err != nil {
		return err
	}
	if _, err = r.meet(StepQuiet, Brought{}); err != nil {
		return err
	}
	return r.agenda.err
}
