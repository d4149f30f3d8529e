// Package client is the WebSocket client of the load generators: one epoll
// loop drives tens of thousands of connections from one thread.
//
// A connection is a slot in a flat slice and needs 24 bytes while it is quiet.
// Some connections need more state for a while: during the handshake, after a
// part of a frame has arrived, or while the kernel has not accepted all of
// their bytes. They keep this state in an extra. An extra goes back to a pool
// as soon as it is empty. All connections read into one shared buffer. A
// goroutine and a bufio.Reader per connection would need a hundred times as
// much memory, and the generator would measure the Go scheduler.
//
// The package shares no code with any server, because a bug at both ends of a
// connection would not be noticed.
//
// Stamps are CLOCK_MONOTONIC nanoseconds. A stamp for a write is taken right
// before the write. A stamp for a read is taken when epoll_wait returns, and
// again after every 16 events of its batch. So the measured latency of the
// server includes little of the time that this process spends on earlier
// events, and no stamp is much older than the arrival of its message.
//
// An Engine belongs to one goroutine. Handlers run inside Poll. They may Dial,
// Send and Reset any connection, but they must not call Poll.
package client

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Defaults of Config, and limits that Config cannot change.
const (
	DefaultDialTimeout  = 10 * time.Second
	DefaultCloseTimeout = 2 * time.Second
	DefaultMaxMessage   = 256 << 10
	DefaultMaxBacklog   = 1 << 20
	DefaultBeat         = `"heartbeat"`

	maxEvents       = 256 // largest number of events in a batch
	freshStamp      = 16  // events of a batch that share one stamp
	maxBeatsPerPoll = 256 // largest number of heartbeats that are written before events are handled again
)

// Config configures an Engine.
type Config struct {
	// Target is the server, from ParseTarget.
	Target Target
	// Others are further servers, for DialTo. Either all servers are on the
	// IPv4 loopback, or none is.
	Others []Target
	// MaxConns is the number of slots: connections that are open or being
	// opened.
	MaxConns int
	// Sources is the minimum number of source addresses for connections on the
	// loopback. The engine uses more if an address would get more than 6,000
	// connections.
	Sources int
	// SourceNet is an IPv4 network whose addresses are used in turn as source
	// addresses. All of them must belong to this machine. By default the engine
	// uses 127.0.0.0/16 for a server on the loopback; otherwise the kernel
	// chooses.
	SourceNet netip.Prefix
	// DialTimeout limits the time for connect and handshake together. Default
	// 10 s.
	DialTimeout time.Duration
	// CloseTimeout limits the wait for the server's FIN after its close frame.
	// Default 2 s.
	CloseTimeout time.Duration
	// BeatEvery is the period of the heartbeats; 0: no heartbeats. Engine.Beat
	// turns heartbeats on for a connection.
	BeatEvery time.Duration
	// BeatText is the text of a heartbeat. Default: the JSON string
	// "heartbeat", with its quotes.
	BeatText string
	// Spin makes the engine poll without sleeping, so the engine needs a CPU of
	// its own. Without Spin the server's send system call has to wake the
	// receiver. On a virtual machine each wake-up costs the server 2 to 5 us. A
	// server whose clients are on other machines does not have this cost.
	Spin bool
	// Gather delays the messages that a handler sends on the connection whose
	// input it handles: the engine writes them together when it has handled all
	// bytes of the read. Real clients with several messages in flight do the
	// same. Without Gather, client and server spend most of their time on
	// system calls for single messages.
	Gather bool
	// MaxMessage is the longest accepted message, in bytes. Default 256 KiB.
	MaxMessage int
	// MaxBacklog limits the unsent bytes of a connection. Default 1 MiB.
	MaxBacklog int
}

// Handlers are the callbacks of an Engine. Handlers that are nil are not
// called.
type Handlers struct {
	// OnOpen is called when a valid 101 has arrived.
	OnOpen func(id int32, o Open)
	// OnCut is called when a connection of DialCut has written its part of the
	// request.
	OnCut func(id int32)
	// OnMessage is called for each complete text message, and for binary
	// messages too if OnBinary is nil. The engine does not check that a text is
	// UTF-8. The payload is valid only during the call.
	OnMessage func(id int32, payload []byte, stamp int64)
	OnBinary  func(id int32, payload []byte, stamp int64)
	// OnClose is called once when a connection has ended or could not be
	// opened, but not after Reset. From then on another connection may get the
	// id.
	OnClose func(id int32, c Close)
	// OnBeat is called when the kernel has accepted a whole heartbeat. The
	// kernel accepted it at a time between the two stamps.
	OnBeat func(id int32, before, after int64)
}

func (h *Handlers) message(id int32, op byte, payload []byte, stamp int64) {
	switch {
	case op == OpBinary && h.OnBinary != nil:
		h.OnBinary(id, payload, stamp)
	case h.OnMessage != nil:
		h.OnMessage(id, payload, stamp)
	}
}

// Open has the stamps of a handshake.
type Open struct {
	Dialed    int64 // time right before connect
	Requested int64 // time right before the request was written
	Stamp     int64 // time at which the 101 arrived
}

type state uint8

const (
	free       state = iota
	connecting       // waiting for the SYN-ACK
	requesting       // connected; waiting for the 101
	cut              // connected by DialCut; has written its part of the request and writes nothing more
	open
	closing // has answered and reported the server's close frame; waiting for the FIN
)

