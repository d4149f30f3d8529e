package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// The admin address is for operators and their programs: metrics, health, profiles, and a small API. It is an ordinary net/http
// server that shares no goroutine with the loops; it asks the loops by Loop.Call, with a deadline.
//
// Access:
//
//   - On loopback everybody on this machine has access, unless a token is set. But a browser on this machine may show the page
//     of a stranger, and this page must not get access. A stranger may let the host name of such a page point to 127.0.0.1 (DNS
//     rebinding); then the page has the same origin as this address. So the Host of a request must be an IP address, localhost
//     or the configured name. Such a page may also send a POST whose answer it cannot read. So a request that changes something
//     is refused if the browser says that it comes from another origin.
//   - On other addresses everybody needs the bearer token; Config.Validate requires that one is set. The page of a stranger does
//     not know it, so with a token any Host is accepted. Only /healthz and /readyz need no token, because load balancers ask
//     for them without a token and under any host name. Their answers contain no secrets.
//
// The limits are: a share of the connections (descriptors.go, adminListener); half as many requests at a time; 16 KiB for a
// head; max-message for a body; and a time limit for each part of a request.
type admin struct {
	// Immutable after newAdmin.
	srv       *Server
	listener  *adminListener
	http      *http.Server
	mux       *http.ServeMux
	api       *api
	origins   *http.CrossOriginProtection
	loopback  bool               // only programs on this machine can reach the address
	host      string             // the host in Config.Admin
	giveUp    context.CancelFunc // cancels requests that wait, for example for the counts of other nodes
	answering chan struct{}      // holds a token for each request that may take a while

	wait sync.WaitGroup
}

const (
	maxAdminHead      = 16 << 10
	adminHeadTimeout  = 5 * time.Second
	adminReadTimeout  = 10 * time.Second // time for the head and the body of a request together
	adminWriteTimeout = 30 * time.Second // a profile adds its own duration
	adminIdleTimeout  = 30 * time.Second
	maxScrapes        = 4 // scrapes at a time; a further scrape gets a 503
)

// newAdmin creates the admin server for an open socket. Requests wait until start is called. If without is not nil, the server
// answers every request to the API with that error.
func newAdmin(s *Server, socket net.Listener, without *apiError) (*admin, error) {
	listener := newAdminListener(socket, s.files.admin, s.cfg.AdminToken != "", &s.counts.adminCut)
	a := &admin{
		srv: s, listener: listener, mux: http.NewServeMux(), api: newAPI(s), answering: make(chan struct{}, s.files.admin/2),
		origins: http.NewCrossOriginProtection(), loopback: onLoopback(listener.Addr()),
	}
	a.host, _, _ = net.SplitHostPort(s.cfg.Admin) // cannot fail, because the listener is open
	routes := append(a.routes(), a.api.routes()...)
	if without != nil {
		refuse := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { refuseRequest(w, r, without) })
		routes = append(a.routes(), route{pattern: "/api", handler: refuse}, route{pattern: "/api/", handler: refuse})
	}
	for _, r := range routes {
		a.mux.Handle(r.pattern, r.handler)
	}
	a.mux.Handle("GET /{$}", plain(index(s.version, routes)))
	ctx, giveUp := context.WithCancel(context.Background())
	a.giveUp = giveUp
	logger, err := zap.NewStdLogAt(s.log.Named("admin"), zap.WarnLevel)
	if err != nil {
		giveUp()
		return nil, errors.Join(err, listener.Close())
	}
	a.http = &http.Server{
		Handler: a, ErrorLog: logger, BaseContext: func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: adminHeadTimeout, ReadTimeout: adminReadTimeout, WriteTimeout: adminWriteTimeout,
		IdleTimeout: adminIdleTimeout, MaxHeaderBytes: maxAdminHead, DisableGeneralOptionsHandler: true,
		ConnState: listener.changed,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, adminConnKey{}, conn)
		},
	}
	return a, nil
}

func (a *admin) start() {
	a.wait.Go(func() {
		if err := a.http.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			a.srv.log.Error("the admin listener failed", zap.Error(err))
		}
	})
}

// stop accepts no more requests and waits for the requests in progress until ctx is done. Then it cuts the connections that are
// left.
func (a *admin) stop(ctx context.Context) error {
	a.giveUp()
	err := a.http.Shutdown(ctx)
	if ctx.Err() != nil {
		err = a.http.Close()
	}
	_ = a.listener.Close() // needed if start was never called
	a.wait.Wait()
	return err
}

