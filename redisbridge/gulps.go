package redisbridge

import (
	"net"
	"syscall"
	"time"
)

// A node without members reads the batches of other nodes in gulps: it would cost about 20 us to wake for each batch, and nobody
// waits for the batches. It is not enough to sleep between two reads, because every packet wakes the scheduler anyway. So during
// that sleep the socket reports nothing before a gulp is full (SO_RCVLOWAT, socket(7)).
const (
	gulpTime  = 10 * time.Millisecond
	gulpBytes = 32 << 10
)

// gulps is a connection that is read in gulps while it is idle. When a gulp is full, Read does not sleep before the next read,
// because a server drops a subscriber that falls behind.
type gulps struct {
	net.Conn
	idle func() bool // reports whether nobody waits for the data
	full bool        // the last read filled a gulp
}

// Read implements net.Conn.
func (g *gulps) Read(p []byte) (n int, err error) {
	if !g.full && g.idle() {
		g.lowest(gulpBytes)
		time.Sleep(gulpTime)
		g.lowest(1)
	}
	n, err = g.Conn.Read(p)
	g.full = n >= min(gulpBytes, len(p))
	return n, err
}

// lowest sets the number of bytes from which on the socket reports that it can be read. If the system does not support it, every
// packet wakes the scheduler.
func (g *gulps) lowest(bytes int) {
	conn := g.Conn
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	if plain, ok := conn.(syscall.Conn); ok {
		if raw, err := plain.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, bytes) })
		}
	}
}
