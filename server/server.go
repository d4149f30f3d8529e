package server

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"dotsconnect/loop"
	"dotsconnect/server/web"
)

// Server is one node: the loops with their pollers, the acceptor, and the admin address.
type Server struct {
	// Immutable after New.
	cfg     Config
	log     *zap.Logger
	version string
	began   time.Time
	node    *loop.Node
	pollers []*poller
	secrets secrets // makes the keys of connections
	anyLife bool    // every frame is a sign of life, even in chat rooms
	pages   http.Handler
	counts  *counts
	files   fileShares
	posted  keyring  // Idempotency-Keys of POST requests
	backend *Backend // nil: this node runs alone

	rules atomic.Pointer[rules] // never nil after New

	// Set by Start.
	acceptor *acceptor
	admin    *admin
	ticker   *ticker
	gaps     *gaps // nil: members are not closed after gaps

	phase     atomic.Int32
	closeOnce sync.Once
	closeErr  error
}

// The phases of a server's life.
const (
	phaseStarting int32 = iota
	phaseReady
	phaseDraining // not ready; still accepts connections until the drain delay is over
	phaseStopped
)

// New creates a server that runs alone. Start opens its addresses. The metrics show version.
func New(cfg Config, log *zap.Logger, version string) (*Server, error) {
	return NewConnected(cfg, log, version, nil)
}

// NewConnected creates a server that is one of several nodes.
func NewConnected(cfg Config, log *zap.Logger, version string, backend *Backend) (*Server, error) {
	s, err := newServer(cfg, log, version, backend)
	if err != nil {
		return nil, err
	}
	s.warnOfLimit(s.rules.Load())
	s.node = loop.New(s.loopConfig())
	s.node.Use(s.bus())
	for _, l := range s.node.Loops() {
		p, err := newPoller(s, l)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("cannot create the poller of loop %d: %w", l.Index(), err), s.Close())
		}
		s.pollers = append(s.pollers, p)
	}
	return s, nil
}

// newServer creates a server without loops.
func newServer(cfg Config, log *zap.Logger, version string, backend *Backend) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Loops == 0 {
		cfg.Loops = min(runtime.GOMAXPROCS(0), loop.MaxLoops)
	}
	s := &Server{
		cfg: cfg, log: log, version: version, began: time.Now(), counts: newCounts(), backend: backend, anyLife: cfg.ChatLife == "any",
	}
	s.pages = s.publicPages()
	s.secrets = newSecrets()
	if err := errors.Join(s.cfg.LoadAdminToken(), s.shareFiles()); err != nil {
		return nil, err
	}
	r, err := newRules(s.cfg, s.files)
	if err != nil {
		return nil, err
	}
	s.rules.Store(r)
	return s, nil
}

// loopConfig makes the configuration of the loops from the settings of the server.
func (s *Server) loopConfig() loop.Config {
	c := loop.DefaultConfig()
	c.Loops = s.cfg.Loops
	c.Ring = func(i int) { s.pollers[i].ring() }
	c.HandshakeTimeout, c.MaxAge, c.FrameTimeout = s.cfg.HandshakeTimeout, s.cfg.MaxAge, s.cfg.FrameTimeout
	c.ReaderPing, c.ReaderAge = readerTimes(s.cfg.MaxAge)
	c.CloseTimeout, c.BacklogTime, c.StallBudget = s.cfg.CloseTimeout, s.cfg.BacklogTime, s.cfg.StallBudget
	c.SoftBacklog, c.HardBacklog = int(s.cfg.SoftBacklog), int(s.cfg.HardBacklog)
	c.RoomCredit = int64(s.cfg.SoftBacklog)
	c.BacklogTotal, c.InboxLimit = int64(s.cfg.BacklogTotal), int64(s.cfg.InboxLimit)
	c.HistoryBytes, c.HistoryAge = int64(s.cfg.HistoryBytes), s.cfg.HistoryAge
	c.OnFence, c.FenceAge = s.replaced, max(c.FenceAge, 2*s.cfg.RedisHold+10*time.Second)
	c.RoomMembers, c.MaxRooms = s.cfg.RoomMembers, s.cfg.MaxRooms
	if s.backend != nil {
		c.Lanes, c.LaneOf = s.backend.Lanes, s.backend.LaneOf
	}
	c.Encodings, c.Presence = encodings(), writePresence
	return c
}

