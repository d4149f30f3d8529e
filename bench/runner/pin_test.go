package runner

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func set(cpus ...int) (s unix.CPUSet) {
	for _, c := range cpus {
		s.Set(c)
	}
	return s
}

func TestTheServerHasTheFirstCPUAndTheGeneratorTheOthers(t *testing.T) {
	p, err := deal(set(2, 5, 7))
	if err != nil || p.Server != set(2) || p.Others != set(5, 7) {
		t.Errorf("got %v, %v", p, err)
	}
	if _, err := deal(set(3)); err == nil || !strings.Contains(err.Error(), "this process may use only 1 (of ") {
		t.Errorf("one CPU: got %v", err)
	}
}

func TestPinningMovesAllThreadsAndBack(t *testing.T) {
	p, err := NewPin()
	if err != nil {
		t.Skip(err)
	}
	// The goroutine keeps a thread of its own until the end of the test.
	tids, stop := make(chan int), make(chan bool)
	defer close(stop)
	go func() {
		runtime.LockOSThread()
		tids <- unix.Gettid()
		<-stop
	}()
	other := <-tids
	cpus := func() (s unix.CPUSet) {
		if err := unix.SchedGetaffinity(other, &s); err != nil {
			t.Error(err)
		}
		return s
	}
	before := cpus()
	unpin, err := p.Generator()
	if err != nil {
		t.Fatal(err)
	}
	if got := cpus(); got != p.Others {
		t.Errorf("a thread has %d CPUs, want the generator's %d", got.Count(), p.Others.Count())
	}
	unpin()
	if got := cpus(); got != before {
		t.Errorf("a thread has %d CPUs after all, want the %d from before", got.Count(), before.Count())
	}
	var within, after unix.CPUSet
	err = p.OnServer(func() error { return unix.SchedGetaffinity(0, &within) })
	if err != nil || within != p.Server {
		t.Errorf("on the server's CPU: got %d CPUs, %v", within.Count(), err)
	}
	if err := unix.SchedGetaffinity(os.Getpid(), &after); err != nil || after != before {
		t.Errorf("got %d CPUs afterwards, %v", after.Count(), err)
	}
}
