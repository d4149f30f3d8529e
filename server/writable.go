package server

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"dotsconnect/loop"
)

// writable finds out when the socket of a member can be written again after it was full. nbio uses the event "can be written"
// only for its own write queue, and it flushes this queue before it reads. So if a peer sends bytes and then resets the
// connection, nbio closes the socket before these bytes are read. Therefore the few connections that wait for space are
// registered in an epoll of the server's own, for one event each, and nbio watches the descriptor of this epoll. Closing the
// descriptor of a connection removes it from both.
//
// Only the loop's goroutine uses it.
type writable struct {
	loop   *loop.Loop
	fd     int
	nb     watched
	events [128]unix.EpollEvent
}

func newWritable(l *loop.Loop) (*writable, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	return &writable{loop: l, fd: fd, nb: adoptFile(fd)}, nil
}

func (w *writable) close() { _ = unix.Close(w.fd) }

// await asks for one event when fd can be written. again reports whether await was called for the same fd before.
func (w *writable) await(fd int, id loop.ConnID, again bool) error {
	op := unix.EPOLL_CTL_ADD
	if again {
		op = unix.EPOLL_CTL_MOD
	}
	return unix.EpollCtl(w.fd, op, fd, &unix.EpollEvent{
		Events: unix.EPOLLOUT | unix.EPOLLONESHOT, Fd: int32(uint64(id)), Pad: int32(uint64(id) >> 32),
	})
}

// serve tells the loop about every connection that can be written now. It looks connections up by id, so an event of a connection
// that is gone has no effect.
func (w *writable) serve() {
	for {
		n, err := unix.EpollWait(w.fd, w.events[:], 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		for _, e := range w.events[:max(n, 0)] {
			id := loop.ConnID(uint64(uint32(e.Pad))<<32 | uint64(uint32(e.Fd)))
			if c := w.loop.Conn(id); c != nil {
				w.loop.Writable(c)
			}
		}
		if n < len(w.events) {
			return
		}
	}
}

// AwaitRoom implements loop.Socket. If the registration fails, the connection cannot go on: it is shut down, and the poller
// reports this to the loop.
func (s *session) AwaitRoom() {
	if s.extra == nil {
		s.extra = &extra{}
	}
	if err := s.poller().writable.await(s.fd, s.ID(), s.extra.awaits); err != nil {
		s.shut()
		return
	}
	s.extra.awaits = true
}
