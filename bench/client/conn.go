package client

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// conn is one slot.
type conn struct {
	x      *extra
	fd     int32
	gen    uint32 // grows at each end of the slot's life, so that stale events show
	source uint16
	state  state
	beats  bool
	paused bool
	reset  bool // a write met an RST: the EOF that read will report is not one
}

// extra is what a connection needs only for a while.
type extra struct {
	in     []byte // read, but not yet a whole frame or response head
	out    []byte // not yet taken by the kernel
	frag   []byte // a fragmented message under way
	inFrag bool

	path              string
	target            Target
	cutAt             int // write only this much of the request; -1: all of it
	dialed, requested int64
	failed            unix.Errno // connect failed at once; reported by the next Poll
}

// watch changes what a socket is polled for. It can only fail for a
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

// take takes one from the pool.
func (p *extras) take() *extra {
	if n := len(p.free); n > 0 {
		x := p.free[n-1]
		p.free = p.free[:n-1]
		return x
	}
	return &extra{}
}

// drop gives back that of a connection which has no use for it now.
func (p *extras) drop(c *conn) {
	x := c.x
	if c.state < open || len(x.in) > 0 || len(x.out) > 0 || x.inFrag {
		return
	}
	p.give(c)
}

// give gives back that of a connection.
func (p *extras) give(c *conn) {
	const keep = 4 << 10 // a larger buffer goes to the collector
	x := c.x
	c.x = nil
	if len(p.free) >= maxEvents || cap(x.in) > keep || cap(x.out) > keep {
		return
	}
	*x = extra{in: x.in[:0], out: x.out[:0]}
	p.free = append(p.free, x)
}
