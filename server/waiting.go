package server

import (
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
	"dotsconnect/server/websocket"
)

// Waiting serves the addresses of a node that cannot begin yet, because its backend is not there. Such a node is alive
// (/healthz), but not ready, and /readyz tells the reason. It has the metrics and profiles of an idle process, and answers all
// other requests with 503 (try again later). So a load balancer, an orchestrator and a client do not find a closed port: they
// get the same answers as from a node that has lost its backend.
//
// Waiting listens at the addresses and lends the sockets to two ordinary net/http servers. Server.TakeOver gets the same
// sockets: a connection that arrives during the change waits in the queue of its socket and is served. If Waiting closed a
// socket instead, the kernel would reset the connections in its queue, even if another socket shared the port (SO_REUSEPORT).
type Waiting struct {
	// Immutable after NewWaiting.
	cfg     Config
	doors   *doors
	node    *Server // never started; provides the pages and the metrics
	lent    []*lentListener
	servers []*http.Server
	admin   *admin // nil if there is no admin address

	why  atomic.Pointer[string] // the reason why the backend cannot be reached
	wait sync.WaitGroup         // for the goroutines that accept connections
	once sync.Once
}

// mostWaiting is the number of client connections that may be open at a time. For a further connection, the oldest connection
// that has not sent its request is closed.
const mostWaiting = 1024

// NewWaiting opens the addresses of a node and begins to refuse clients. what is the name of the backend, such as "Redis".
func NewWaiting(cfg Config, log *zap.Logger, version, what string) (*Waiting, error) {
	w := &Waiting{}
	w.because("waiting for " + what)
	node, err := newServer(cfg, log, version, &Backend{
		Lanes: 1, LaneOf: func(string) int { return 0 }, Ready: func() error { return errors.New(*w.why.Load()) },
	})
	if err != nil {
		return nil, err
	}
	node.node = loop.New(node.loopConfig())
	node.phase.Store(phaseReady) // everything except the backend is ready
	w.node, w.cfg = node, node.cfg
	if w.doors, err = openDoors(&w.cfg); err != nil {
		return nil, err
	}
	clients := w.lend(w.doors.clients)
	places := newAdminListener(clients, min(mostWaiting, max(node.files.clients/2, 2)), false, &node.counts.full)
	server, err := w.clientServer(places)
	if err != nil {
		return nil, errors.Join(err, w.doors.close())
	}
	w.serve(server, places)
	if w.doors.admin == nil {
		return w, nil
	}
	refusal := &apiError{http.StatusServiceUnavailable, "this node waits for " + what + " and has no rooms yet; /readyz gives the reason"}
	if w.admin, err = newAdmin(node, w.lend(w.doors.admin), refusal); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	w.serve(w.admin.http, w.admin.listener)
	return w, nil
}

// clientServer returns the HTTP server for clients. It reads only the head of a request, and keeps no connection open after the
// answer.
func (w *Waiting) clientServer(places *adminListener) (*http.Server, error) {
	logger, err := zap.NewStdLogAt(w.node.log, zap.InfoLevel)
	if err != nil {
		return nil, err
	}
	return &http.Server{
		Handler: http.HandlerFunc(w.answer), ErrorLog: logger,
		ReadHeaderTimeout: w.cfg.HandshakeTimeout, ReadTimeout: w.cfg.HandshakeTimeout, WriteTimeout: w.cfg.HandshakeTimeout,
		MaxHeaderBytes: int(w.cfg.MaxHeader), DisableGeneralOptionsHandler: true,
		ConnState: func(conn net.Conn, state http.ConnState) {
			if state == http.StateNew {
				w.node.counts.accepted.Add(1)
			}
			places.changed(conn, state)
		},
	}, nil
}

func (w *Waiting) lend(l net.Listener) net.Listener {
	lent := &lentListener{Listener: l, returned: make(chan struct{})}
	w.lent = append(w.lent, lent)
	return lent
}

func (w *Waiting) serve(server *http.Server, l net.Listener) {
	w.servers = append(w.servers, server)
	lent := w.lent[len(w.lent)-1] // the listener below l, which owns the socket
	w.wait.Go(func() {
		defer close(lent.returned)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) && !lent.over.Load() {
			w.node.log.Error("the listener failed", zap.Stringer("address", l.Addr()), zap.Error(err))
		}
	})
}

// Because sets the reason why the backend is not there: usually the text of an error.
func (w *Waiting) Because(reason string) { w.because(w.reason() + ": " + reason) }

func (w *Waiting) because(text string) { w.why.Store(&text) }

