package client

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// conn is a slot for one connection.
type conn struct {
	x      *extra
	fd     int32
	gen    uint32 // grows when the slot is freed, so that events of the previous connection are ignored
	source uint16
	state  state
	beats  bool
	paused bool
	reset  bool // a write failed with ECONNRESET, so a later EOF from read does not mean FIN
}

// extra is the state that a connection needs only during its handshake, or
// while a message is incomplete in one of the two directions.
type extra struct {
	in     []byte // bytes of an incomplete frame or response head
	out    []byte // bytes that the kernel has not accepted yet
	frag   []byte // the payload so far of a fragmented message
	inFrag bool
	fragOp byte // opcode of the fragmented message

	path              string
	target            Target
	cutAt             int // number of bytes of the request that are written; -1: all
	dialed, requested int64
	failed            unix.Errno // connect failed at once with this error; the next Poll reports it
}

// watch sets the events that epoll reports for the socket of the connection.
// EPOLL_CTL_MOD fails only for a descriptor that is not in the epoll set, which
// would be a bug.
func (c *conn) watch(ep int, id int32, events uint32) {
	if c.paused {
		events &^= unix.EPOLLIN
	}
	ev := unix.EpollEvent{Events: events, Fd: id, Pad: int32(c.gen)}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_MOD, int(c.fd), &ev); err != nil {
		panic(fmt.Sprintf("client: epoll_ctl: %v", err))
	}
}

// extras is a pool of unused extras.
type extras struct{ free []*extra }

// take returns an extra from the pool, or a new one.
func (p *extras) take() *extra {
	if n := len(p.free); n > 0 {
		x := p.free[n-1]
		p.free = p.free[:n-1]
		return x
	}
	return &extra{}
}

// drop puts the extra of an open connection back into the pool if it is empty.
func (p *extras) drop(c *conn) {
	x := c.x
	if c.state < open || len(x.in) > 0 || len(x.out) > 0 || x.inFrag {
		return
	}
	p.give(c)
}

// give puts the extra of a connection back into the pool.
func (p *extras) give(c *conn) {
	const keep = 4 << 10 // an extra with a larger buffer is left to the garbage collector
	x := c.x
	c.x = nil
	if len(p.free) >= maxEvents || cap(x.in) > keep || cap(x.out) > keep {
		return
	}
	*x = extra{in: x.in[:0], out: x.out[:0]}
	p.free = append(p.free, x)
}
