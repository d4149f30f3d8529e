package runner

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Pin has the CPUs of the server and the CPUs of the generator. With separate
// CPUs neither takes time from the other, and the generator does not disturb
// the server's caches. The server gets one CPU, so the run measures one loop.
type Pin struct {
	Server unix.CPUSet // the first CPU that this process may use
	Others unix.CPUSet // the other CPUs, for the generator
}

// NewPin divides the CPUs that this process may use. It fails if there is only
// one CPU.
func NewPin() (Pin, error) {
	var ours unix.CPUSet
	if err := unix.SchedGetaffinity(os.Getpid(), &ours); err != nil {
		return Pin{}, fmt.Errorf("cannot read the CPUs of this process: %w", err)
	}
	return deal(ours)
}

func deal(ours unix.CPUSet) (Pin, error) {
	var p Pin
	if n := ours.Count(); n < 2 {
		return p, fmt.Errorf("server and generator need one CPU each, but this process may use only %d (of %d in the machine)",
			n, runtime.NumCPU())
	}
	p.Others = ours
	for cpu := range 1024 {
		if ours.IsSet(cpu) {
			p.Server.Set(cpu)
			p.Others.Clear(cpu)
			return p, nil
		}
	}
	return p, errors.New("no CPU has a number below 1,024")
}

// OnServer runs f on a thread that may use only the server's CPU, so that f
// measures the same CPU as a server would use.
func (p Pin) OnServer(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	if err := unix.SchedSetaffinity(0, &p.Server); err != nil {
		return err
	}
	return errors.Join(f(), unix.SchedSetaffinity(0, &before))
}

// Generator moves all threads of this process to the CPUs of the generator.
// unpin moves them back.
func (p Pin) Generator() (unpin func(), err error) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(os.Getpid(), &all); err != nil {
		return nil, err
	}
	back := func() { _ = moveProcess(os.Getpid(), &all) }
	if err := moveProcess(os.Getpid(), &p.Others); err != nil {
		back()
		return nil, err
	}
	return back, nil
}

// moveProcess moves all threads of a process to the given CPUs. A thread that
// is created meanwhile has the CPUs of its creator, so moveProcess reads the
// list of threads again until the list has no new thread.
func moveProcess(pid int, cpus *unix.CPUSet) error {
	moved := map[int]bool{}
	for fresh := true; fresh; {
		fresh = false
		threads, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
		if err != nil {
			return fmt.Errorf("cannot list the threads of process %d: %w", pid, err)
		}
		for _, t := range threads {
			tid, err := strconv.Atoi(t.Name())
			if err != nil || moved[tid] {
				continue
			}
			moved[tid], fresh = true, true
			if err := unix.SchedSetaffinity(tid, cpus); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("cannot move process %d to other CPUs: %w", pid, err)
			}
		}
	}
	return nil
}

// ServerCPU returns the number of the first CPU that this process may use,
// which is the CPU of a pinned server.
func ServerCPU() (int, error) {
	var ours unix.CPUSet
	if err := unix.SchedGetaffinity(os.Getpid(), &ours); err != nil {
		return 0, fmt.Errorf("cannot read the CPUs of this process: %w", err)
	}
	cpu := 0
	for !ours.IsSet(cpu) {
		cpu++
	}
	return cpu, nil
}
