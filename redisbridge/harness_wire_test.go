package redisbridge

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wire is a proxy between a node and Redis. It makes the faults that the test sets.
type wire struct {
	addr   string
	target atomic.Pointer[string]
	mode   atomic.Pointer[wireMode]
	wait   sync.WaitGroup

	mu     sync.Mutex
	conns  map[*net.TCPConn]bool // guarded by mu
	closed bool                  // guarded by mu
}

// wireMode holds the faults of a wire. The zero value is a wire without faults.
type wireMode struct {
	hole   bool                      // nothing comes through; TCP keeps the bytes until the wire works again
	deaf   bool                      // nothing comes back from Redis
	mute   bool                      // nothing gets to Redis
	stuck  bool                      // nothing comes back from Redis on connections with a subscription
	reset  bool                      // a connection on which data comes is reset
	delay  time.Duration             // delay of the bytes, in each direction
	rate   int                       // limit of bytes a second from Redis, for each connection; 0: no limit
	damage func(p []byte, down bool) // may change passing bytes; down: they come from Redis
	watch  func(p []byte, down bool) // sees passing bytes; down: they come from Redis
}

func startWire(t testing.TB, target string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String(), conns: map[*net.TCPConn]bool{}}
	w.target.Store(&target)
	w.heal()
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
		w.heal()
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

func (w *wire) url() string          { return "redis://" + w.addr }
func (w *wire) set(m wireMode)       { w.mode.Store(&m) }
func (w *wire) heal()                { w.set(wireMode{}) }
func (w *wire) hole()                { w.set(wireMode{hole: true}) }
func (w *wire) slow(d time.Duration) { w.set(wireMode{delay: d}) }

// exchange makes new connections go to another Redis.
func (w *wire) exchange(target string) { w.target.Store(&target) }

// cut closes the connections that are open now.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		_ = c.Close()
	}
}

// serve connects one client to Redis.
func (w *wire) serve(down *net.TCPConn) {
	defer func() { _ = down.Close() }()
	c, err := net.Dial("tcp", *w.target.Load())
	if err != nil {
		return
	}
	up := c.(*net.TCPConn)
	defer func() { _ = up.Close() }()
	if !w.keep(down, up) {
		return
	}
	var both sync.WaitGroup
	var subscribes atomic.Bool
	both.Go(func() { w.pass(up, down, false, &subscribes) })
	both.Go(func() { w.pass(down, up, true, &subscribes) })
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

// pass copies the bytes of one direction. When it ends, it ends both directions.
func (w *wire) pass(to, from *net.TCPConn, down bool, subscribes *atomic.Bool) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if !down && bytes.Contains(buf[:n], []byte("SUBSCRIBE")) {
			subscribes.Store(true)
		}
		for m := w.mode.Load(); m.hole || m.mute && !down || down && (m.deaf || m.stuck && subscribes.Load()); m = w.mode.Load() {
			time.Sleep(time.Millisecond) // the fault itself
		}
		m := w.mode.Load()
		if m.reset {
			_, _ = to.SetLinger(0), from.SetLinger(0)
			return
		}
		if m.damage != nil {
			m.damage(buf[:n], down)
		}
		if m.watch != nil {
			m.watch(buf[:n], down)
		}
		time.Sleep(m.delay)
		for part := buf[:n]; len(part) > 0; {
			some := part
			if m.rate > 0 && down {
				some = part[:min(len(part), max(1, m.rate/100))]
				time.Sleep(time.Duration(len(some)) * time.Second / time.Duration(m.rate))
			}
			if _, err := to.Write(some); err != nil {
				return
			}
			part = part[len(some):]
			m = w.mode.Load()
		}
	}
}
