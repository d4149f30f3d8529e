package load

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// reading is everything that only grows, at one moment; figures are differences
// of two.
type reading struct {
	at        int64
	serverCPU int64 // ns; 0: not known
	threadCPU int64 // ns of the generator's thread
	sent      int64
	received  int64
	beats     int64
	steal     int64 // ticks of all CPUs
	ticks     int64
	pressure  int64 // us; -1: the kernel does not say
}

// processCPU is the CPU time of another process in nanoseconds. The id of a
// process's clock is made of its number (CPUCLOCK_SCHED of the kernel's
// posix-timers); unlike /proc/PID/stat it does not count in ticks of 10 ms.
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

// rss is the resident memory of a process, 0 if it has ended. Unlike
// smaps_rollup, statm costs the process nothing.
func rss(pid int) int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	words := strings.Fields(string(b))
	if len(words) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(words[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// cpuTicks reads the first line of /proc/stat: user nice system idle iowait irq
// softirq steal, and guest times that user contains.
func cpuTicks() (steal, all int64) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	for i, word := range strings.Fields(line) {
		n, _ := strconv.ParseInt(word, 10, 64)
		if i >= 1 && i <= 8 {
			all += n
		}
		if i == 8 {
			steal = n
		}
	}
	return steal, all
}

// cpuPressure is how long, in all, some task waited for a CPU.
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
