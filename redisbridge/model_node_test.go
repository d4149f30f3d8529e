package redisbridge

import (
	"fmt"

	"go.uber.org/zap"

	"dotsconnect/loop"
)

// modelNode is a node of the model. It records the publications that it delivers.
type modelNode struct {
	m      *model
	name   string
	lane   *lane
	since  int // len(m.truth) when the node began
	stream []string
	conn   []string // messages in flight to the node; nil if up is false, because then the node is not subscribed
	up     bool
	behind bool // a subscription was confirmed, so the log must be read

	link     *link
	flight   *flight // the last batch that was sent
	executed bool    // Redis has executed a call with flight at least once
	fate     map[string]string
	rejected int
	local    int
	lost     int
}

const gapMark = "GAP"

func (m *model) newNode(name string, id nodeID) *modelNode {
	n := &modelNode{m: m, name: name, since: len(m.truth), fate: map[string]string{}}
	cfg := Default()
	cfg.BatchMessages = 1 + m.rng.IntN(3)
	cfg.Down = []Policy{Local, Reject}[m.rng.IntN(2)]
	b := newBridge(cfg, zap.NewNop())
	b.node, b.core = id, core{dir: n, loops: n}
	b.accord.begin(meta{version: 1 + m.rng.IntN(2), lanes: 1})
	b.cfg.OnGap = func(g Gap) {
		m.log("%s: gap: %+v", n.name, g)
		n.stream = append(n.stream, gapMark)
	}
	n.lane = newLane(b, 0)
	n.link = newLink(b, "model")
	n.lane.link, n.lane.missed.running = n.link, true // running, because the model does the work of the lane's goroutine
	n.subscribe()
	err := n.lane.begin(m.execute, m.redis.read)
	if err != nil {
		panic(err)
	}
	n.since = len(m.truth)
	return n
}

func (n *modelNode) subscribe() {
	n.conn, n.up, n.behind = nil, true, true
}

// DeliverLate does the same as Deliver in the model.
func (n *modelNode) DeliverLate(lane int, pubs []*loop.Publication) { n.Deliver(lane, pubs) }

// Name finds every room.
func (n *modelNode) Name(_ int, room []byte) (string, bool) { return anybody(room) }

// Deliver, Refuse and Lose stand for the calls that a bridge makes into the core.
func (n *modelNode) Deliver(_ int, pubs []*loop.Publication) {
	for _, p := range pubs {
		v := string(p.Value)
		if p.ID.Tag == 0 {
			n.local++
			n.settle(v, "local")
			continue
		}
		n.stream = append(n.stream, v)
		if p.Origin != 0 {
			n.settle(v, "delivered")
		}
	}
}
func (n *modelNode) Refuse(p *loop.Publication) { n.rejected++; n.settle(string(p.Value), "rejected") }
func (n *modelNode) Doubt(p *loop.Publication)  { n.Refuse(p) }
func (n *modelNode) Lose(p *loop.Publication)   { n.lost++; n.settle(string(p.Value), "lost") }
func (n *modelNode) Congested() int             { return 0 }
func (n *modelNode) HoldBack(bool)              {}

func (n *modelNode) settle(value, how string) {
	if was := n.fate[value]; was != "pending" {
		panic(fmt.Sprintf("%s: %s is %s and was %q", n.name, value, how, was))
	}
	n.fate[value] = how
}
