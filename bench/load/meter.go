package load

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/probe"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// memory has the memory of all servers and of the kernel at one moment, and
// other figures that are read at the same moment.
type memory struct {
	rss  int64
	slab int64 // kernel objects of the whole machine; 0: not known
	info *result.Go

	counters []float64 // values of the counters that PerCall names; empty: PerCall is not set

	descriptors int64

	collections int64 // number of garbage collections before look forced some; 0: look forced none
}

// look reads the memory while the connections stay open. It reads at once or,
// if the scenario wants settled memory, after garbage collections and when the
// RSS no longer changes.
func (r *run) look(when string) (memory, error) {
	var m memory
	settled := r.s.Memory == scenario.MemorySettled
	if settled && r.admin != nil {
		// The first request for a debug page makes the server allocate memory.
		// Make one request before the memory is read, so that all figures
		// include that memory.
		before, err := r.admin.Read()
		if err != nil {
			return m, cli.Failf(cli.Usage, "--admin: %w", err)
		}
		m.collections = before.NumGC
		if err := r.admin.GC(); err != nil {
			return m, cli.Failf(cli.Usage, "--admin: %w", err)
		}
	}
	for _, pid := range r.cfg.Pids {
		if settled {
			const limit = 20 * time.Second
			_, err := probe.Settle(pid, limit, func(d time.Duration) error {
				r.cfg.Progress.Show("%s: waiting for a stable RSS", when)
				_, err := r.e.Run(r.e.Now()+int64(d), nil)
				return err
			})
			if errors.Is(err, probe.ErrUnsettled) {
				r.unsettled, err = true, nil
			}
			if err != nil {
				return m, notOpen(r, err)
			}
		}
		m.rss += rss(pid)
		m.descriptors += probe.Descriptors(pid)
	}
	m.slab = slab()
	return m, m.readPages(r.admin, r.cfg.PerCall)
}

// readPages reads the runtime figures of a Go server and the counters that
// perCall names. admin may be nil. Call readPages only outside of the time
// measured, because it costs the server CPU time.
func (m *memory) readPages(admin *probe.Admin, perCall []string) error {
	if admin == nil {
		return nil
	}
	g, err := admin.Read()
	if err != nil {
		return cli.Failf(cli.Usage, "--admin: %w", err)
	}
	if len(perCall) > 0 {
		if m.counters, err = admin.Counters(perCall...); err != nil {
			return cli.Failf(cli.Usage, "per_call: %w", err)
		}
	}
	m.info = &result.Go{Collections: g.NumGC, Goroutines: g.Goroutines, HeapAlloc: g.HeapAlloc, HeapInuse: g.HeapInuse, StackInuse: g.StackInuse}
	return nil
}

// slab returns the memory of all kernel objects in bytes, or 0 if it cannot be
// read.
func slab() int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "\nSlab:")
	words := strings.Fields(rest)
	if len(words) < 1 {
		return 0
	}
	kB, _ := strconv.ParseInt(words[0], 10, 64)
	return kB * 1024
}

// reading has the values of all counters at one moment. Most figures are
// differences between two readings.
type reading struct {
	at         int64
	serverCPU  int64 // CPU time of all servers in ns; 0: not known
	deadCPU    int64 // part of serverCPU: CPU time of servers that were killed
	besideCPU  int64 // CPU time of the process Config.Beside in ns; 0: not known
	threadCPU  int64 // CPU time of the generator's thread in ns
	sent       int64
	received   int64
	beats      int64
	reads      int64 // reads of sockets that returned bytes
	steal      int64 // time that the host took from this machine, in ticks, summed over all CPUs
	ticks      int64
	busy       int64 // ticks in which the CPUs were not idle
	ownCPU     int64 // CPU time of this process in ns
	pressure   int64 // us in which at least one task waited for a CPU; -1: the kernel does not report it
	wait       int64 // ns in which this thread waited for a CPU; -1: the kernel does not report it
	waitsAt    int64 // time at which wait and serverWait were read
	serverWait int64 // ns in which threads of the servers waited for a CPU; -1: not known
}

// readServers returns the CPU time of all servers in nanoseconds. The result
// never decreases: if a server has ended, readServers returns the largest total
// so far.
func (n *reading) readServers(pids []int) int64 {
	total := n.deadCPU
	for _, pid := range pids {
		if cpu, err := processCPU(pid); err == nil {
			total += cpu
		}
	}
	n.serverCPU = max(n.serverCPU, total)
	return n.serverCPU
}

// replaceServer puts pid in the place of the last server, which was killed. The
// CPU time of the killed process still counts.
func (n *reading) replaceServer(pids []int, pid int) {
	n.deadCPU = n.serverCPU
	last := len(pids) - 1
	for _, other := range pids[:max(0, last)] {
		if cpu, err := processCPU(other); err == nil {
			n.deadCPU -= cpu
		}
	}
	if last >= 0 {
		pids[last] = pid
	}
}

// processCPU returns the CPU time of any process in nanoseconds. It reads the
// CPU clock of the process, whose id follows from the process id
// (CPUCLOCK_SCHED in the kernel's posix-timers). /proc/PID/stat would count
// only in ticks of 10 ms.
func processCPU(pid int) (int64, error) {
	const sched = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &ts); err != nil {
		return 0, err
	}
	return ts.Nano(), nil
}

// threadCPU returns the CPU time of the calling thread in nanoseconds.
func threadCPU() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) // cannot fail: every Linux has this clock
	return ts.Nano()
}

func rss(pid int) int64 { return probe.RSS(pid) }

// cpuTicks reads the first line of /proc/stat: user nice system idle iowait irq
// softirq steal, and then guest times, which are left out because user includes
// them. busy is the sum of all except idle and iowait.
func cpuTicks() (steal, busy, all int64) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	for i, word := range strings.Fields(line) {
		n, _ := strconv.ParseInt(word, 10, 64)
		if i >= 1 && i <= 8 {
			all += n
			busy += n
		}
		switch i {
		case 4, 5:
			busy -= n
		case 8:
			steal = n
		}
	}
	return steal, busy, all
}
