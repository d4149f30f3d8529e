// Package stub is a WebSocket server for tests of the load generators. It has
// a goroutine per connection, and the test decides every byte that it writes.
// It is small enough to verify by reading. It has its own framing code, so
// that it cannot share a mistake with the client.
package stub

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Opcodes of RFC 6455.
const (
	Text  = 0x1
	Close = 0x8
	Ping  = 0x9
	Pong  = 0xA
)

// Conn is one connection. One goroutine reads; any goroutine may write.
type Conn struct {
	Room string // the path

	nc *net.TCPConn
	r  *bufio.Reader
	mu sync.Mutex // guards writes
}

// TB has the methods of testing.TB that are needed; a program that tests
// itself has no testing.TB.
type TB interface {
	Helper()
	Fatal(args ...any)
	Cleanup(func())
}

// Start serves WebSocket connections on a loopback port until the test ends
// and returns the URL. It calls serve with each connection after the 101, and
// closes the connection when serve returns.
func Start(t TB, serve func(c *Conn)) string {
	all := func(string) bool { return true }
	return "ws://" + StartRaw(t, func(nc *net.TCPConn) { ServeIf(nc, serve, all) })
}

// ServeIf serves a connection if its room is admitted, and otherwise closes it
// without an answer.
func ServeIf(nc *net.TCPConn, serve func(c *Conn), admit func(room string) bool) {
	c := &Conn{nc: nc, r: bufio.NewReader(nc)}
	req, err := http.ReadRequest(c.r)
	if err != nil || !admit(req.URL.Path) {
		return
	}
	c.Room = req.URL.Path
	if _, err := io.WriteString(nc, Accept(req.Header.Get("Sec-WebSocket-Key"))); err == nil {
		serve(c)
	}
}

// StartRaw serves TCP connections, and returns the address.
func StartRaw(t TB, serve func(nc *net.TCPConn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &conns{live: map[*net.TCPConn]bool{}}
	s.wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			tcp := nc.(*net.TCPConn)
			if !s.add(tcp) {
				_ = tcp.Close()
				continue
			}
			s.wg.Go(func() {
				defer s.remove(tcp)
				serve(tcp)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		s.closeAll()
		s.wg.Wait()
	})
	return ln.Addr().String()
}

// conns are the connections to close at the end of a test.
type conns struct {
	wg     sync.WaitGroup
	mu     sync.Mutex
	live   map[*net.TCPConn]bool
	closed bool
}

func (s *conns) add(c *net.TCPConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.live[c] = true
	}
	return !s.closed
}

func (s *conns) remove(c *net.TCPConn) {
	_ = c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, c)
}

func (s *conns) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.live {
		_ = c.Close()
	}
}

// Accept is the head of the correct answer to a key.
func Accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return strings.Join([]string{
		"HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]), "", ""}, "\r\n")
}

// Read reads one frame of the client.
func (c *Conn) Read() (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err = io.ReadFull(c.r, head[:]); err != nil {
		return 0, nil, err
	}
	if head[1]&0x80 == 0 {
		return 0, nil, errors.New("stub: the client's frame is not masked")
	}
	n := uint64(head[1] & 0x7f)
	switch n {
	case 126:
		var b [2]byte
		_, err = io.ReadFull(c.r, b[:])
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		_, err = io.ReadFull(c.r, b[:])
		n = binary.BigEndian.Uint64(b[:])
	}
	if err != nil {
		return 0, nil, err
	}
	b := make([]byte, 4+n)
	if _, err = io.ReadFull(c.r, b); err != nil {
		return 0, nil, err
	}
	for i := range b[4:] {
		b[4+i] ^= b[i&3]
	}
	return head[0] & 0x0f, b[4:], nil
}

// Frame renders one final frame.
func Frame(op byte, payload []byte) []byte {
	head := []byte{0x80 | op, byte(len(payload))}
	switch {
	case len(payload) > 0xffff:
		head[1] = 127
		head = binary.BigEndian.AppendUint64(head, uint64(len(payload)))
	case len(payload) > 125:
		head[1] = 126
		head = binary.BigEndian.AppendUint16(head, uint16(len(payload)))
	}
	return append(head, payload...)
}

// CloseFrame renders a close frame.
func CloseFrame(code uint16, reason string) []byte {
	return Frame(Close, append(binary.BigEndian.AppendUint16(nil, code), reason...))
}

// Write writes bytes as they are. An error shows at the next Read.
func (c *Conn) Write(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.nc.Write(b)
}

// ReadUntil sets a deadline for the following reads.
func (c *Conn) ReadUntil(t time.Time) { _ = c.nc.SetReadDeadline(t) }

// Reset closes the connection with an RST.
func (c *Conn) Reset() {
	_ = c.nc.SetLinger(0)
	_ = c.nc.Close()
}
