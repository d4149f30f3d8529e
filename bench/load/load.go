// Package load makes a run: it opens the connections of a scenario and sends
// messages by the schedule. It records each delivery in the ledger, and
// measures its latency from the time at which the message was due.
//
// One thread does all of this, in the loop of package client, so that no other
// goroutine delays the record of an arrival. Once a second the thread also
// makes a row of figures. Making a row takes about a tenth of a millisecond and
// may delay a message. The result has a figure for such delays: the send
// lateness.
//
// The files in the order of a run: members.go opens the connections, send.go
// keeps the schedule, deliver.go records arrivals, meter.go reads clocks and
// counters, and figures.go computes the figures. silent.go, slow.go, churn.go,
// restart.go and phases.go are for scenarios with silent members, slow members,
// guests, a restart of the server or another fault. together.go coordinates
// several generators.
package load

import (
	"net/netip"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/proof"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// Ledger records messages and deliveries and judges them; see proof.Ledger.
type Ledger interface {
	Next(sender int32) uint32
	Sent(sender int32)
	GuestSent(number uint32, room int32)
	GuestIn(number uint32, room int32) bool
	GuestsSeen() int64
	Receive(member int32, sender, seq uint32) (first, last bool)
	Damaged(member int32, what string)
	Foreign(member int32, what string)
	Left(member int32)
	Back(member int32)
	Totals() []proof.Total
	Remote(t proof.Total)
	Outstanding() int64
	Verdict() proof.Verdict
}

// Config describes a run, its servers and their process ids.
type Config struct {
	Scenario  scenario.Scenario
	URL       string // several URLs are separated by commas
	SourceNet netip.Prefix
	Pids      []int         // process ids of the servers; empty: not known
	Admin     string        // URL of a Go server's debug pages; empty: not known
	Beside    int           // process id of another program that the servers need, such as Redis; 0: none
	PerCall   []string      // names of two counters in /metrics of Admin; see adapter.Adapter
	Died      func() string // returns why a server has ended, or "" if none has; may be nil
	Spin      bool          // see client.Config.Spin
	Pinned    bool          // the servers have CPUs of their own
	Started   bool          // the servers were started for this run
	Frames    Frames        // messages of the server's protocol; the zero value is the protocol of dotsd
	Progress  *cli.Progress
	RunID     uint32                                      // 0: Run makes a new one
	NewLedger func(roomOf []int32, roomOrder bool) Ledger // nil: the ledger of package proof

	// Restart kills the last server and starts it again. The channel reports
	// when the new server accepts connections.
	Restart func() <-chan Restarted
	// Nemesis runs the user's command that starts ("hurt") or ends ("heal") a
	// fault.
	Nemesis func(what string) error
	// Together connects the generators of one run; nil: this is the only
	// generator.
	Together Together
}

// Restarted reports the new process of a server that was killed, or why the
// server could not be started again.
type Restarted struct {
	Pid int
	Err error
}

// Run makes a run. An error means that the run could not be made. All findings,
// good or bad, are in the result. The caller still has to call Judge of the
// result.
func Run(cfg Config) (*result.Result, error) {
	// The figures need the CPU time of this thread, and the timer slack is a
	// setting of the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Opening connections makes garbage; sending makes none. With the default
	// percentage of 100 the heap would double during opening and stay large,
	// because its free parts are scattered. In a run with 15,000 connections
	// the generator would then need 158 bytes per connection instead of 117.
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	r, err := openRun(cfg)
	if err != nil {
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
	if err := r.finish(); err != nil {
		return nil, err
	}
	_, err = r.meet(StepRead, Brought{})
	return r.out, err
}

// openRun makes a run whose connections are open.
func openRun(cfg Config) (*run, error) {
	r, err := newRun(cfg)
	if err != nil {
		return nil, err
	}
	if err := cli.NeedDescriptors(len(r.memberOf)); err != nil {
		return nil, err
	}
	if err := reach(r.targets); err != nil {
		return nil, err
	}
	// With the default timer slack each wake-up may be 50 us late, which would
	// be most of the send lateness.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	return r, r.open()
}
