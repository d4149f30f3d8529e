package redisbridge

import (
	"net"
	"syscall"
	"time"
)

// A node without members reads the batches of other nodes in gulps: to wake for each batch would cost about 20 us, and no
// member waits for the batches. A sleep between two reads is not enough, because every packet wakes the scheduler anyway. So
// during the sleep the socket does not report bytes before a gulp is full (SO_RCVLOWAT, socket(7)).
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

// lowest sets the number of received bytes from which on the socket reports that it can be read. If the system does not support
// this setting, every packet wakes the scheduler.
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
