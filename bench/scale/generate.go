package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"dotsconnect/bench/client"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/probe"
	"dotsconnect/bench/proof"
)

const generateAbout = `scale generate: open connections, keep them alive with heartbeats, and broadcast to every room.

  scale generate --url ws://127.0.0.1:8080 --conns 15000

Members of one room are spread over all connections. The messages of a room have different senders and are sent at the
same time. Each member must get all messages of its room exactly once, in the same order as the other members, and no
other messages. The broadcasts to the next room begin when few deliveries are in flight, so that a slow machine is not
overloaded. The results are JSON objects, one per line; a line "@mark NAME" asks the lab to read memory at that moment.`

type options struct {
	url, admin, marked             string
	conns, room, messages, warmup  int
	onTheWay                       int64
	beat, patience, twice, perConn time.Duration
}

func parseGenerate(args []string, stdout io.Writer) (options, error) {
	o := options{twice: 2 * time.Second, perConn: 20 * time.Millisecond}
	fs := flag.NewFlagSet("generate", flag.ContinueOnError)
	fs.StringVar(&o.url, "url", "ws://127.0.0.1:8080", "`ws://HOST:PORT[/PATH]`, {room} in PATH stands for the room")
	fs.StringVar(&o.admin, "admin", "", "`http://HOST:PORT` with /debug/pprof/: to run the server's garbage collection before memory is read")
	fs.StringVar(&o.marked, "marked", "", "after each @mark line, wait until `FILE` contains the name of this mark")
	fs.IntVar(&o.conns, "conns", 15_000, "`N` connections")
	fs.IntVar(&o.room, "room", 1000, "`N` members in a room")
	fs.IntVar(&o.messages, "messages", 4, "`N` broadcasts to each room, each from a different sender")
	fs.IntVar(&o.warmup, "warmup", 1000, "open and reset `N` connections before the first mark, to exclude one-time costs")
	fs.Int64Var(&o.onTheWay, "on-the-way", 8000, "send to the next room while fewer than `N` deliveries are in flight")
	fs.DurationVar(&o.beat, "beat", 20*time.Second, "heartbeat period")
	fs.DurationVar(&o.patience, "patience", 2*time.Minute, "longest time without any progress")
	if err := cli.Parse(fs, args, stdout, generateAbout); err != nil {
		return o, err
	}
	if o.conns < 1 || o.room < 1 || o.messages < 1 || o.beat <= 0 || o.patience <= 0 {
		return o, cli.Failf(cli.Usage, "--conns, --room, --messages, --beat and --patience must be more than 0")
	}
	return o, nil
}

// step is a line of the output: the findings of a phase.
type step struct {
	Phase       string  `json:"phase"`
	Connections int     `json:"connections"`
	Rooms       int     `json:"rooms"`
	Seconds     float64 `json:"seconds"`
	Heartbeats  int     `json:"heartbeats,omitempty"`
	// These fields are only for the phase "broadcast". Complete is the number of connections that
	// got all messages of their room. Ended says how the first connection ended.
	Complete int            `json:"complete,omitempty"`
	Took     float64        `json:"took_seconds,omitempty"`
	Ended    string         `json:"ended,omitempty"`
	Proof    *proof.Verdict `json:"proof,omitempty"`
}

// generator has the state of a run. It belongs to the goroutine that calls
// generate.
type generator struct {
	options
	target client.Target
	out    *json.Encoder
	raw    io.Writer
	run    uint32
	rooms  int
	start  time.Time

	e      *client.Engine
	ledger *proof.Ledger
	got    []uint16
	text   []byte
	last   int64 // time of the last delivery

	ends  int
	ended string // describes the end of the connection that ended first
	cut   bool   // a connection ended after it was open, so the server broke its promise
	beats int
	fresh []bool // by connection: it has sent a heartbeat in this phase
}

func generate(args []string, stdout io.Writer) error {
	o, err := parseGenerate(args, stdout)
	if err != nil {
		return err
	}
	return newGenerator(o, stdout).generate()
}

func newGenerator(o options, out io.Writer) *generator {
	return &generator{
		options: o, out: json.NewEncoder(out), raw: out, start: time.Now(),
		run: uint32(time.Now().UnixNano()>>10) ^ uint32(os.Getpid()), rooms: (o.conns + o.room - 1) / o.room,
	}
}

func (g *generator) generate() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cli.NeedDescriptors(g.conns); err != nil {
		return err
	}
	var err error
	if g.target, err = client.ParseTarget(g.url); err != nil {
		return cli.Failf(cli.Usage, "%w", err)
	}
	for _, phase := range []func() error{g.warm, g.open, g.idle, g.broadcast} {
		if err := phase(); err != nil {
			return err
		}
	}
	return nil
}