func (a *admin) addr() string { return a.listener.Addr().String() }

// A route is a path of the admin address, with its line in the index. A route without help has no line.
type route struct {
	pattern string // a pattern of http.ServeMux
	help    string
	handler http.Handler
}

func (a *admin) routes() []route {
	s := a.srv
	scrape := promhttp.HandlerFor(newRegistry(s), promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes})
	return []route{
		{"GET /metrics", "counters, for Prometheus", scrape},
		{"GET /healthz", "200 while the process runs", plain("ok")},
		{"GET /readyz", "200 while the node takes new clients, otherwise 503 with the reason", s.readyz()},
		{"GET /debug/pprof/", "profiles, for go tool pprof", http.HandlerFunc(pprof.Index)},
		{pattern: "GET /debug/pprof/cmdline", handler: http.HandlerFunc(pprof.Cmdline)},
		{pattern: "GET /debug/pprof/profile", handler: http.HandlerFunc(pprof.Profile)},
		{pattern: "GET /debug/pprof/trace", handler: http.HandlerFunc(pprof.Trace)},
		{pattern: "GET /debug/pprof/symbol", handler: http.HandlerFunc(pprof.Symbol)},
		{pattern: "POST /debug/pprof/symbol", handler: http.HandlerFunc(pprof.Symbol)},
	}
}

// index lists the routes.
func index(version string, routes []route) string {
	var b strings.Builder
	fmt.Fprintf(&b, "dotsconnect %s\n\n", version)
	for _, r := range routes {
		if method, address, _ := strings.Cut(r.pattern, " "); r.help != "" {
			fmt.Fprintf(&b, "%-6s  %-36s  %s\n", method, address, r.help)
		}
	}
	b.WriteString("\n{space} is chat or raw; {room} is the name of the room, percent-encoded as in its WebSocket URL.")
	return b.String()
}

// plain makes a handler that answers with a fixed text.
func plain(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writePlain(w, http.StatusOK, text+"\n") })
}

// readyz answers 200 if the node takes new clients, with a warning if there is one. Otherwise it answers 503 with the reason.
func (s *Server) readyz() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := s.ready(); err != nil {
			writePlain(w, http.StatusServiceUnavailable, err.Error()+"\n")
			return
		}
		writePlain(w, http.StatusOK, s.readyText()+"\n")
	})
}

func writePlain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // an error means that the peer has gone
}