// Start opens the addresses and begins to serve.
func (s *Server) Start() error {
	d, err := openDoors(&s.cfg)
	if err != nil {
		return err
	}
	return s.begin(d)
}

// TakeOver does the same as Start with the sockets of w, which has refused clients until now. No connection is lost or refused
// during the change, and the counters continue.
func (s *Server) TakeOver(w *Waiting) error {
	s.counts = w.node.counts
	return s.begin(w.yield())
}

// begin serves clients at the sockets of d, which then belong to the server.
func (s *Server) begin(d *doors) error {
	var err error
	if s.acceptor, err = newAcceptor(s, d.clients); err != nil {
		return err
	}
	if d.admin != nil {
		if s.admin, err = newAdmin(s, d.admin, nil); err != nil {
			return err
		}
		s.admin.start()
	}
	for _, p := range s.pollers {
		if err := p.start(); err != nil {
			return fmt.Errorf("cannot start the poller: %w", err)
		}
	}
	if s.backend != nil {
		s.gaps = startGaps(s)
		s.backend.Start(s.node, s.gap)
	}
	s.ticker = startTicker(s)
	s.acceptor.start()
	s.phase.Store(phaseReady)
	return nil
}

// Addr returns the address for clients. If the setting has port 0, it has the port that the system chose.
func (s *Server) Addr() string { return s.acceptor.addr() }

// Lanes returns the number of lanes of the bus.
func (s *Server) Lanes() int { return s.node.Directory().Lanes() }

// AdminAddr returns the admin address, or "" if there is none.
func (s *Server) AdminAddr() string {
	if s.admin == nil {
		return ""
	}
	return s.admin.addr()
}

// ready returns the reason why the node must get no new clients, or nil if it may.
func (s *Server) ready() error {
	switch s.phase.Load() {
	case phaseReady:
		return s.backendReady()
	case phaseStarting:
		return errors.New("starting")
	default:
		return errors.New("draining")
	}
}

// now is the clock of the loops: monotonic time since the server was created.
func (s *Server) now() time.Duration { return time.Since(s.began) }

// Close stops everything at once and cuts all connections. Use Drain first to close them properly.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		s.phase.Store(phaseStopped)
		if s.acceptor != nil {
			s.closeErr = s.acceptor.stop()
		}
		if s.ticker != nil {
			s.ticker.stop()
		}
		s.gaps.stop()
		for _, p := range s.pollers {
			p.stop()
		}
		if s.admin != nil {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			s.closeErr = errors.Join(s.closeErr, s.admin.stop(ctx))
		}
	})
	return s.closeErr
}

// ticker rings every loop at the beginning of each tick of the wheel, because the timeouts of the tick expire then.
type ticker struct {
	done chan struct{}
	wait sync.WaitGroup
}

func startTicker(s *Server) *ticker {
	t := &ticker{done: make(chan struct{})}
	t.wait.Add(1)
	go func() {
		defer t.wait.Done()
		memory := newMemory()
		defer memory.close()
		timer := time.NewTimer(0)
		defer timer.Stop()
		for {
			select {
			case <-t.done:
				return
			case <-timer.C:
			}
			for _, l := range s.node.Loops() {
				l.Ring()
			}
			memory.tick()
			timer.Reset(loop.Tick - s.now()%loop.Tick)
		}
	}()
	return t
}

func (t *ticker) stop() {
	close(t.done)
	t.wait.Wait()
}

func randomEpoch() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // its documentation says that it never fails
	return binary.BigEndian.Uint64(b[:])
}

// publicPages returns the handler for the pages on the port for clients.
func (s *Server) publicPages() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", web.Handler())
	mux.Handle("/healthz", plain("ok"))
	readyz := s.readyz()
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		if !s.rules.Load().cfg.PublicReadyz {
			http.Error(w, "/readyz is on the admin address (--admin); with --public-readyz this address serves it too", http.StatusNotFound)
			return
		}
		readyz.ServeHTTP(w, r)
	})
	return mux
}