// warm opens and resets connections, so that server, kernel and generator make
// their one-time allocations before the first mark.
func (g *generator) warm() error {
	if n := min(g.warmup, g.conns); n > 0 {
		e, err := client.New(client.Config{Target: g.target, MaxConns: n, DialTimeout: g.limit(n)}, client.Handlers{})
		if err != nil {
			return err
		}
		err = e.OpenAll(n, window, func(int) string { return g.target.Room(fmt.Sprintf("warm-%08x", g.run)) }, g.limit(n))
		opened := e.Opened()
		_ = e.Close()
		if err == nil && opened < n {
			err = fmt.Errorf("only %d of %d connections were accepted", opened, n)
		}
		if err != nil {
			return cli.Failf(cli.Invalid, "warming up at %s: %w", g.url, err)
		}
	}
	if err := g.collect(); err != nil {
		return err
	}
	return g.mark("baseline")
}

// window is the number of concurrent handshakes. It is smaller than the listen
// backlog of any server.
const window = 256

func (g *generator) limit(n int) time.Duration { return g.patience + time.Duration(n)*g.perConn }

func (g *generator) open() error {
	roomOf := make([]int32, g.conns)
	for i := range roomOf {
		roomOf[i] = int32(i % g.rooms)
	}
	g.ledger, g.got, g.fresh = proof.New(roomOf, true), make([]uint16, g.conns), make([]bool, g.conns)
	var err error
	g.e, err = client.New(client.Config{
		Target: g.target, MaxConns: g.conns, BeatEvery: g.beat, DialTimeout: g.limit(g.conns),
	}, client.Handlers{
		OnOpen:    func(id int32, _ client.Open) { g.e.Beat(id, true) },
		OnMessage: g.message,
		OnClose:   g.left,
		OnBeat:    func(id int32, _, _ int64) { g.beaten(id) },
	})
	if err != nil {
		return cli.Failf(cli.Usage, "%w", err)
	}
	path := func(i int) string { return g.target.Room(fmt.Sprintf("scale-%08x-%d", g.run, i%g.rooms)) }
	err = g.e.OpenAll(g.conns, window, path, g.limit(g.conns))
	switch {
	case g.cut:
		return cli.Failf(cli.Violated, "the server closed %d connections while others were opened; the first: %s", g.ends, g.ended)
	case g.ends > 0:
		return cli.Failf(cli.Invalid, "%d of %d connections could not be opened; the first: %s", g.ends, g.conns, g.ended)
	case err != nil:
		return cli.Failf(cli.Invalid, "opening: %w", err)
	}
	if err := g.tell(step{Phase: "connected"}); err != nil {
		return err
	}
	return g.mark("connected")
}

// idle waits until each connection has sent a heartbeat. Before that it runs the server's garbage
// collection, so that the server has this time to return memory to the kernel.
func (g *generator) idle() error {
	if err := g.collect(); err != nil {
		return err
	}
	g.beats = 0
	clear(g.fresh)
	end := g.e.Now() + int64(2*g.beat+g.patience)
	all, err := g.e.Run(end, func() bool { return g.beats+g.ends >= g.conns })
	if err != nil {
		return err
	}
	if !all {
		return cli.Failf(cli.Invalid, "only %d of %d heartbeats could be sent within %v: raise --beat", g.beats, g.conns, 2*g.beat+g.patience)
	}
	if err := g.tell(step{Phase: "idle", Heartbeats: g.beats}); err != nil {
		return err
	}
	return g.mark("idle")
}

func (g *generator) broadcast() error {
	begin := time.Now()
	for r := range g.rooms {
		for j := range g.messages {
			g.send(g.sender(r, j))
		}
		if err := g.drain(g.onTheWay); err != nil {
			return err
		}
	}
	if err := g.drain(0); err != nil {
		return err
	}
	took := time.Since(begin)
	// Wait for messages that come twice: the second copy may arrive later.
	if err := g.wait(g.twice); err != nil {
		return err
	}
	if err := g.collect(); err != nil {
		return err
	}
	if err := g.mark("broadcast"); err != nil {
		return err
	}
	verdict := g.ledger.Verdict()
	complete := 0
	for _, n := range g.got {
		if int(n) == g.messages {
			complete++
		}
	}
	found := step{Phase: "broadcast", Complete: complete, Ended: g.ended, Took: took.Seconds(), Proof: &verdict}
	if err := g.tell(found); err != nil {
		return err
	}
	found.Connections = g.e.Opened()
	return judge(found, g.conns)
}

