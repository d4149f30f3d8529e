package redisbridge

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wire passes bytes on between the nodes and Redis, as well as it is told to. Toxiproxy does more, but can stand still for
// ever when a toxic is removed while connections end (InterruptToxic), which one of some hundred faults of a soak meets.
type wire struct {
	addr, target string
	mode         atomic.Pointer[wireMode]
	wait         sync.WaitGroup

	mu     sync.Mutex
	conns  map[*net.TCPConn]bool // guarded by mu
	closed bool                  // guarded by mu
}

// wireMode is how well. The zero value is a good wire.
type wireMode struct {
	hole  bool          // nothing comes through; TCP keeps it until the wire is good again
	reset bool          // a connection through which something comes is reset
	delay time.Duration // in each direction
	rate  int           // bytes a second in each direction and connection; 0: no limit
}

func startWire(t testing.TB, target string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String(), target: target, conns: map[*net.TCPConn]bool{}}
	w.set(wireMode{})
	w.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.wait.Go(func() { w.serve(c.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		w.set(wireMode{})
		w.mu.Lock()
		w.closed = true
		for c := range w.conns {
			_ = c.Close()
		}
		w.mu.Unlock()
		w.wait.Wait()
	})
	return w
}

func (w *wire) set(m wireMode) { w.mode.Store(&m) }

// serve connects one client through.
func (w *wire) serve(down *net.TCPConn) {
	defer func() { _ = down.Close() }()
	c, err := net.Dial("tcp", w.target)
	if err != nil {
		return
	}
	up := c.(*net.TCPConn)
	defer func() { _ = up.Close() }()
	if !w.keep(down, up) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { w.pass(up, down) })
	both.Go(func() { w.pass(down, up) })
	both.Wait()
	w.mu.Lock()
	delete(w.conns, down)
	delete(w.conns, up)
	w.mu.Unlock()
}

func (w *wire) keep(conns ...*net.TCPConn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		w.conns[c] = true
	}
	return !w.closed
}

// pass copies one direction, and ends both when it ends.
func (w *wire) pass(to, from *net.TCPConn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		for w.mode.Load().hole {
			time.Sleep(time.Millisecond) // the fault itself
		}
		m := w.mode.Load()
		if m.reset {
			_, _ = to.SetLinger(0), from.SetLinger(0)
			return
		}
		time.Sleep(m.delay)
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
		if m.rate > 0 {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(m.rate))
		}
	}
}