// Engine is the epoll loop and its connections.
type Engine struct {
	// These fields do not change after New.
	cfg   Config
	h     Handlers
	clock Clock
	ep    int
	key   key

	// These fields belong to the goroutine that calls Poll.
	conns   []conn
	free    []int32
	sources sources
	events  []unix.EpollEvent
	buf     []byte // read buffer, shared by all connections
	scratch []byte // buffer for the frame that is being written
	reading int32  // with Gather: the connection whose messages are being handled; -1: none
	held    []byte // bytes that the handlers have sent on that connection
	pool    extras
	dials   deadlines
	closes  deadlines
	failed  []ref
	beat    beats
	opening int
	opened  int
	reads   int64
	busy    int64
	asked   int64 // with Spin: the time right before the last epoll_wait
	polling bool
}

// New makes an Engine. Call Close to free its epoll descriptor.
func New(cfg Config, h Handlers) (*Engine, error) {
	if cfg.MaxConns < 1 {
		return nil, errors.New("client: MaxConns must be at least 1")
	}
	setDefault(&cfg.DialTimeout, DefaultDialTimeout)
	setDefault(&cfg.CloseTimeout, DefaultCloseTimeout)
	setDefault(&cfg.MaxMessage, DefaultMaxMessage)
	setDefault(&cfg.MaxBacklog, DefaultMaxBacklog)
	sources, err := newSources(cfg)
	if err != nil {
		return nil, err
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("client: epoll_create: %w", err)
	}
	clock, err := NewClock()
	if err != nil {
		_ = unix.Close(ep)
		return nil, err
	}
	e := &Engine{
		cfg: cfg, h: h, clock: clock, ep: ep,
		conns:   make([]conn, cfg.MaxConns),
		free:    make([]int32, cfg.MaxConns),
		sources: sources,
		events:  make([]unix.EpollEvent, maxEvents),
		// The buffer must have free space after the longest incomplete frame or
		// response head: a read without free space returns 0, which looks like
		// EOF.
		buf: make([]byte, max(cfg.MaxMessage, maxResponseBytes)+2*maxHeaderBytes),
	}
	e.reading = -1
	e.key = newKey()
	// The free list is a stack, so a new engine gives out ids in ascending
	// order.
	for i := range e.free {
		e.free[i] = int32(cfg.MaxConns - 1 - i)
	}
	e.beat.init(cfg.BeatEvery, cfg.BeatText, cfg.MaxConns, clock.Now())
	return e, nil
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Now returns the time of CLOCK_MONOTONIC in nanoseconds.
func (e *Engine) Now() int64 { return e.clock.Now() }

// Opening returns the number of connections with a handshake in progress.
func (e *Engine) Opening() int { return e.opening }

// Opened returns the number of open connections.
func (e *Engine) Opened() int { return e.opened }

// Reads returns the number of reads that returned bytes.
func (e *Engine) Reads() int64 { return e.reads }

// Busy returns, for an engine with Spin, the time in nanoseconds in which the
// engine was handling events. The CPU time of the thread does not show this
// time, because with Spin waiting uses CPU time too.
func (e *Engine) Busy() int64 { return e.busy }

// Run polls until done returns true, or until the clock of the engine reaches
// end. It reports whether done returned true. If done is nil, Run polls until
// the clock reaches end.
func (e *Engine) Run(end int64, done func() bool) (bool, error) {
	for done == nil || !done() {
		if e.Now() >= end {
			return false, nil
		}
		if err := e.Poll(end); err != nil {
			return false, err
		}
	}
	return true, nil
}

// Poll waits for events, or until the clock reaches end. Then it handles one
// batch of events, the deadlines that have passed, and the heartbeats that are
// due. It may return before the clock reaches end.
func (e *Engine) Poll(end int64) error {
	if e.polling {
		panic("client: Poll called from a handler")
	}
	e.polling = true
	defer func() { e.polling = false }()

	wake := min(end, e.beat.next(), e.dials.next(), e.closes.next())
	if len(e.failed) > 0 {
		wake = 0
	}
	n, err := e.wait(wake)
	if err != nil {
		return fmt.Errorf("client: epoll_wait: %w", err)
	}
	stamp := e.Now()
	if e.cfg.Spin {
		defer func() { e.busy += e.Now() - e.asked }()
	}
	for i, ev := range e.events[:n] {
		if i%freshStamp == freshStamp-1 {
			stamp = e.Now()
		}
		r := ref{ev.Fd, uint32(ev.Pad)}
		if r.live(e.conns) {
			e.handle(r.id, ev.Events, stamp)
		}
	}
	e.reportFailed(stamp)
	e.expire(stamp)
	e.sendBeats()
	return nil
}

// wait waits for events until the clock reaches end.
func (e *Engine) wait(end int64) (int, error) {
	if !e.cfg.Spin {
		return epollWait(e.ep, e.events, end-e.Now())
	}
	for {
		e.asked = e.Now()
		n, err := epollWait(e.ep, e.events, 0)
		if n > 0 || err != nil || e.Now() >= end {
			return n, err
		}
	}
}

// handle handles one event. After an error or a hang-up it does not end the
// connection, but reads: the read first returns the data that arrived before
// the error, which is often a close frame.
func (e *Engine) handle(id int32, events uint32, stamp int64) {
	c := &e.conns[id]
	if c.state == connecting {
		e.connected(id, stamp)
		return
	}
	gen := c.gen
	if events&unix.EPOLLOUT != 0 {
		e.flush(id)
	}
	if events&^unix.EPOLLOUT != 0 && c.gen == gen {
		e.readable(id, stamp)
	}
}

// Close resets all connections, without calling OnClose, and closes the epoll
// descriptor.
func (e *Engine) Close() error {
	e.ResetAll()
	return unix.Close(e.ep)
}
