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
	clients net.Listener
	admin   net.Listener // nil if it is off
}

// openDoors opens the addresses of cfg. Who comes waits in the queues of the sockets until somebody accepts.
func openDoors(cfg *Config) (d *doors, err error) {
	d = &doors{}
	if d.clients, err = listen(cfg.Listen, -1, func(fd int) error { // heartbeats find dead peers sooner than keep-alive, and for less
		// Accepted sockets inherit both.
		err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
		if err != nil || cfg.UnsentLimit == 0 {
			return err
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, int(cfg.UnsentLimit))
	}); err != nil {
		return nil, fmt.Errorf("listen for clients: %w", err)
	}
	if cfg.Admin == "" {
		return d, nil
	}
	if d.admin, err = listenAdmin(cfg.Admin); err != nil {
		return nil, errors.Join(fmt.Errorf("listen for the admin: %w", err), d.clients.Close())
	}
	return d, nil
}

// listenAdmin opens the admin address.
func listenAdmin(address string) (net.Listener, error) {
	return listen(address, 0, func(fd int) error {
		// A second is the least. A kernel that cannot do it, or that sends SYN cookies because too many say nothing, hands
		// over the silent as well: they are closed like half a head.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 1)
		return nil
	})
}

func (d *doors) close() error {
	err := d.clients.Close()
	if d.admin != nil {
		err = errors.Join(err, d.admin.Close())
	}
	return err
}

// listen opens an address, with options. A keepAlive of 0 is Go's default, a negative one is none.
func listen(address string, keepAlive time.Duration, options func(fd int) error) (net.Listener, error) {
	config := net.ListenConfig{
		KeepAlive: keepAlive,
		Control: func(_, _ string, c syscall.RawConn) (err error) {
			return errors.Join(c.Control(func(fd uintptr) { err = options(int(fd)) }), err)
		},
	}
	// Of a Multipath TCP listener, Go's default, plain TCP connections do not inherit options.
	config.SetMultipathTCP(false)
	return config.Listen(context.Background(), "tcp", address)
}
