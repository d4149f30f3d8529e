package client

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/internal/cli"
)

// DefaultPath is used if the URL has no path.
const DefaultPath = "/ws/chat/{room}/"

// Target is the address of a server and the URL path of its rooms.
type Target struct {
	Host string // value of the Host header: the host and port of the URL
	Path string // path of the URL; "{room}" stands for the name of the room

	addr     unix.Sockaddr
	loopback bool // the server is on the IPv4 loopback, so any address of 127.0.0.0/8 can be a source
}

// ParseTarget parses ws://HOST:PORT[/PATH]. "{room}" in PATH stands for the
// name of the room. If there is no PATH, it uses DefaultPath. It resolves the
// name HOST.
func ParseTarget(raw string) (Target, error) {
	rest, ok := strings.CutPrefix(raw, "ws://")
	if !ok {
		return Target{}, fmt.Errorf("URL %q: must begin with ws://", raw)
	}
	host, path, ok := strings.Cut(rest, "/")
	if path = "/" + path; !ok || path == "/" {
		path = DefaultPath
	}
	if strings.ContainsAny(rest, " \t\r\n#") {
		return Target{}, fmt.Errorf("URL %q: blanks and fragments are not allowed", raw)
	}
	if _, _, err := net.SplitHostPort(host); err != nil {
		return Target{}, fmt.Errorf("URL %q: must name a port, such as ws://127.0.0.1:8000", raw)
	}
	if err := cli.CheckAddress(host); err != nil {
		return Target{}, fmt.Errorf("URL %q: %w", raw, err)
	}
	tcp, err := net.ResolveTCPAddr("tcp", host)
	if err != nil {
		return Target{}, fmt.Errorf("URL %q: %w", raw, err)
	}
	t := Target{Host: host, Path: path}
	if v4 := tcp.IP.To4(); v4 != nil {
		t.addr = &unix.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(v4)}
		t.loopback = v4.IsLoopback()
	} else if v6 := tcp.IP.To16(); v6 != nil {
		t.addr = &unix.SockaddrInet6{Port: tcp.Port, Addr: [16]byte(v6)}
	} else {
		return Target{}, errors.New("URL names no address: " + raw)
	}
	return t, nil
}

// Local reports whether the server is on this machine, as far as its address
// says.
func (t Target) Local() bool {
	v6, ok := t.addr.(*unix.SockaddrInet6)
	return t.loopback || ok && v6.Addr == [16]byte{15: 1}
}

// Room returns the URL path of the room with this name.
func (t Target) Room(name string) string {
	return strings.ReplaceAll(t.Path, "{room}", url.PathEscape(name))
}
