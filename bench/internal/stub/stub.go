// Package stub is a WebSocket server for tests of the load generators. It has a
// goroutine per connection, and the test decides every byte that the server
// writes. The package is small enough to be verified by reading. It has its own
// code for frames, so that it does not share a mistake with the client.
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

// Opcodes of RFC 6455 (section 5.2).
const (
	Text   = 0x1
	Binary = 0x2
	Close  = 0x8
	Ping   = 0x9
	Pong   = 0xA
)

// Conn is a connection of a client. Only one goroutine may read; any goroutine
// may write.
type Conn struct {
	Room string // path of the request's URL

	nc *net.TCPConn
	r  *bufio.Reader
	mu sync.Mutex // guards writes
}

// TB has the methods of testing.TB that this package needs. The self-test of
// dotsbench has its own TB, because it is not a Go test.
type TB interface {
	Helper()
	Fatal(args ...any)
	Cleanup(func())
}

// Start starts a WebSocket server on a loopback port and returns its URL. The
// server runs until the test ends. It calls serve for each connection after the
// 101, and closes the connection when serve returns.
func Start(t TB, serve func(c *Conn)) string {
	all := func(string) bool { return true }
	return "ws://" + StartRaw(t, func(nc *net.TCPConn) { ServeIf(nc, serve, all) })
}

// ServeIf answers the handshake of a connection and calls serve, if admit
// returns true for its room. Otherwise it returns without an answer; the caller
// must close the connection.
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

// StartRaw starts a TCP server on a loopback port and returns its address. It
// calls serve for each connection, and closes the connection when serve
// returns.
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

// conns has the open connections, which are closed at the end of a test.
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

// Accept returns the correct HTTP answer (101) to a handshake with this
// Sec-WebSocket-Key.
func Accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return strings.Join([]string{
		"HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]), "", ""}, "\r\n")
}

// Read reads the next frame of the client.
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

// Frame returns the bytes of a final, unmasked frame.
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

// CloseFrame returns the bytes of a close frame.
func CloseFrame(code uint16, reason string) []byte {
	return Frame(Close, append(binary.BigEndian.AppendUint16(nil, code), reason...))
}

// Write writes bytes as they are. It ignores an error, because the next Read
// fails too.
func (c *Conn) Write(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.nc.Write(b)
}

// ReadUntil sets the deadline for all following reads.
func (c *Conn) ReadUntil(t time.Time) { _ = c.nc.SetReadDeadline(t) }

// Reset closes the connection with an RST.
func (c *Conn) Reset() {
	_ = c.nc.SetLinger(0)
	_ = c.nc.Close()
}