// judge returns an error if a connection was not held, or did not get every
// broadcast of its room exactly once and in order.
func judge(s step, conns int) error {
	switch {
	case s.Connections < conns:
		return cli.Failf(cli.Violated, "%d of %d connections did not stay open; the first: %s", conns-s.Connections, conns, s.Ended)
	case s.Proof.Sum() > 0:
		return cli.Failf(cli.Violated, "%d lost, %d doubled, %d reordered, %d foreign, %d damaged; the first: %s", s.Proof.Lost,
			s.Proof.Doubled, s.Proof.Reordered, s.Proof.Foreign, s.Proof.Damaged, strings.Join(s.Proof.Notes[:min(1, len(s.Proof.Notes))], ""))
	case s.Complete < conns:
		return cli.Failf(cli.Violated, "%d of %d connections did not get every broadcast of their room", conns-s.Complete, conns)
	}
	return nil
}

// sender returns the member that sends message j to a room. The senders of a
// room are far apart from each other.
func (g *generator) sender(room, j int) int32 {
	members := (g.conns - room + g.rooms - 1) / g.rooms
	return int32(room + j*max(1, members/g.messages)%members*g.rooms)
}

func (g *generator) send(id int32) {
	m := message{g.run, uint32(id), g.ledger.Next(id)}
	g.text = m.appendTo(g.text[:0])
	// After an error the connection ends, and OnClose reports that.
	if _, err := g.e.Send(id, g.text); err == nil {
		g.ledger.Sent(id)
	}
}

// drain waits until the number of missing deliveries is not above limit. It
// gives up when no delivery has arrived for the time patience, because the
// missing deliveries are then lost.
func (g *generator) drain(limit int64) error {
	g.last = max(g.last, g.e.Now())
	for g.ledger.Outstanding() > limit && g.e.Now() < g.last+int64(g.patience) {
		if err := g.e.Poll(g.last + int64(g.patience)); err != nil {
			return err
		}
	}
	return nil
}

func (g *generator) message(id int32, payload []byte, at int64) {
	g.last = at
	m, ok, scratch := parseMessage(payload, g.text)
	g.text = scratch
	switch {
	case !ok:
		g.ledger.Damaged(id, fmt.Sprintf("%.80q", payload))
	case m.run != g.run:
		g.ledger.Foreign(id, fmt.Sprintf("number %d of sender %d of run %08x", m.seq, m.sender, m.run))
	default:
		g.got[id]++
		g.ledger.Receive(id, m.sender, m.seq)
	}
}

func (g *generator) left(id int32, c client.Close) {
	g.ledger.Left(id)
	g.cut = g.cut || c.Opened
	if g.ends++; g.ends == 1 {
		g.ended = fmt.Sprintf("connection %d: %s", id, c)
	}
}

func (g *generator) beaten(id int32) {
	if !g.fresh[id] {
		g.fresh[id] = true
		g.beats++
	}
}

// collect runs the server's garbage collection. Meanwhile it serves the
// connections.
func (g *generator) collect() error {
	if g.admin == "" {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- probe.NewAdmin(g.admin).GC() }()
	for {
		select {
		case err := <-done:
			if err != nil {
				return cli.Failf(cli.Invalid, "cannot run the server's garbage collection: %w", err)
			}
			return nil
		default:
		}
		if err := g.wait(20 * time.Millisecond); err != nil {
			return err
		}
	}
}

// mark asks the lab to read the memory now, and waits until the lab has done
// so.
func (g *generator) mark(name string) error {
	debug.FreeOSMemory() // garbage of this process must not count as memory of connections
	if _, err := fmt.Fprintf(g.raw, "@mark %s\n", name); err != nil || g.marked == "" {
		return err
	}
	for until := time.Now().Add(g.patience); ; {
		if b, err := os.ReadFile(g.marked); err == nil && strings.TrimSpace(string(b)) == name {
			return nil
		}
		if time.Now().After(until) {
			return cli.Failf(cli.Invalid, "%s does not name the mark %q after %v", g.marked, name, g.patience)
		}
		if err := g.wait(200 * time.Millisecond); err != nil {
			return err
		}
	}
}

// wait serves the connections for the time d.
func (g *generator) wait(d time.Duration) error {
	if g.e == nil {
		time.Sleep(d)
		return nil
	}
	_, err := g.e.Run(g.e.Now()+int64(d), nil)
	return err
}

func (g *generator) tell(s step) error {
	s.Connections, s.Rooms = g.e.Opened(), g.rooms
	s.Seconds = time.Since(g.start).Seconds()
	return g.out.Encode(s)
}
