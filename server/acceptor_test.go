package server

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dotsconnect/loop"
)

// The last free descriptor serves a client: taking a connection over needs no second one.
func TestTheLastFreeDescriptorServesAClient(t *testing.T) {
	s := startServer(t, nil)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	client := os.NewFile(uintptr(fd), "client")
	defer func() { _ = client.Close() }()
	last, err := unix.Dup(fd) // the lowest number that is free
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(last)
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	one := unix.Rlimit{Cur: uint64(last) + 1, Max: was.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &one); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &was) }()

	port := netip.MustParseAddrPort(s.Addr()).Port()
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(port), Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	_, _ = client.WriteString(upgradeRequest("/ws/chat/last/")) // the answer shows whether the request was accepted
	answer := make([]byte, 4096)
	n, err := client.Read(answer)
	if !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 101") {
		t.Errorf("answered %q, %v, want 101", answer[:n], err)
	}
	if n := s.counts.full.Load(); n != 0 {
		t.Errorf("counted %d refusals, want none", n)
	}
}

// Accepted sockets must inherit the options of the listener, because the server sets no options at accepted sockets.
func TestAnAcceptedSocketInheritsItsOptions(t *testing.T) {
	s := startServer(t, func(c *Config) { c.UnsentLimit = 16 << 10 })
	s.join(t, "/ws/chat/lobby/")
	seen := 0
	for _, l := range s.node.Loops() {
		_, err := onLoop(t, l, func(l *loop.Loop) (any, error) {
			l.Each(func(c *loop.Conn) bool {
				seen++
				fd := c.Peer().(*session).fd
				for option, want := range map[[2]int]int{{unix.IPPROTO_TCP, unix.TCP_NODELAY}: 1, {unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT}: 16 << 10,
					{unix.SOL_SOCKET, unix.SO_RCVBUF}: 2 * receiveBuffer, {unix.SOL_SOCKET, unix.SO_KEEPALIVE}: 0} {
					if got, err := unix.GetsockoptInt(fd, option[0], option[1]); got != want || err != nil {
						t.Errorf("option %v is %d, %v, want %d", option, got, err, want)
					}
				}
				if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); flags&unix.O_NONBLOCK == 0 || err != nil {
					t.Errorf("flags %x, %v, want it not to block", flags, err)
				}
				return true
			})
			return nil, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen != 1 {
		t.Errorf("%d connections, want 1", seen)
	}
}

// A listener holds connections back until their request arrives, but only for about a second: otherwise a client that waits for the server
// to speak first would not get its 408.
func TestASilentConnectionIsAccepted(t *testing.T) {
	s := startServer(t, nil)
	s.dial(t)
	eventually(t, "the connection is accepted", func() bool { return s.connections() == 1 })
}
