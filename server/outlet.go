package server

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"dotsconnect/loop"
)

// outlet tells when a socket that had no room can be written again. nbio has a signal for that only together with its own
// write queue, and that queue's flush comes before the read: for a peer that sent something and reset, it closes the socket
// with everything unread. So the few who wait for room are registered, one shot each, in an epoll of ours, and that epoll is
// itself a descriptor that nbio watches. A descriptor leaves both by being closed.
//
// Loop's goroutine only.
type outlet struct {
	loop   *loop.Loop
	fd     int
	nb     handle
	events [128]unix.EpollEvent
}

func newOutlet(l *loop.Loop) (*outlet, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	nb, err := adoptFile(fd)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return &outlet{loop: l, fd: fd, nb: nb}, nil
}

func (o *outlet) close() {
	_ = unix.Close(o.nb.Hash()) // nbio does not know its type and leaks its descriptor
	_ = unix.Close(o.fd)
}

// await asks for one event when fd can be written. again says that it was asked before.
func (o *outlet) await(fd int, id loop.ConnID, again bool) error {
	op := unix.EPOLL_CTL_ADD
	if again {
		op = unix.EPOLL_CTL_MOD
	}
	return unix.EpollCtl(o.fd, op, fd, &unix.EpollEvent{
		Events: unix.EPOLLOUT | unix.EPOLLONESHOT, Fd: int32(uint64(id)), Pad: int32(uint64(id) >> 32),
	})
}

// serve writes what waits to everybody who has room now. The id is looked up, so that an event of a connection that is
// gone reaches nobody.
func (o *outlet) serve() {
	for {
		n, err := unix.EpollWait(o.fd, o.events[:], 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		for _, e := range o.events[:max(n, 0)] {
			id := loop.ConnID(uint64(uint32(e.Pad))<<32 | uint64(uint32(e.Fd)))
			if c := o.loop.Conn(id); c != nil {
				c.Peer().(*session).writeRest()
			}
		}
		if n < len(o.events) {
			return
		}
	}
}

// Queue implements loop.Socket: p is copied, and written as soon as there is room.
func (s *session) Queue(p []byte) {
	if s.extra == nil {
		s.extra = &extra{}
	}
	s.extra.rest = append(s.extra.rest, p...)
	s.awaitRoom()
}

// Pending implements loop.Socket.
func (s *session) Pending() int {
	if s.extra == nil {
		return 0
	}
	return len(s.extra.rest)
}

// awaitRoom has writeRest called when there is room. If that cannot be had the connection cannot go on.
func (s *session) awaitRoom() {
	s.locked(func(fd int) {
		if err := s.poller().outlet.await(fd, s.ID(), s.extra.awaits); err != nil {
			_ = unix.Shutdown(fd, unix.SHUT_RDWR)
			return
		}
		s.extra.awaits = true
	})
}

// writeRest goes on with what Queue was given. After an error the connection cannot go on, and the poller will say so.
func (s *session) writeRest() {
	x := s.extra
	if x == nil || len(x.rest) == 0 {
		return
	}
	n, err := s.Send(x.rest)
	if err != nil {
		s.locked(func(fd int) { _ = unix.Shutdown(fd, unix.SHUT_RDWR) })
		return
	}
	if x.rest = x.rest[n:]; len(x.rest) > 0 {
		s.awaitRoom()
		return
	}
	x.rest = nil
	s.Loop().Unblocked(&s.Conn)
}