// reason returns the general reason, without an error.
func (w *Waiting) reason() string {
	text, _, _ := strings.Cut(*w.why.Load(), ":")
	return text
}

// Addr returns the address for clients. If the setting has port 0, it has the port that the system chose.
func (w *Waiting) Addr() string { return w.doors.clients.Addr().String() }

// AdminAddr returns the admin address, or "" if there is none.
func (w *Waiting) AdminAddr() string {
	if w.doors.admin == nil {
		return ""
	}
	return w.doors.admin.Addr().String()
}

// answer answers a client's request.
func (w *Waiting) answer(rw http.ResponseWriter, r *http.Request) {
	if !websocket.IsUpgrade(r.Header) && isHealth(r) {
		w.node.counts.pages.Add(1)
		rw.Header().Set("Connection", "close")
		rw.Header().Set("Cache-Control", "no-store")
		w.node.pages.ServeHTTP(rw, r)
		return
	}
	conn, _, err := http.NewResponseController(rw).Hijack()
	if err != nil { // cannot happen: only HTTP/2 connections cannot be hijacked
		http.Error(rw, w.reason(), http.StatusServiceUnavailable)
		return
	}
	defer conn.Close()
	turnAway(conn, w.refusal(r))
}

// refusal returns the answer that a session would give: 503, or to a reader of events a stream that ends.
func (w *Waiting) refusal(r *http.Request) []byte {
	text := w.reason() + ": try again later"
	origin := r.Header.Get("Origin")
	_, stream, bad := protocol.ParseSSE(r.URL.EscapedPath(), r.URL.RawQuery, "")
	if stream && bad == nil && r.Method == http.MethodGet && w.node.rules.Load().origins.Allowed(origin, r.Host) {
		w.node.counts.close(protocol.CloseBackendUnavailable)
		return appendStreamEnd(streamHead(origin), protocol.CloseBackendUnavailable, protocol.Reason(protocol.CloseBackendUnavailable, text))
	}
	w.node.counts.refuse(http.StatusServiceUnavailable)
	response := websocket.AppendRefusal(nil, &websocket.HeadError{Status: http.StatusServiceUnavailable, Text: text})
	if r.Method == http.MethodHead {
		return headOf(response)
	}
	return response
}

// turnAway sends an answer. Then it reads the bytes that the client has already sent: if the connection were closed with unread bytes, the
// kernel would send a reset, which may destroy the answer on its way.
func turnAway(conn net.Conn, response []byte) {
	if conn.SetDeadline(time.Now().Add(refusalTime)) != nil {
		return
	}
	if _, err := conn.Write(response); err != nil {
		return
	}
	if half, ok := conn.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return
	}
	buf := make([]byte, websocket.DefaultMaxHead)
	for left := int(receiveBuffer); left > 0; {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		left -= n
	}
}

// yield stops accepting and hands the sockets over. In the background, Waiting still answers the connections that it has
// already accepted. It cannot use Shutdown of net/http, which drops clients that are about to send a request.
func (w *Waiting) yield() *doors {
	w.once.Do(func() {
		for i, l := range w.lent {
			w.servers[i].SetKeepAlivesEnabled(false) // so that the node gets the client's next request
			_ = l.Close()                            // fails only if the socket is closed, which Accept reports
			<-l.returned
			_ = l.setDeadline(time.Time{})
		}
	})
	return w.doors
}

// Close ends a Waiting at once. After Server.TakeOver it cuts the connections that still wait for an answer from the Waiting.
func (w *Waiting) Close() error {
	var err error
	w.once.Do(func() { err = w.doors.close() })
	if w.admin != nil {
		w.admin.giveUp()
	}
	for _, server := range w.servers {
		_ = server.Close()
	}
	w.wait.Wait()
	return err
}

// lentListener is a listener whose Close leaves the socket open.
type lentListener struct {
	net.Listener
	over     atomic.Bool
	returned chan struct{} // closed when no Accept is running any more
}

// Accept returns net.ErrClosed after Close. Before that, an error comes from the socket.
func (l *lentListener) Accept() (net.Conn, error) {
	for {
		if l.over.Load() {
			return nil, net.ErrClosed
		}
		conn, err := l.Listener.Accept()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return conn, err
		}
	}
}

// Close wakes Accept. Accept may still return one connection afterwards, which is answered like any other connection.
func (l *lentListener) Close() error {
	if l.over.Swap(true) {
		return nil
	}
	return l.setDeadline(time.Unix(1, 0))
}

func (l *lentListener) setDeadline(t time.Time) error {
	return l.Listener.(interface{ SetDeadline(time.Time) error }).SetDeadline(t)
}
