// Package client is the WebSocket client of the load generators: one epoll
// loop drives tens of thousands of connections from one thread.
//
// A connection is a slot in a flat slice: 24 bytes while it is quiet. Some
// connections need more state for a while: a request in progress, a frame that
// the network split, bytes that the kernel did not accept. That state is in a
// pooled extra, which goes back as soon as it is empty. All connections read
// into one shared buffer. A goroutine and a bufio.Reader for each would cost a
// hundred times as much, and the generator would measure its own scheduler.
//
// The package shares no code with any server, so that a bug cannot hide by
// being on both ends of the wire.
//
// Stamps are CLOCK_MONOTONIC nanoseconds. They are taken right before a write,
// and for reads after epoll_wait returned and after every 16 events of a
// batch. So most of the time that this process needs for earlier events does
// not count as the server's, and a message that arrives meanwhile does not get
// a stamp from before its arrival.
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

// Defaults of Config, and limits without a setting.
const (
	DefaultDialTimeout  = 10 * time.Second
	DefaultCloseTimeout = 2 * time.Second
	DefaultMaxMessage   = 256 << 10
	DefaultMaxBacklog   = 1 << 20

	maxEvents       = 256 // events per batch
	freshStamp      = 16  // events with one stamp: data that arrives while a batch is handled is at most that much older
	maxBeatsPerPoll = 256 // heartbeats written before events are handled again
)

// Config says where an Engine connects to and what it holds.
type Config struct {
	// Target is the server, from ParseTarget.
	Target Target
	// Others are more servers; see Dial. All servers must be on the IPv4
	// loopback, or none.
	Others []Target
	// MaxConns is the number of slots: connections that are open or being
	// opened.
	MaxConns int
	// Sources is the least number of source addresses for loopback
	// connections. It is raised so that none has more than 6,000 connections.
	Sources int
	// SourceNet is an IPv4 network whose addresses are used in turn as source
	// addresses. All of them must belong to this machine. Default:
	// 127.0.0.0/16 if the server is on the loopback, else the kernel's choice.
	SourceNet netip.Prefix
	// DialTimeout limits connect and handshake together. Default 10 s.
	DialTimeout time.Duration
	// CloseTimeout limits the wait for the server's FIN after its close frame.
	// Default 2 s.
	CloseTimeout time.Duration
	// BeatEvery is the heartbeat period; 0 sends none. See Engine.Beat.
	BeatEvery time.Duration
	// BeatText is the heartbeat. Default "heartbeat", a JSON string.
	BeatText string
	// Spin polls for events without sleeping, on a CPU that nothing else
	// needs. A server that sends to a sleeping receiver pays for waking it, 2
	// to 5 us each time on a virtual machine. A server whose clients are on
	// other machines does not.
	Spin bool
	// Gather collects what handlers send on the connection that is being read,
	// and writes it once after the last message of the read, as clients with
	// several messages in flight do. Otherwise this process spends most of its
	// time on single writes, and the server on single reads.
	Gather bool
	// MaxMessage is the longest accepted message, in bytes. Default 256 KiB.
	MaxMessage int
	// MaxBacklog limits the unsent bytes of a connection. Default 1 MiB.
	MaxBacklog int
}

// Handlers are the callbacks of an Engine; a nil one is skipped.
type Handlers struct {
	// OnOpen: the server's 101 arrived and is valid.
	OnOpen func(id int32, o Open)
	// OnCut: a connection dialled with DialCut has written its part of the request.
	OnCut func(id int32)
	// OnMessage: a complete text or binary message. The payload is valid only
	// during the call.
	OnMessage func(id int32, payload []byte, stamp int64)
	// OnClose: the connection ended, or could not be opened, and we did not
	// end it. It is called once; afterwards the id may be used again.
	OnClose func(id int32, c Close)
	// OnBeat: a heartbeat was completely given to the kernel, between the two
	// stamps.
	OnBeat func(id int32, before, after int64)
}

