package client

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// conn is one slot.
type conn struct {
	x      *extra
	fd     int32
	gen    uint32 // grows each time the slot is freed, to recognise stale events
	source uint16
	state  state
	beats  bool
	paused bool
	reset  bool // a write met an RST: a later EOF from read is not a FIN
}

// extra has the state that a connection needs only for a while.
type extra struct {
	in     []byte // read, but not yet a complete frame or response head
	out    []byte // not yet accepted by the kernel
	frag   []byte // an incomplete fragmented message
	inFrag bool

	path              string
	target            Target
	cutAt             int // write only this many bytes of the request; -1: all
	dialed, requested int64
	failed            unix.Errno // connect failed at once; reported by the next Poll
}

// watch changes the events that a socket is polled for. It can fail only for a
// descriptor that is not ours, which is a bug.
func (c *conn) watch(ep int, id int32, events uint32) {
	if c.paused {
		events &^= unix.EPOLLIN
	}
	ev := unix.EpollEvent{Events: events, Fd: id, Pad: int32(c.gen)}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_MOD, int(c.fd), &ev); err != nil {
		panic(fmt.Sprintf("client: epoll_ctl: %v", err))
	}
}

// extras is a pool of them.
type extras struct{ free []*extra }

// take takes an extra from the pool.
func (p *extras) take() *extra {
	if n := len(p.free); n > 0 {
		x := p.free[n-1]
		p.free = p.free[:n-1]
		return x
	}
	return &extra{}
}

// drop returns the extra of a connection that does not need it now.
func (p *extras) drop(c *conn) {
	x := c.x
	if c.state < open || len(x.in) > 0 || len(x.out) > 0 || x.inFrag {
		return
	}
	p.give(c)
}

// give returns the extra of a connection.
func (p *extras) give(c *conn) {
	const keep = 4 << 10 // leave a larger buffer to the garbage collector
	x := c.x
	c.x = nil
	if len(p.free) >= maxEvents || cap(x.in) > keep || cap(x.out) > keep {
		return
	}
	*x = extra{in: x.in[:0], out: x.out[:0]}
	p.free = append(p.free, x)
}
