package server

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
)

// proxy is a TCP proxy before a server. A test cuts its connections, and directs new ones to the same server or to another one.
type proxy struct {
	listener *net.TCPListener
	work     sync.WaitGroup

	mu     sync.Mutex
	target string             // "": new connections are reset; guarded by mu
	links  map[*link]struct{} // guarded by mu
}

// link is a connection of a client and its connection to the server.
type link struct {
	client, server *net.TCPConn
	ended          int // number of directions that have ended, guarded by the mu of the proxy
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: target, links: map[*link]struct{}{}}
	p.work.Go(func() {
		for {
			client, err := listener.AcceptTCP()
			if err != nil {
				return
			}
			p.pass(client)
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
		p.work.Wait()
	})
	return p
}

func (p *proxy) Addr() string { return p.listener.Addr().String() }

// cut resets all connections, and from now on every new one.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = ""
	for l := range p.links {
		reset(l.client)
		reset(l.server)
	}
}

// connect directs new connections to the server at this address.
func (p *proxy) connect(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

func (p *proxy) pass(client *net.TCPConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.target == "" {
		reset(client)
		return
	}
	conn, err := net.Dial("tcp", p.target)
	if err != nil {
		reset(client)
		return
	}
	l := &link{client: client, server: conn.(*net.TCPConn)}
	p.links[l] = struct{}{}
	p.work.Go(func() { p.carry(l, l.client, l.server) })
	p.work.Go(func() { p.carry(l, l.server, l.client) })
}

// carry copies bytes until one end closes or is reset.
func (p *proxy) carry(l *link, to, from *net.TCPConn) {
	_, _ = io.Copy(to, from) // a reset is an error that the tests want
	_ = to.CloseWrite()
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.ended++; l.ended < 2 {
		return
	}
	_, _ = l.client.Close(), l.server.Close()
	delete(p.links, l)
}

func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

// hasMembers waits until the room lobby has n members.
func (s *testServer) hasMembers(t *testing.T, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("the room has %d members", n), func() bool {
		sum := 0
		for _, members := range s.membersByLoop(t, "chat/lobby") {
			sum += members
		}
		return sum == n
	})
}
