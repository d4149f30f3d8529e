package floor

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// reader reads the receiving ends of all pairs on a thread of its own, which is
// on another CPU and never sleeps. These are the conditions of a server: the
// memory of the sockets moves between two CPUs, and during the pause between
// two rounds some of it leaves the caches. With one thread for both ends
// neither would happen.
type reader struct {
	got  atomic.Int64 // bytes read so far
	busy atomic.Int64 // nanoseconds in which the reader was reading data
	stop atomic.Bool
	err  error // valid after wg.Wait
	wg   sync.WaitGroup
}

func startReader(fds []int, cpus *unix.CPUSet, size int) *reader {
	r := &reader{}
	r.wg.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		// Restore the CPUs of the thread at the end, because the thread will
		// run other goroutines. The thread may even be the first thread of the
		// process, whose CPUs count as the CPUs of the process.
		var before unix.CPUSet
		if r.err = unix.SchedGetaffinity(0, &before); r.err != nil {
			return
		}
		if r.err = unix.SchedSetaffinity(0, cpus); r.err == nil {
			r.err = first(r.read(fds, size), unix.SchedSetaffinity(0, &before))
		}
	})
	return r
}

func (r *reader) read(fds []int, size int) error {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("epoll_create: %w", err)
	}
	defer func() { _ = unix.Close(ep) }()
	for _, fd := range fds {
		if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			return fmt.Errorf("epoll_ctl: %w", err)
		}
	}
	events, b := make([]unix.EpollEvent, 256), make([]byte, size)
	for !r.stop.Load() {
		n, err := unix.EpollWait(ep, events, 0)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		if n <= 0 {
			continue
		}
		begin, bytes := time.Now(), 0
		for _, ev := range events[:n] {
			if n, err := unix.Read(int(ev.Fd), b); err == nil {
				bytes += n
			}
		}
		r.busy.Add(int64(time.Since(begin)))
		r.got.Add(int64(bytes))
	}
	return nil
}

// await waits until the reader has read this number of bytes. It gives up after
// 5 s and returns false.
func (r *reader) await(bytes int64) bool {
	for end := time.Now().Add(5 * time.Second); r.got.Load() < bytes; time.Sleep(50 * time.Microsecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

func (r *reader) close() error {
	r.stop.Store(true)
	r.wg.Wait()
	return r.err
}

// rowApart is like row, but a reader reads the other ends. The receive time is
// the wall-clock time of the reads, because the CPU time of a thread that never
// sleeps includes its waiting.
func (p *pairs) rowApart(cfg Config, frames int) (Row, error) {
	const atLeast = 5
	out := make([]byte, frames*FrameBytes(cfg.Size))
	r := startReader(p.to, cfg.Reader, len(out)+1)
	var sends, receives []float64
	for round, end := 0, time.Now().Add(cfg.Time); round <= atLeast || time.Now().Before(end); round++ {
		t0, busy := threadCPU(), r.busy.Load()
		if err := p.send(out, frames); err != nil {
			return Row{}, first(r.close(), err)
		}
		t1 := threadCPU()
		if !r.await(int64(round+1) * int64(len(out)) * int64(len(p.from))) {
			return Row{}, first(r.close(), fmt.Errorf("the other thread did not read all data"))
		}
		if round > 0 {
			sends, receives = append(sends, float64(t1-t0)), append(receives, float64(r.busy.Load()-busy))
		}
		time.Sleep(cfg.Gap)
	}
	if err := r.close(); err != nil {
		return Row{}, err
	}
	return p.summarize(frames, sends, receives), nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
