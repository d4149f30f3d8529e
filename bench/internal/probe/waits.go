package probe

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Waits adds up how long the threads of processes were ready to run but waited
// for a CPU. The kernel has one number for each thread (/proc/PID/task/TID/
// schedstat), which is lost when the thread ends. So Waits remembers the numbers
// of all threads that it has seen. Read it once a second or so: only the wait of
// a thread since the last Read is lost when the thread ends.
type Waits struct {
	Root string // "/proc"; tests use another folder

	seen  map[string]int64 // by folder of a thread: its wait in ns
	total int64            // sum of all numbers, also of threads that have ended
}

// Read returns the total wait of the threads of these processes in nanoseconds.
// Only differences of two Reads mean something. It returns false if the kernel
// does not report the wait.
func (w *Waits) Read(pids ...int) (int64, bool) {
	known := len(pids) > 0
	for _, pid := range pids {
		tasks := filepath.Join(w.Root, strconv.Itoa(pid), "task")
		names, err := names(tasks)
		if err != nil {
			continue // the process has ended; what was seen of it stays in the total
		}
		for _, tid := range names {
			known = w.add(filepath.Join(tasks, tid)) && known
		}
	}
	return w.total, known
}

// ReadThread is like Read, for one thread of this process.
func (w *Waits) ReadThread(tid int) (int64, bool) {
	known := w.add(filepath.Join(w.Root, "self", "task", strconv.Itoa(tid)))
	return w.total, known
}

// add reads the wait of a thread. It returns false if the kernel does not report
// it.
func (w *Waits) add(thread string) bool {
	text, err := os.ReadFile(filepath.Join(thread, "schedstat"))
	if err != nil {
		_, err = os.Stat(thread)
		return os.IsNotExist(err) // true: the thread has ended meanwhile
	}
	// The three fields are: time on a CPU, time waiting for one, number of
	// time slices.
	words := bytes.Fields(text)
	if len(words) < 2 {
		return false
	}
	now, err := strconv.ParseInt(string(words[1]), 10, 64)
	if err != nil {
		return false
	}
	before := w.seen[thread]
	if now < before { // another thread has the same number as one that has ended
		before = 0
	}
	w.total += now - before
	if w.seen == nil {
		w.seen = map[string]int64{}
	}
	w.seen[thread] = now
	return true
}

func names(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }()
	return d.Readdirnames(-1)
}

// Pressure returns the total time, in microseconds, in which at least one task
// of the machine waited for a CPU, or else of the control group of this process.
// It returns -1 if the kernel reports neither.
func Pressure() int64 {
	files := []string{"/proc/pressure/cpu"}
	if b, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		for line := range strings.Lines(string(b)) {
			if group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
				files = append(files, filepath.Join("/sys/fs/cgroup", group, "cpu.pressure"))
			}
		}
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		line, _, _ := strings.Cut(string(b), "\n")
		_, total, ok := strings.Cut(line, "total=")
		if us, err := strconv.ParseInt(total, 10, 64); ok && err == nil {
			return us
		}
	}
	return -1
}

// Ended reports whether a process has ended. A zombie has ended, although its
// parent has not waited for it.
func Ended(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	// The second field, the name of the program, may contain blanks and
	// parentheses.
	words := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	return len(words) == 0 || words[0] == "Z" || words[0] == "X"
}

// PeakRSS returns the largest resident memory that a process has had, or 0 if it
// cannot be read.
func PeakRSS(pid int) int64 {
	status, err := fields("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	return status["VmHWM"] * 1024
}

// Descriptors returns the number of open descriptors of a process, or 0 if it
// cannot be read.
func Descriptors(pid int) int64 {
	n, err := entries("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		return 0
	}
	return n
}
