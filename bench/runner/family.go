package runner

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/internal/probe"
)

// The command of a server may be a wrapper, such as npm, a script or "go run".
// A signal that we send reaches only the wrapper, and when this program ends,
// the kernel ends only the wrapper. So this program looks up the children of
// the wrapper in /proc and ends them too. It looks them up before the wrapper
// ends, because afterwards process 1 is their parent.

// process identifies a process. begun is the start time, which distinguishes
// the process from a later one with the same id.
type process struct {
	pid, parent int
	begun       string
}

// readProcess reads /proc/PID/stat; see proc_pid_stat(5). The second field, the
// name of the program, may contain blanks and parentheses, so the fields are
// counted from its end. It returns false if there is no such process.
func readProcess(pid int) (process, bool) {
	const parent, begun = 1, 19
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, false
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) <= begun || fields[0] == "Z" { // a zombie: the process has ended, and its parent has not waited for it yet
		return process{}, false
	}
	ppid, err := strconv.Atoi(fields[parent])
	return process{pid, ppid, fields[begun]}, err == nil
}

// descendants returns the children of a process, their children, and so on.
func descendants(of int) []process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	children := map[int][]process{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, ok := readProcess(pid); ok {
			children[p.parent] = append(children[p.parent], p)
		}
	}
	found := children[of]
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i].pid]...)
	}
	return found
}

func (p process) lives() bool {
	now, ok := readProcess(p.pid)
	return ok && now.begun == p.begun
}

// endTree ends a server by calling end, and then all processes that the server
// started.
func endTree(s *probe.Server, end func()) {
	if s.Died() {
		return
	}
	under := descendants(s.Pid)
	end()
	endAll(under)
}

// endAll sends SIGTERM to the processes and waits for them. It kills those that
// have not ended after a second.
func endAll(all []process) {
	send := func(s unix.Signal) (left bool) {
		for _, p := range all {
			if p.lives() {
				left = true
				_ = unix.Kill(p.pid, s) // fails only if the process has ended meanwhile
			}
		}
		return left
	}
	if !send(unix.SIGTERM) {
		return
	}
	for range 50 {
		time.Sleep(20 * time.Millisecond)
		if !send(0) {
			return
		}
	}
	send(unix.SIGKILL)
}