// ServeHTTP checks whether the request is allowed, and passes it to the mux.
func (a *admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer a.rescue(w, r)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	body := &adminBody{ReadCloser: http.MaxBytesReader(w, r.Body, int64(a.srv.rules.Load().cfg.MaxMessage)), whole: r.ContentLength == 0}
	r.Body = body
	known := a.knowsToken(r)
	conn, ok := r.Context().Value(adminConnKey{}).(*adminConn)
	if ok {
		defer conn.finish(body)
	}
	if !ok || !known || !a.listener.promote(conn) {
		w.Header().Set("Connection", "close")
	}
	refusal := a.admit(r, known)
	if refusal == nil {
		refusal = settlePath(r)
	}
	if refusal == nil {
		refusal = a.unrouted(w, r)
	}
	if refusal == nil && !isHealth(r) {
		select {
		case a.answering <- struct{}{}:
			defer func() { <-a.answering }()
		default:
			refusal = &apiError{http.StatusServiceUnavailable, fmt.Sprintf("the admin address is already answering %d requests; try again later", cap(a.answering))}
		}
	}
	if refusal != nil {
		refuseRequest(w, r, refusal)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// isHealth reports whether a request is for /healthz or /readyz. Such a request needs no token and may have any Host, and it is
// answered at once.
func isHealth(r *http.Request) bool { return r.URL.Path == "/healthz" || r.URL.Path == "/readyz" }

// rescue recovers a panic, which is always a bug.
func (a *admin) rescue(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { //nolint:errorlint // a panic value: net/http compares it in the same way
		panic(p)
	}
	a.srv.counts.panics.Add(1)
	a.srv.log.Error("internal error", zap.Any("panic", p), zap.String("path", r.URL.Path), zap.Stack("stack"))
	refuseRequest(w, r, &apiError{http.StatusInternalServerError, "internal error; the log of the server has the details"})
}

// admit returns the reason why the request may not be answered, or nil if it may. known reports whether the request showed the
// token.
func (a *admin) admit(r *http.Request, known bool) *apiError {
	switch {
	case isHealth(r):
	case a.token() != nil && !known:
		return &apiError{http.StatusUnauthorized, "this request needs the header Authorization: Bearer TOKEN, where TOKEN is the admin token"}
	case a.token() == nil && a.loopback && !a.ownHost(r.Host):
		return &apiError{http.StatusForbidden, "the admin address refuses requests with this host name; use localhost or an IP address"}
	}
	if a.origins.Check(r) != nil {
		return &apiError{http.StatusForbidden, "a page of another origin may not send this request"}
	}
	return nil
}

// ownHost reports whether host is a name that a stranger cannot let point to this node. A request without a Host is allowed:
// browsers always send a Host, but load balancers that speak HTTP/1.0 may not.
func (a *admin) ownHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if _, err := netip.ParseAddr(name); err == nil || name == "" {
		return true
	}
	return strings.EqualFold(name, "localhost") || strings.EqualFold(name, a.host)
}

// token returns the hash of the token, or nil if no token is required.
func (a *admin) token() *[sha256.Size]byte { return a.srv.rules.Load().token }

// knowsToken compares hashes in constant time, so that timing reveals neither the token nor its length.
func (a *admin) knowsToken(r *http.Request) bool {
	want := a.token()
	if want == nil {
		return false
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(sum[:], want[:]) == 1
}

// legalInPath replaces bytes that url.URL does not allow in an escaped path, although the address of a WebSocket may contain
// them.
var legalInPath = strings.NewReplacer(`"`, "%22", "<", "%3C", ">", "%3E", `\`, "%5C", "^", "%5E", "`", "%60", "{", "%7B", "|", "%7C", "}", "%7D")

// settlePath makes the mux split the path as it was on the wire, before any decoding, as protocol.ParseTarget does: an encoded
// slash is a character of a room's name and does not end the name. If the mux would answer with a redirect, settlePath refuses
// the request.
func settlePath(r *http.Request) *apiError {
	wire, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(wire, "/") { // absolute form, RFC 9112 section 3.2.2
		wire = r.URL.EscapedPath()
	}
	if strings.ContainsFunc(wire, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '#' }) {
		return &apiError{http.StatusBadRequest, "the path contains a byte that must be percent-encoded"}
	}
	if clean := path.Clean(wire); !strings.HasPrefix(wire, "/") || clean != wire && clean+"/" != wire {
		return &apiError{http.StatusBadRequest, "the path contains an empty segment, or the segment . or ..; write the name of the room . as %2E and of the room .. as %2E%2E"}
	}
	if strings.Contains(strings.ToLower(wire), "/%2f") { // the mux takes a part that is a slash for the end of the path
		return &apiError{http.StatusBadRequest, "a segment of the path begins with an encoded slash"}
	}
	r.URL.RawPath = legalInPath.Replace(wire)
	return nil
}

// unrouted returns the mux's 404 or 405, or nil if the mux has a handler. For a 405 it leaves the Allow header in w.
func (a *admin) unrouted(w http.ResponseWriter, r *http.Request) *apiError {
	h, pattern := a.mux.Handler(r)
	if pattern != "" {
		return nil
	}
	answer := statusRecorder{header: w.Header()}
	h.ServeHTTP(&answer, r)
	if answer.status == http.StatusMethodNotAllowed {
		return &apiError{answer.status, "the only methods for this path are " + w.Header().Get("Allow")}
	}
	return &apiError{answer.status, "no such path; GET / lists all paths"}
}

// statusRecorder takes the head of an answer and forgets its body.
type statusRecorder struct {
	header http.Header
	status int
}

func (s *statusRecorder) Header() http.Header         { return s.header }
func (s *statusRecorder) WriteHeader(status int)      { s.status = status }
func (s *statusRecorder) Write(p []byte) (int, error) { return len(p), nil }

// refuseRequest answers with an error: as JSON under the paths of the API, as plain text elsewhere.
func refuseRequest(w http.ResponseWriter, r *http.Request, e *apiError) {
	switch e.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="dotsconnect admin"`)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	if r.URL.Path == "/api" || strings.HasPrefix(r.URL.Path, "/api/") {
		writeJSON(w, e.Status, map[string]*apiError{"error": e})
		return
	}
	writePlain(w, e.Status, e.Text+"\n")
}

// onLoopback reports whether only this machine can reach a listener.
func onLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
