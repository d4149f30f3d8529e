// Package load makes a run: it opens the connections of a scenario, sends by
// the schedule, measures every delivery from the time at which its message was
// due, and records it in the ledger.
//
// One thread does all of this, in the loop of package client, so that nothing
// delays the record of an arrival. The thread's other work, a row of figures
// each second, takes about a tenth of a millisecond. It shows in the send
// lateness, which is a separate figure.
//
// The files follow a run: members.go opens the connections, send.go keeps the
// schedule, deliver.go records arrivals, meter.go reads the clocks and
// figures.go computes the figures. silent.go, slow.go, churn.go, restart.go
// and phases.go have what some scenarios do besides sending. together.go
// coordinates several generators.
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

// Ledger judges the deliveries.
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

// Config describes a run and its server.
type Config struct {
	Scenario  scenario.Scenario
	URL       string // several servers: separated by commas
	SourceNet netip.Prefix
	Pids      []int         // of the servers; empty: not known
	Admin     string        // URL of a Go server's debug pages; empty: not known
	Beside    int           // process that the servers need beside them, such as Redis; 0: none
	PerCall   []string      // two counters of Admin's /metrics; see adapter.Adapter
	Died      func() string // why the server has ended, or empty; may be nil
	Spin      bool          // see client.Config
	Frames    Frames        // of another server's protocol; the zero value is dotsd's
	Progress  *cli.Progress
	RunID     uint32                                      // 0: a new one
	NewLedger func(roomOf []int32, roomOrder bool) Ledger // nil: package proof

	// Restart kills the last server, starts it again, and reports when it accepts.
	Restart func() <-chan Restarted
	// Nemesis runs the user's command for "hurt" or "heal".
	Nemesis func(what string) error
	// Together connects the generators of one run; nil: this is the only one.
	Together Together
}

// Restarted is a server that was started again.
type Restarted struct {
	Pid int
	Err error
}

// Run makes a run. An error means that the run could not be made. All
// findings, good or bad, are in the result, which is still to be judged.
func Run(cfg Config) (*result.Result, error) {
	// CPU time and timer slack belong to a thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Opening connections makes garbage, sending makes none. With the default
	// of 100 the heap would double during opening and stay there in pieces:
	// 158 bytes per connection, with 15,000 of them, instead of 117.
	defer debug.SetGCPercent(debug.SetGCPercent(20))
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
	// The default slack of 50 us would be most of the send lateness.
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
	if err := r.finish(); err != nil {
		return nil, err
	}
	return r.out, nil
}
