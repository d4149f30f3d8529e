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

// memory is the memory of all servers and of the kernel.
type memory struct {
	rss  int64
	slab int64 // of the whole machine; 0: not known
	info *result.Go

	counters []float64 // of PerCall; empty: not wanted

	collections int64 // before those that were made for this reading; 0: none were made
}

// look reads memory while connections stay open: at once, or after garbage
// collections, when it no longer changes.
func (r *run) look(when string) (memory, error) {
	var m memory
	settled := r.s.Memory == scenario.MemorySettled
	if settled && r.admin != nil {
		// Read once and ignore it, so that the first page's own memory is in every figure.
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
				return m, r.notOpen(err)
			}
		}
		m.rss += rss(pid)
	}
	m.slab = slab()
	return m, m.readPages(r.admin, r.cfg.PerCall)
}

// readPages reads the runtime figures of a Go server, outside of the time
// measured. admin may be nil.
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

// slab is the memory of the kernel's objects, in bytes.
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

// reading has the values of counters at one moment; figures are differences of
// two readings.
type reading struct {
	at        int64
	serverCPU int64 // ns; 0: not known
	deadCPU   int64 // part of it: servers that were killed
	besideCPU int64 // ns of the process beside the servers; 0: not known
	threadCPU int64 // ns of the generator's thread
	sent      int64
	received  int64
	beats     int64
	reads     int64 // of sockets
	steal     int64 // ticks of all CPUs
	ticks     int64
	pressure  int64 // us; -1: the kernel does not report it
}

// readServers reads the CPU time of all servers in nanoseconds. For a process
// that has ended the last value stays.
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

// replaceServer records that pid replaces the last server, which was killed.
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

// processCPU is the CPU time of another process in nanoseconds. The id of a
// process's clock is computed from the process id (CPUCLOCK_SCHED of the
// kernel's posix-timers). Unlike /proc/PID/stat it does not count in ticks of
// 10 ms.
func processCPU(pid int) (int64, error) {
	const sched = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &ts); err != nil {
		return 0, err
	}
	return ts.Nano(), nil
}

// threadCPU is the CPU time of the calling thread in nanoseconds.
func threadCPU() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) // exists on every Linux
	return ts.Nano()
}

func rss(pid int) int64 { return probe.RSS(pid) }

// cpuTicks reads the first line of /proc/stat: user nice system idle iowait
// irq softirq steal, then guest times, which user already includes. busy is the
// sum of all but the idle times.
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

// cpuPressure is the total time in which some task waited for a CPU.
func cpuPressure() int64 {
	b, err := os.ReadFile("/proc/pressure/cpu")
	if err != nil {
		return -1
	}
	line, _, _ := strings.Cut(string(b), "\n")
	_, total, ok := strings.Cut(line, "total=")
	us, err := strconv.ParseInt(total, 10, 64)
	if !ok || err != nil {
		return -1
	}
	return us
}
