package runner

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/client"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/probe"
	"dotsconnect/bench/load"
	"dotsconnect/bench/scenario"
)

const startLimit = 20 * time.Second

// servers starts, watches and ends the servers of a run.
type servers struct {
	spec   *Spec
	cpus   *unix.CPUSet
	path   string
	over   chan struct{} // closed when the run is over
	harm   harm
	ending sync.Once
	end    error // error that stop returns

	mu      sync.Mutex
	started []*probe.Server // guarded by mu
}

func newServers(s *Spec) *servers {
	return &servers{spec: s, over: make(chan struct{}), harm: harm{lines: map[string]string{hurt: s.HurtCmd, heal: s.HealCmd}}}
}

// serve starts the servers, or finds those that already run, and sets their
// addresses in cfg. The caller must be locked to its thread, because the kernel
// ends the servers when that thread ends.
func (v *servers) serve(cfg *load.Config, cpus *unix.CPUSet) error {
	v.cpus = cpus
	if err := v.check(cfg); err != nil {
		return err
	}
	cfg.Nemesis = v.harm.begin
	switch s := v.spec; {
	case s.Adapter != nil:
		return v.launch(cfg)
	case s.ServerCmd != "":
		cfg.Restart = v.restart
		return v.start(cfg)
	}
	return v.watch(cfg)
}

// check returns an error if the scenario needs something that the user has not
// given. The error says which flags are missing.
func (v *servers) check(cfg *load.Config) error {
	s, sc := v.spec, &v.spec.Scenario
	switch {
	case sc.Restart > 0 && s.ServerCmd == "":
		return cli.Failf(cli.Usage, "scenario %s kills the server and starts it again: it needs --server-cmd", sc.Name)
	case sc.Restart > 0 && sc.Rate.PerSecond > 0 && s.Servers < 2:
		return cli.Failf(cli.Usage, "scenario %s goes on sending while a server is down: it needs --servers 2 or more", sc.Name)
	case sc.Across == scenario.AcrossMembers && !strings.Contains(cfg.URL, ",") && (s.ServerCmd == "" && s.Adapter == nil || s.Servers < 2):
		return cli.Failf(cli.Usage, "scenario %s needs several servers that are one system: --url ws://A,ws://B, or --server-cmd or --adapter with --servers 2", sc.Name)
	case sc.Hurt > 0 && s.HurtCmd == "" || sc.Heal > 0 && s.HealCmd == "":
		return cli.Failf(cli.Usage, "scenario %s needs --hurt-cmd and --heal-cmd, which make a fault and end it, such as 'kill -STOP 4711' and 'kill -CONT 4711'", sc.Name)
	}
	return nil
}

func (v *servers) launch(cfg *load.Config) error {
	other, err := v.spec.Adapter.Launch(max(1, v.spec.Servers), v.cpus)
	if err != nil {
		return cli.Failf(cli.Usage, "%w", err)
	}
	for _, one := range other.All() {
		v.add(one)
		cfg.Pids = append(cfg.Pids, one.Pid)
	}
	if other.Beside != nil {
		v.add(other.Beside)
		cfg.Beside = other.Beside.Pid
	}
	cfg.URL, cfg.Frames = other.URL, v.spec.Adapter.Protocol()
	cfg.Admin, cfg.PerCall, cfg.Died = other.Admin, v.spec.Adapter.PerCall, v.died
	return nil
}

func (v *servers) add(server *probe.Server) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.started = append(v.started, server)
}

func (v *servers) start(cfg *load.Config) error {
	target, err := client.ParseTarget(cfg.URL)
	if err != nil {
		return cli.Failf(cli.Usage, "%w", err)
	}
	v.path = target.Path
	var urls []string
	for range max(1, v.spec.Servers) {
		server, err := probe.Command{Line: v.spec.ServerCmd, CPUs: v.cpus}.Start(startLimit)
		if err != nil {
			return cli.Failf(cli.Usage, "--server-cmd: %w", err)
		}
		v.add(server)
		urls, cfg.Pids = append(urls, "ws://"+server.Addr+v.path), append(cfg.Pids, server.Pid)
	}
	if cfg.Admin == "" {
		cfg.Admin = v.started[0].Admin
	}
	cfg.URL, cfg.Died = strings.Join(urls, ","), v.died
	return nil
}

// watch sets up a run with servers that already run: their process ids are used
// to pin them and to notice their end.
func (v *servers) watch(cfg *load.Config) error {
	cfg.Pids = v.spec.Pids
	if v.cpus != nil {
		for _, pid := range cfg.Pids {
			if err := moveProcess(pid, v.cpus); err != nil {
				return cli.Failf(cli.Usage, "--pin: %w", err)
			}
		}
	}
	cfg.Died = func() string {
		for _, pid := range v.spec.Pids {
			if probe.Ended(pid) {
				return fmt.Sprintf("process %d has ended", pid)
			}
		}
		return ""
	}
	return nil
}

func (v *servers) died() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.started {
		if s.Died() {
			return "its last output: " + s.LastWords()
		}
	}
	return ""
}

// stop ends the fault and the processes that were started. It returns the
// errors of the user's commands. Only the first call does this work; further
// calls wait for it and return the same errors.
func (v *servers) stop() error {
	v.ending.Do(func() {
		close(v.over)
		// End the fault first: if the fault has stopped a server (SIGSTOP), the
		// server cannot shut down.
		v.end = v.harm.finish()
		v.mu.Lock()
		started := slices.Clone(v.started)
		v.mu.Unlock()
		for _, s := range started {
			endTree(s, s.Stop)
		}
	})
	return v.end
}

// restart kills the last server, waits for the time Away, and starts the server
// again on the same port. The kernel ends the new server when the thread that
// started it ends, so the goroutine keeps this thread until the end of the run.
func (v *servers) restart() <-chan load.Restarted {
	told := make(chan load.Restarted, 1)
	last := len(v.started) - 1
	old := v.started[last]
	go func() {
		runtime.LockOSThread() // never unlocked, so the thread ends with the goroutine, and the server with the thread
		endTree(old, old.Kill)
		select {
		case <-time.After(v.spec.Scenario.Away):
		case <-v.over:
			return
		}
		line := strings.NewReplacer("{port}", portOf(old.Addr), "{admin}", portOf(old.Admin)).Replace(v.spec.ServerCmd)
		server, err := probe.Command{Line: line, CPUs: v.cpus, Addr: old.Addr}.Start(startLimit)
		if err != nil {
			told <- load.Restarted{Err: err}
			return
		}
		v.mu.Lock()
		v.started[last] = server
		v.mu.Unlock()
		told <- load.Restarted{Pid: server.Pid}
		<-v.over
		endTree(server, server.Stop)
	}()
	return told
}

func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// ParsePids parses process ids that are separated by commas.
func ParsePids(text string) ([]int, error) {
	var pids []int
	for word := range strings.SplitSeq(text, ",") {
		pid, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || pid < 1 {
			return nil, errors.New("write process ids such as 4711 or 4711,4712")
		}
		pids = append(pids, pid)
	}
	return pids, nil
}
