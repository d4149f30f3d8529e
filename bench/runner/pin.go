package runner

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Pin is the CPUs of a server and of the generator. With separate CPUs they
// take no time from each other, a server with one CPU shows what one loop can
// do, and the server's caches are undisturbed.
type Pin struct {
	Server unix.CPUSet // the first CPU
	Others unix.CPUSet // the CPUs of the generator
}

// NewPin divides the CPUs that this process may use.
func NewPin() (Pin, error) {
	var ours unix.CPUSet
	if err := unix.SchedGetaffinity(os.Getpid(), &ours); err != nil {
		return Pin{}, fmt.Errorf("read the CPUs of this process: %w", err)
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

// OnServer runs f on a thread with the server's CPU, so that it measures under
// the conditions of a server.
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

// Generator moves this process to the other CPUs, until unpin moves it back.
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

// moveProcess gives all threads of a process the same CPUs. A new thread
// inherits the CPUs of its creator, so moveProcess repeats until it finds no
// new thread.
func moveProcess(pid int, cpus *unix.CPUSet) error {
	moved := map[int]bool{}
	for fresh := true; fresh; {
		fresh = false
		threads, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
		if err != nil {
			return fmt.Errorf("threads of process %d: %w", pid, err)
		}
		for _, t := range threads {
			tid, err := strconv.Atoi(t.Name())
			if err != nil || moved[tid] {
				continue
			}
			moved[tid], fresh = true, true
			if err := unix.SchedSetaffinity(tid, cpus); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("move process %d to other CPUs: %w", pid, err)
			}
		}
	}
	return nil
}

// ServerCPU returns the number of the CPU of a pinned server, or of the only CPU.
func ServerCPU() (int, error) {
	var ours unix.CPUSet
	if err := unix.SchedGetaffinity(os.Getpid(), &ours); err != nil {
		return 0, fmt.Errorf("read the CPUs of this process: %w", err)
	}
	cpu := 0
	for !ours.IsSet(cpu) {
		cpu++
	}
	return cpu, nil
}
