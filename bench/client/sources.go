package client

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// connsPerSource limits the connections of a source address. An address has
// 28,232 local ports by default, but when few ports are free, the kernel needs
// long to find one.
const connsPerSource = 6000

// source is a source address and the number of its connections.
type source struct {
	addr  unix.SockaddrInet4
	conns int
}

// sources are the local addresses to which sockets are bound, in turn. If there
// are none, the kernel chooses the address of each socket.
type sources struct {
	all  []source
	next int
}

// newSources returns the addresses of SourceNet, if it is set. Otherwise, for a
// server on the IPv4 loopback, it returns as many addresses as the connections
// need: 127.0.0.1, 127.0.0.2, …, 127.0.1.1, …. For other servers it returns
// none.
func newSources(cfg Config) (sources, error) {
	if cfg.SourceNet.IsValid() {
		return sourcesOf(cfg.SourceNet, cfg.MaxConns)
	}
	if !cfg.Target.loopback {
		return sources{}, nil
	}
	n := max(cfg.Sources, (cfg.MaxConns+connsPerSource-1)/connsPerSource)
	s := make([]source, min(n, 60000))
	for i := range s {
		s[i].addr.Addr = [4]byte{127, 0, byte(i / 250), byte(1 + i%250)}
	}
	return sources{all: s}, nil
}

// sourcesOf returns the host addresses of a network. The first address of a
// network is its name, and the last address is for broadcasts, so both are left
// out.
func sourcesOf(network netip.Prefix, conns int) (sources, error) {
	if !network.Addr().Is4() {
		return sources{}, fmt.Errorf("client: source %s: must be an IPv4 network", network)
	}
	size := 1 << min(32-network.Bits(), 16)
	addr, hosts := network.Masked().Addr(), size
	if size > 2 {
		addr, hosts = addr.Next(), size-2
	}
	if conns > hosts*connsPerSource {
		return sources{}, fmt.Errorf("client: source %s: %d addresses can have %d connections, but %d are needed",
			network, hosts, hosts*connsPerSource, conns)
	}
	s := make([]source, min(hosts, 60000))
	for i := range s {
		s[i].addr.Addr = addr.As4()
		addr = addr.Next()
	}
	return sources{all: s}, nil
}

// bind binds a socket to the next source address and returns the index of that
// address.
func (s *sources) bind(fd int) (uint16, error) {
	if len(s.all) == 0 {
		return 0, nil
	}
	// Without this option bind reserves a port before the destination is known.
	// With the option connect chooses the port, and connections to different
	// destinations can have the same port.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return 0, fmt.Errorf("client: IP_BIND_ADDRESS_NO_PORT: %w", err)
	}
	i := s.pick()
	if err := unix.Bind(fd, &s.all[i].addr); err != nil {
		return 0, fmt.Errorf("client: bind: %w", err)
	}
	return i, nil
}

func (s *sources) pick() uint16 {
	for range s.all {
		i := s.next
		s.next = (s.next + 1) % len(s.all)
		if s.all[i].conns < connsPerSource {
			return uint16(i)
		}
	}
	panic("client: the source addresses have no port left for another connection") // cannot happen: newSources makes enough sources for MaxConns
}

// count adds delta, which may be negative, to the number of connections of
// source i.
func (s *sources) count(i uint16, delta int) {
	if len(s.all) > 0 {
		s.all[i].conns += delta
	}
}
