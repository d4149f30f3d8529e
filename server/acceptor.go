package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"dotsconnect/loop"
	"dotsconnect/server/websocket"
)

// The acceptor takes connections from the listener and gives each to the least loaded loop, which registers it at the start of
// its next turn. nbio's own acceptor spins when descriptors run out. This acceptor waits, and keeps two descriptors in reserve,
// so that new clients get a 503 instead of no answer even then.
type acceptor struct {
	srv      *Server
	listener net.Listener
	file     *os.File        // the same socket, because a net.Listener lets nobody else call accept on it
	raw      syscall.RawConn // gives access to the descriptor of file
	refusals chan refusal
	done     chan struct{} // closed by stop
	wait     sync.WaitGroup
	spares   []*os.File // descriptors in reserve; accept goroutine only
	logged   time.Time  // time of the last log line about a failed accept; accept goroutine only
	once     sync.Once
	err      error
}

const (
	spareDescriptors = 2
	shortestBackOff  = 5 * time.Millisecond
	longestBackOff   = 500 * time.Millisecond
	refusalTime      = 200 * time.Millisecond
	// receiveBuffer is the size of the kernel's buffer for bytes that a client sent and the server has not read (the kernel
	// doubles the number). It also limits how much is read at once when a client sends FIN while its session may not be parsed.
	receiveBuffer = 128 << 10
)

func newAcceptor(s *Server, listener *net.TCPListener) (*acceptor, error) {
	file, err := listener.File()
	if err != nil {
		return nil, fmt.Errorf("cannot listen on the address for clients: %w", err)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot listen on the address for clients: %w", err), file.Close())
	}
	a := &acceptor{srv: s, listener: listener, file: file, raw: raw, refusals: make(chan refusal, s.files.refusals), done: make(chan struct{})}
	a.keepSpares()
	return a, nil
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
		a.err = errors.Join(a.listener.Close(), a.file.Close())
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
		fd, err := a.accept()
		switch {
		case err == nil:
			a.srv.counts.accepted.Add(1)
			a.take(fd)
			backOff = shortestBackOff
			continue
		case errors.Is(err, os.ErrClosed):
			return
		default:
			a.acceptWithSpares()
		}
		a.srv.counts.acceptErrs.Add(1)
		if now := time.Now(); now.Sub(a.logged) >= time.Second { // other failures are only counted
			a.logged = now
			a.srv.log.Warn("cannot accept connections", zap.Error(err), zap.Duration("next try in", backOff))
		}
		time.Sleep(backOff)
		backOff = min(2*backOff, longestBackOff)
	}
}

// accept waits for the next connection. Go's own Accept would register the connection with the runtime's poller, ask for both
// addresses and keep them. Each connection would cost 4 system calls and 160 bytes that the server does not need. The socket
// inherits its options from the listener.
func (a *acceptor) accept() (fd int, err error) {
	gone := a.raw.Read(func(listener uintptr) (done bool) {
		fd, err = acceptOne(int(listener))
		return !errors.Is(err, unix.EAGAIN) // EAGAIN: no connection waits, so Read waits for the next one
	})
	if gone != nil {
		return -1, os.ErrClosed
	}
	return fd, os.NewSyscallError("accept4", err)
}

// acceptOne never blocks: if no connection waits, it returns EAGAIN.
func acceptOne(listener int) (fd int, err error) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_ACCEPT4, uintptr(listener), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR, unix.ECONNABORTED: // ECONNABORTED: the client left while it waited
		default:
			return -1, errno
		}
	}
}

// take gives a connection to a loop, or refuses it.
func (a *acceptor) take(fd int) {
	s := a.srv
	if s.connections() >= s.rules.Load().maxOpen {
		a.refuse(fd)
		return
	}
	n := &session{socket: socket{fd}}
	n.Init(n)
	s.leastLoaded().loop.Adopt(&n.Conn)
}

// acceptWithSpares uses a descriptor of the reserve to tell one of the waiting clients that the server is full.
func (a *acceptor) acceptWithSpares() {
	a.dropSpares()
	defer a.keepSpares()
	fd, err := -1, error(unix.EAGAIN)
	gone := a.raw.Control(func(listener uintptr) { fd, err = acceptOne(int(listener)) })
	if gone != nil || err != nil {
		return
	}
	a.srv.counts.accepted.Add(1)
	a.srv.counts.full.Add(1)
	writeRefusal(fd)
	_ = unix.Close(fd)
}

func (a *acceptor) keepSpares() {
	for len(a.spares) < spareDescriptors {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return // the next call tries again
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
// first: if bytes are unread, the kernel sends a reset, which may destroy the answer on its way. If too many refused connections
// wait to be closed already, the new connection is closed at once.
func (a *acceptor) refuse(fd int) {
	a.srv.counts.full.Add(1)
	if line := a.srv.log.Check(zap.InfoLevel, "connection refused because the server is full"); line != nil {
		most, hint := a.srv.MaxConnections()
		line.Write(zap.Int("connections", most), zap.String("remote", peerAddr(fd)), zap.String("hint", hint))
	}
	writeRefusal(fd)
	select {
	case a.refusals <- refusal{fd, time.Now().Add(refusalTime)}:
	default:
		_ = unix.Close(fd)
	}
}

type refusal struct {
	fd  int
	due time.Time
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
		_, _ = unix.Read(r.fd, buf)
		_ = unix.Close(r.fd)
	}
}

// writeRefusal writes a 503 and a FIN, if the socket has room; a new socket always has.
func writeRefusal(fd int) {
	text := websocket.AppendRefusal(nil, &websocket.HeadError{Status: 503, Text: "the server has reached its limit of connections"})
	if n, err := unix.Write(fd, text); err == nil && n == len(text) {
		_ = unix.Shutdown(fd, unix.SHUT_WR)
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
