package loop_test

import (
	"encoding/binary"
	"fmt"
	"time"

	"dotsconnect/loop"
)

// guest is a connection without a socket: it prints the frames that it gets. A server has one object like this for each
// connection.
type guest struct {
	loop.Conn
	name   string
	unread [][]byte // arrived and not read yet
}

func (g *guest) Open() error                  { return nil }
func (g *guest) AwaitRoom()                   {}
func (g *guest) Finished() bool               { return false }
func (g *guest) CloseWrite()                  { fmt.Printf("%s: FIN\n", g.name) }
func (g *guest) Shutdown()                    {}
func (g *guest) Joined(string)                { g.Upgraded(g.Loop().Now()) }
func (g *guest) Kick(reason loop.CloseReason) { g.Finish([]byte(reason.String()), reason) }
func (g *guest) Ping()                        {}
func (g *guest) Read(p []byte) (int, error) {
	if len(g.unread) == 0 {
		return 0, loop.ErrAgain
	}
	n := copy(p, g.unread[0])
	g.unread = g.unread[1:]
	return n, nil
}

func (g *guest) Send(p []byte) (int, error) {
	fmt.Printf("%s gets %q\n", g.name, p)
	return len(p), nil
}

// Input takes all the bytes that were read as one message. A session that parses frames asks MayParse before each of them.
func (g *guest) Input(p []byte) int {
	if !g.MayParse() {
		return 0
	}
	g.Touch(g.Loop().Now())
	g.Publish(loop.KindText, p)
	g.Took()
	return len(p)
}

// The example has one loop, with the bus of a single node. The caller of a loop owns the clock, the goroutine and the sockets:
// here these are a variable, the goroutine of this function, and the guests.
func Example() {
	now := time.Second
	awake := false
	cfg := loop.DefaultConfig()
	cfg.Ring = func(int) { awake = true } // a server wakes the goroutine of the loop
	cfg.Encodings[0] = loop.Encoding{
		Append: func(dst []byte, p *loop.Publication) (frame []byte, valueAt int) {
			dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.Value)))
			return append(dst, p.Value...), len(dst)
		},
		Size: func(p *loop.Publication) int { return 2 + len(p.Value) },
	}
	node := loop.New(cfg)
	node.Use(loop.NewEmbedded(node.Directory(), 1))
	core := node.Loops()[0]
	turns := func() {
		for awake = true; awake; {
			awake = false
			core.Turn(now)
		}
	}

	ann, bob := &guest{name: "ann"}, &guest{name: "bob"}
	for _, g := range []*guest{ann, bob} {
		g.Init(g)
		core.Adopt(&g.Conn)
		turns()
		g.Join("lobby", 0)
		turns()
	}
	ann.unread = append(ann.unread, []byte("hi"))
	core.Readable(&ann.Conn, now) // the poller reports that ann's socket has bytes
	turns()

	now += cfg.MaxAge / 2
	bob.unread = append(bob.unread, []byte("hello ann"))
	core.Readable(&bob.Conn, now)
	turns()
	now += cfg.MaxAge/2 + loop.Tick // ann has been silent for too long
	turns()

	ledger, err := core.CheckLedger()
	fmt.Println("delivered:", ledger.Delivered, "error:", err)
	// Output:
	// ann gets "\x00\x02hi"
	// bob gets "\x00\x02hi"
	// ann gets "\x00\thello ann"
	// bob gets "\x00\thello ann"
	// ann gets "heartbeat_missed"
	// ann: FIN
	// delivered: 4 error: <nil>
}
