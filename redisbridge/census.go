package redisbridge

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"dotsconnect/loop"
)

// A node whose members watch a room must know how many members the room has on the other nodes. Nodes that watch the room tell each
// other through its lane, with the names of their users (loop/presencefar.go). The members of the other nodes are in the counts
// that each node writes (counts.go), so a node reads these counts once a second for the rooms that are watched on it. This costs
// the other nodes nothing, and works with nodes of older programs.

// census is the goroutine that reads the counts of watched rooms.
type census struct{ *Bridge }

func (b census) run(ctx context.Context) {
	ticker := time.NewTicker(b.cfg.Look)
	defer ticker.Stop()
	var rooms []string
	for {
		for lane := range b.lanes {
			if rooms = b.rooms.Presences().PresenceRooms(lane, rooms[:0]); len(rooms) > 0 {
				b.failed(b.countElsewhere(ctx, lane, rooms))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// countElsewhere reads how many members rooms of a lane have on each of the other nodes. If Redis does not answer, the last numbers
// stay.
func (b census) countElsewhere(ctx context.Context, lane int, rooms []string) error {
	server, others := b.lanes[lane].server(), b.presence.others()
	if server == nil {
		return nil // the error that ended its link was reported
	}
	for some := range slices.Chunk(rooms, countsPerCommand) {
		counts := make([]*redis.SliceCmd, len(others))
		err := server.pipeline(ctx, b.cfg.CallMax, func(ctx context.Context, p redis.Pipeliner) func() {
			for i, node := range others {
				counts[i] = p.HMGet(ctx, b.store.names.counts(lane, node.String()), some...)
			}
			return func() {}
		})
		if err != nil {
			return fmt.Errorf("cannot read the counts of watched rooms: %w", err)
		}
		for i, room := range some {
			elsewhere := map[uint64]int{}
			for j, node := range others {
				if values := counts[j].Val(); i < len(values) {
					text, _ := values[i].(string)
					if n, err := strconv.Atoi(text); err == nil && n > 0 {
						elsewhere[uint64(node)] = n
					}
				}
			}
			b.rooms.Presences().PresenceElsewhere(room, elsewhere)
		}
	}
	return nil
}

// others returns the other nodes that are present.
func (p *presence) others() (nodes []nodeID) {
	for _, name := range p.all() {
		if id, err := strconv.ParseUint(name, 16, 64); err == nil && nodeID(id) != p.bridge.node {
			nodes = append(nodes, nodeID(id))
		}
	}
	return nodes
}

// noteGone tells the rooms which nodes are gone, and whether one of those has come back. Only the goroutine of presence calls it.
func (p *presence) noteGone(names []any) {
	if p.bridge.rooms == nil {
		return
	}
	var gone []uint64
	for _, name := range names {
		if id, err := strconv.ParseUint(name.(string), 16, 64); err == nil {
			gone = append(gone, id)
			p.gone[name.(string)] = true
		}
	}
	if len(gone) > 0 {
		p.bridge.rooms.Presences().PresenceGone(gone)
	}
	back := false
	for _, name := range p.all() {
		back = back || p.gone[name]
		delete(p.gone, name)
	}
	if back {
		p.bridge.rooms.Presences().PresenceBack()
	}
}

// giveUpPresence takes the publications of presence out of those that are delivered to the members of this node alone. They are for
// other nodes, which learn everything again once Redis is back.
func giveUpPresence(b *Bridge, pubs []*loop.Publication) []*loop.Publication {
	if !slices.ContainsFunc(pubs, ofPresence) {
		return pubs
	}
	kept := make([]*loop.Publication, 0, len(pubs))
	for _, p := range pubs {
		if ofPresence(p) {
			b.loops.Lose(p)
		} else {
			kept = append(kept, p)
		}
	}
	return kept
}

func ofPresence(p *loop.Publication) bool { return p.Kind == loop.KindPresence }
