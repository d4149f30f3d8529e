package server

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"dotsconnect/loop"
	"dotsconnect/server/websocket"
)

// The acceptor takes connections from the listener and gives each to the least loaded loop, which registers it at the start of
// its next turn. nbio's own acceptor spins when descriptors run out. This one backs off, and keeps two descriptors in reserve, so
// that even then new clients get a 503 instead of no answer.
type acceptor struct {
	srv      *Server
	listener net.Listener
	refusals chan refusal
	done     chan struct{} // closed by stop
	wait     sync.WaitGroup
	spares   []*os.File // descriptors in reserve; accept goroutine only
	logged   time.Time  // when accept last failed and that was logged; accept goroutine only
	once     sync.Once
	err      error
}

const (
	spareDescriptors = 2
	shortestBackOff  = 5 * time.Millisecond
	longestBackOff   = 500 * time.Millisecond
	refusalTime      = 200 * time.Millisecond
	// receiveBuffer is the kernel's buffer for bytes that a client sent and we have not read (the kernel doubles the number). It
	// also bounds how much is read at once when a client sends FIN while its session is not being parsed.
	receiveBuffer = 128 << 10
)

func newAcceptor(s *Server, listener net.Listener) *acceptor {
	a := &acceptor{srv: s, listener: listener, refusals: make(chan refusal, s.files.refusals), done: make(chan struct{})}
	a.keepSpares()
	return a
}

func (a *acceptor) addr() string { return a.listener.Addr().String() }

func (a *acceptor) start() {
	a.wait.Add(2)
	go a.run()
	go a.closeRefused()
}

// stop closes the listener and waits for the goroutines. It may be called more than once.
func (a *acceptor) stop() error {
	a.once.Do(func() {
		close(a.done)
		a.err = a.listener.Close()
		a.wait.Wait()
	})
	return a.err
}

func (a *acceptor) run() {
	defer a.wait.Done()
	defer close(a.refusals)
	defer a.dropSpares()
	backOff := shortestBackOff
	for {
		conn, err := a.listener.Accept()
		switch {
		case err == nil:
			a.srv.counts.accepted.Add(1)
			if err = a.take(conn); err == nil {
				backOff = shortestBackOff
				continue
			}
		case errors.Is(err, net.ErrClosed):
			return
		default:
			a.acceptWithSpares()
		}
		a.srv.counts.acceptErrs.Add(1)
		if now := time.Now(); now.Sub(a.logged) >= time.Second { // the counter has the failures that are not logged
			a.logged = now
			a.srv.log.Warn("cannot accept", zap.Error(err), zap.Duration("next try in", backOff))
		}
		time.Sleep(backOff)
		backOff = min(2*backOff, longestBackOff)
	}
}

// take gives a connection to a loop, or refuses it. An error says that descriptors have run out.
func (a *acceptor) take(conn net.Conn) error {
	s := a.srv
	if s.connections() >= s.rules.Load().maxOpen {
		a.refuse(conn)
		return nil
	}
	nb, err := takeOver(conn)
	if err != nil { // it takes a second descriptor for a moment
		a.refuse(conn)
		return err
	}
	p := s.leastLoaded()
	n := &session{socket: socket{nb: nb}}
	n.Init(n)
	p.loop.Adopt(&n.Conn)
	return nil
}

// acceptWithSpares uses a descriptor of the reserve to answer one of the waiting clients that the server is full.
func (a *acceptor) acceptWithSpares() {
	a.dropSpares()
	defer a.keepSpares()
	listener, ok := a.listener.(*net.TCPListener)
	if !ok || listener.SetDeadline(time.Now().Add(time.Millisecond)) != nil {
		return
	}
	defer func() { _ = listener.SetDeadline(time.Time{}) }() // fails only on a closed listener; Accept reports that
	conn, err := listener.Accept()
	if err != nil {
		return
	}
	a.srv.counts.accepted.Add(1)
	a.srv.counts.full.Add(1)
	writeRefusal(conn)
	_ = conn.Close()
}

func (a *acceptor) keepSpares() {
	for len(a.spares) < spareDescriptors {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return // tried again next time
		}
		a.spares = append(a.spares, f)
	}
}

func (a *acceptor) dropSpares() {
	for _, f := range a.spares {
		_ = f.Close()
	}
	a.spares = nil
}

// refuse answers at once that the server is full. It closes the connection a little later, because the request must be read
// first: with unread bytes the close becomes a reset, which may destroy the answer on its way. If too many connections wait for
// that already, this one is closed at once.
func (a *acceptor) refuse(conn net.Conn) {
	a.srv.counts.full.Add(1)
	if line := a.srv.log.Check(zap.InfoLevel, "no place for another connection"); line != nil {
		most, hint := a.srv.MaxConnections()
		line.Write(zap.Int("connections", most), zap.Stringer("remote", conn.RemoteAddr()), zap.String("hint", hint))
	}
	writeRefusal(conn)
	select {
	case a.refusals <- refusal{conn, time.Now().Add(refusalTime)}:
	default:
		_ = conn.Close()
	}
}

type refusal struct {
	conn net.Conn
	due  time.Time
}

// closeRefused closes the refused connections, each when its time has come; all at once when the listener is closed.
func (a *acceptor) closeRefused() {
	defer a.wait.Done()
	buf := make([]byte, websocket.DefaultMaxHead)
	for r := range a.refusals {
		timer := time.NewTimer(time.Until(r.due))
		select {
		case <-timer.C:
		case <-a.done:
			timer.Stop()
		}
		if r.conn.SetReadDeadline(time.Now().Add(time.Millisecond)) == nil {
			_, _ = r.conn.Read(buf)
		}
		_ = r.conn.Close()
	}
}

// writeRefusal writes a 503 and a FIN, if the socket has room; a new socket always has.
func writeRefusal(conn net.Conn) {
	if conn.SetWriteDeadline(time.Now().Add(time.Millisecond)) != nil {
		return
	}
	_, err := conn.Write(websocket.AppendRefusal(nil, &websocket.HeadError{Status: 503, Text: "no place for another connection"}))
	if tcp, ok := conn.(*net.TCPConn); ok && err == nil {
		_ = tcp.CloseWrite()
	}
}

// connections is the number of connections on all loops.
func (s *Server) connections() (n int) {
	for _, l := range s.node.Loops() {
		n += l.Connections()
	}
	return n
}

func (s *Server) leastLoaded() *poller {
	best := s.pollers[0]
	for _, p := range s.pollers[1:] {
		if p.loop.Connections() < best.loop.Connections() {
			best = p
		}
	}
	return best
}

var _ loop.Peer = (*session)(nil)
