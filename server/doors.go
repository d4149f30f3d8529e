package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// doors are the sockets that a node listens at.
type doors struct {
	clients *net.TCPListener
	admin   net.Listener // nil if there is no admin address
}

// openDoors opens the addresses of cfg. New connections wait in the queues of the sockets until they are accepted.
func openDoors(cfg *Config) (d *doors, err error) {
	d = &doors{}
	if d.clients, err = listen(cfg.Listen, -1, func(fd int) error { // no keep-alive: heartbeats find dead peers sooner
		deferAccept(fd)
		// Accepted sockets inherit these options.
		err := errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer),
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
		if err != nil || cfg.UnsentLimit == 0 {
			return err
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, int(cfg.UnsentLimit))
	}); err != nil {
		return nil, fmt.Errorf("cannot listen on the address for clients: %w", err)
	}
	if cfg.Admin == "" {
		return d, nil
	}
	if d.admin, err = listenAdmin(cfg.Admin); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot listen on the admin address: %w", err), d.clients.Close())
	}
	return d, nil
}

// listenAdmin opens the admin address.
func listenAdmin(address string) (*net.TCPListener, error) {
	return listen(address, 0, func(fd int) error {
		deferAccept(fd)
		return nil
	})
}

// deferAccept asks the kernel to hand over the connections of a listener when their request has arrived, or about a second after
// they were made, which is the minimum. A kernel without this option hands them over at once, and so
// does a kernel that sends SYN cookies because there are too many silent connections. Such connections are closed like those with
// half a head. On the address for clients this saves an event for each connection.
func deferAccept(fd int) { _ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 1) }

func (d *doors) close() error {
	err := d.clients.Close()
	if d.admin != nil {
		err = errors.Join(err, d.admin.Close())
	}
	return err
}

// listen opens an address with socket options. A keepAlive of 0 means Go's default, and a negative one means none.
func listen(address string, keepAlive time.Duration, options func(fd int) error) (*net.TCPListener, error) {
	config := net.ListenConfig{
		KeepAlive: keepAlive,
		Control: func(_, _ string, c syscall.RawConn) (err error) {
			return errors.Join(c.Control(func(fd uintptr) { err = options(int(fd)) }), err)
		},
	}
	// Multipath TCP, Go's default, must be off: plain TCP connections do not inherit the options of such a listener.
	config.SetMultipathTCP(false)
	l, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}
