package redisbridge

import (
	"net"
	"syscall"
	"time"
)

// A node without members reads what others publish in gulps: to wake for each batch costs some 20 us, and nobody waits for them. To
// sleep between two reads is not enough, for the scheduler is woken by every packet all the same. So while it sleeps the socket
// says nothing before a gulp is full (SO_RCVLOWAT, socket(7)).
const (
	gulpTime  = 10 * time.Millisecond
	gulpBytes = 32 << 10
)

// gulps is a connection that is read so while it is idle. What fills a gulp is read on at once: a server drops a subscriber that
// falls behind.
type gulps struct {
	net.Conn
	idle func() bool // nobody waits for what comes
	full bool        // the last read brought a gulp
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

// lowest sets how many bytes the socket waits for. Where that cannot be had, packets wake the scheduler.
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
