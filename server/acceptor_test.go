package server

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Taking a connection over needs a second descriptor for a moment. If accept got the last one, that fails, and take closes the
// connection without an answer, although PROTOCOL.md promises 503 with Retry-After for a full server. It is not counted as
// refused, and there is no back-off as after a failed accept: as long as exactly one descriptor is free, every connection is
// accepted and cut at full speed.
func TestWhoCannotBeTakenOverIsToldThatThereIsNoPlace(t *testing.T) {
	s := startServer(t, nil)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	client := os.NewFile(uintptr(fd), "client")
	defer func() { _ = client.Close() }()
	last, err := unix.Dup(fd) // takes the lowest free number
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
	_, _ = client.WriteString(upgradeRequest("/ws/chat/last/")) // the result shows when reading
	answer := make([]byte, 4096)
	n, err := client.Read(answer)
	if !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 503") {
		t.Errorf("answered %q, %v, want 503", answer[:n], err)
	}
	if n := s.counts.full.Load(); n != 1 {
		t.Errorf("counted %d refusals of a full server, want 1", n)
	}
}
