package runner

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/internal/probe"
)

// A server's command may be a wrapper: npm, a script, "go run". The kernel ends
// only the wrapper together with us, and a signal reaches only the wrapper. So
// the children are looked up in /proc while their parent still names them; when
// it has ended they are those of process 1.

// process is a process as /proc shows it; begun tells it from a later one with
// the same id.
type process struct {
	pid, parent int
	begun       string
}

// readProcess reads /proc/PID/stat, see proc_pid_stat(5). The name of the program
// may have blanks and parentheses in it, so fields count from its end.
func readProcess(pid int) (process, bool) {
	const parent, begun = 1, 19
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, false
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) <= begun || fields[0] == "Z" { // a zombie waits for its parent only
		return process{}, false
	}
	ppid, err := strconv.Atoi(fields[parent])
	return process{pid, ppid, fields[begun]}, err == nil
}

// descendants are the children of a process, theirs, and so on.
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

// endTree ends a server and what it has started.
func endTree(s *probe.Server, end func()) {
	if s.Died() {
		return
	}
	under := descendants(s.Pid)
	end()
	endAll(under)
}

// endAll asks processes to end, and ends those that do not within a second.
func endAll(all []process) {
	send := func(s unix.Signal) (left bool) {
		for _, p := range all {
			if p.lives() {
				left = true
				_ = unix.Kill(p.pid, s) // one that has just ended is as gone
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
