// Package runner makes one run of what a person asks for: it starts the server if
// it is told how, keeps server and generator on different CPUs if it is told to,
// and ends what it started.
package runner

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/client"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/probe"
	"dotsconnect/bench/load"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// DefaultURL is where a server is looked for that nobody named.
const DefaultURL = "ws://127.0.0.1:8000"

// Spec is a run as asked for.
type Spec struct {
	Scenario   scenario.Scenario
	URL        string // empty: DefaultURL; with ServerCmd only its path counts
	ServerCmd  string // has {port} and perhaps {admin}; empty: the server runs already
	Pid        int    // of a server that runs already; 0: not known
	Source     netip.Prefix
	Thresholds []result.Threshold
	Pin        bool // server on the first CPU, generator on the others
	Frames     load.Frames
	Progress   *cli.Progress
}

// Run makes the run and judges it. An error says that it did not come about, and
// has the exit code; everything else is in the result.
func (s Spec) Run() (*result.Result, error) {
	// The server ends with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cfg := load.Config{Scenario: s.Scenario, URL: s.URL, SourceNet: s.Source, Pid: s.Pid, Frames: s.Frames, Progress: s.Progress}
	if cfg.URL == "" {
		cfg.URL = DefaultURL
	}
	switch {
	case s.ServerCmd != "":
		server, err := s.start(&cfg)
		if err != nil {
			return nil, err
		}
		defer server.Stop()
	case s.Pid != 0:
		cfg.Died = func() string {
			if unix.Kill(s.Pid, 0) == unix.ESRCH {
				return fmt.Sprintf("process %d has ended", s.Pid)
			}
			return ""
		}
	}
	r, err := load.Run(cfg)
	if err != nil {
		return nil, err
	}
	r.Judge(s.Thresholds)
	return r, nil
}

func (s Spec) start(cfg *load.Config) (*probe.Server, error) {
	target, err := client.ParseTarget(cfg.URL)
	if err != nil {
		return nil, cli.Failf(cli.Usage, "%w", err)
	}
	server, err := probe.Start(s.ServerCmd, 20*time.Second)
	if err != nil {
		return nil, cli.Failf(cli.Usage, "--server-cmd: %w", err)
	}
	cfg.URL, cfg.Pid = "ws://"+server.Addr+target.Path, server.Pid
	cfg.Died = func() string { return lastWords(server) }
	return server, nil
}

func lastWords(s *probe.Server) string {
	if !s.Died() {
		return ""
	}
	return "its last words: " + s.LastWords()
}

// Verdict is the result's exit code as an error with its reason; nil for 0.
func Verdict(r *result.Result) error {
	switch r.Exit {
	case cli.OK:
		return nil
	case cli.Missed:
		return cli.Failf(r.Exit, "a threshold was missed")
	case cli.Invalid:
		return cli.Failf(r.Exit, "run invalid: %s", strings.Join(r.Invalid, "; "))
	case cli.ServerDied:
		return cli.Failf(r.Exit, "the server died: %s", r.Died)
	}
	if r.Proof.Sum() == 0 {
		return cli.Failf(r.Exit, "delivery violation: %s", r.Ended)
	}
	return cli.Failf(r.Exit, "delivery violation: %s", r.Proof.Notes[0])
}