func (h *Handlers) message(id int32, payload []byte, stamp int64) {
	if h.OnMessage != nil {
		h.OnMessage(id, payload, stamp)
	}
}

// Open has the stamps of the opening of a connection.
type Open struct {
	Dialed    int64 // before connect
	Requested int64 // before the first byte of the request was written
	Stamp     int64 // the 101 arrived
}

type state uint8

const (
	free       state = iota
	connecting       // waiting for the SYN-ACK
	requesting       // connected; waiting for the 101
	cut              // connected; wrote its part of the request and stays there
	open
	closing // the server's close frame was answered and reported; waiting for its FIN
)

// Engine is the loop and its connections.
type Engine struct {
	// Not changed after New.
	cfg   Config
	h     Handlers
	clock Clock
	ep    int
	key   key

	// Belongs to the goroutine that calls Poll.
	conns   []conn
	free    []int32
	sources sources
	events  []unix.EpollEvent
	buf     []byte // the shared read buffer
	scratch []byte // the frame being sent
	reading int32  // the connection whose messages are being handled, with Gather; -1: none
	held    []byte // what its handlers sent
	pool    extras
	dials   deadlines
	closes  deadlines
	failed  []ref
	beat    beats
	opening int
	opened  int
	reads   int64
	busy    int64
	asked   int64 // before the last epoll_wait of a spinning engine
	polling bool
}

// New makes an Engine. It holds one descriptor until Close.
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
		// Room for the longest incomplete frame or head and more: a read into
		// an empty buffer would look like EOF.
		buf: make([]byte, max(cfg.MaxMessage, maxResponseBytes)+2*maxHeaderBytes),
	}
	e.reading = -1
	e.key = newKey()
	// Last in, first out: a new engine gives ids in ascending order.
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

// Now is the engine's clock: CLOCK_MONOTONIC in nanoseconds.
func (e *Engine) Now() int64 { return e.clock.Now() }

// Opening is the number of connections with a handshake in progress.
func (e *Engine) Opening() int { return e.opening }

// Opened is the number of open connections.
func (e *Engine) Opened() int { return e.opened }

// Reads is the number of reads that returned bytes.
func (e *Engine) Reads() int64 { return e.reads }

// Busy is the time in nanoseconds in which a spinning engine was not waiting.
// The CPU time of its thread does not show that.
func (e *Engine) Busy() int64 { return e.busy }

// Run polls until done returns true (then Run returns true) or until the stamp
// until. With a nil done it runs to that stamp.
func (e *Engine) Run(until int64, done func() bool) (bool, error) {
	for done == nil || !done() {
		if e.Now() >= until {
			return false, nil
		}
		if err := e.Poll(until); err != nil {
			return false, err
		}
	}
	return true, nil
}

// Poll waits for events until the stamp until at most, handles one batch of
// them, then deadlines and heartbeats that are due. It returns early when
// anything happened.
func (e *Engine) Poll(until int64) error {
	if e.polling {
		panic("client: Poll called from a handler")
	}
	e.polling = true
	defer func() { e.polling = false }()

	wake := min(until, e.beat.next(), e.dials.next(), e.closes.next())
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

// wait waits for events until a stamp.
func (e *Engine) wait(wake int64) (int, error) {
	if !e.cfg.Spin {
		return epollWait(e.ep, e.events, wake-e.Now())
	}
	for {
		e.asked = e.Now()
		n, err := epollWait(e.ep, e.events, 0)
		if n > 0 || err != nil || e.Now() >= wake {
			return n, err
		}
	}
}

// handle handles one event. It leaves errors and hang-ups to the read, which
// first returns the data before them: often a close frame.
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

// Close resets all connections, without callbacks, and frees the engine.
func (e *Engine) Close() error {
	e.ResetAll()
	return unix.Close(e.ep)
}
