// Package load makes a run: it opens the connections of a scenario, sends by the
// schedule, times every delivery from the moment at which its message should
// have been sent, and enters each into the ledger.
//
// One thread does it all, in the loop of package client, so that nothing stands
// between the arrival of a message and its entry. What the thread does beside
// that, a line of figures each second, takes about a tenth of a millisecond and
// shows in the send lateness, which is a figure of its own.
//
// The files follow a run: members.go opens the connections, send.go keeps the
// schedule, deliver.go enters what arrives, meter.go reads the clocks and
// figures.go makes figures of them. What some scenarios do beside sending stands
// in silent.go, slow.go, churn.go, restart.go and phases.go; together.go is where
// several generators meet.
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

// Ledger is what judges the deliveries.
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

// Config says what to run against what.
type Config struct {
	Scenario  scenario.Scenario
	URL       string // several servers: with commas between
	SourceNet netip.Prefix
	Pids      []int         // of the servers; empty: not known
	Admin     string        // URL of a Go server's debug pages; empty: not known
	Beside    int           // process that the servers need beside them, such as a Redis; 0: none
	PerCall   []string      // two counters of Admin's /metrics; see adapter.Adapter
	Died      func() string // why the server has ended, or nothing; may be nil
	Spin      bool          // see client.Config
	Frames    Frames        // of another server's protocol; the zero value is ours
	Progress  *cli.Progress
	RunID     uint32                                      // 0: a new one
	NewLedger func(roomOf []int32, roomOrder bool) Ledger // nil: package proof

	// Restart kills the last server and starts it anew, and tells when it accepts.
	Restart func() <-chan Restarted
	// Nemesis begins what the user wants to happen: "hurt" or "heal".
	Nemesis func(what string) error
	// Together is where the generators of one run meet; nil: this is the only one.
	Together Together
}

// Restarted is a server that was started again.
type Restarted struct {
	Pid int
	Err error
}

// Run makes a run. An error says that it did not come about; what it found, good
// or bad, is in the result, which is still to be judged.
func Run(cfg Config) (*result.Result, error) {
	// CPU time and timer slack are those of a thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Opening makes garbage, sending makes none. By the default of 100 the heap
	// would grow to twice its size meanwhile, and stay there in pieces: 158 bytes a
	// connection, of 15,000, instead of 117.
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
	if err := r.finish(); err != nil {
		return nil, err
	}
	return r.out, nil
}
