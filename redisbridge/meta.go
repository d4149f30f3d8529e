package redisbridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// All nodes must compute the same lane for a room. The first node makes a random key for the hash, and writes the agreement
// (the key, the number of lanes and the time) into Redis. If Redis loses the agreement, the nodes write it back: each node
// checks once a second, after it has subscribed, and when a lane got a new epoch. There can be two agreements if a node found
// an empty Redis that the other nodes could not reach. Then the older agreement holds: a node with the younger agreement takes
// no more messages and reports this through Lost.

// meta is the agreement of the nodes.
type meta struct {
	version int // the format of batches that the nodes write
	lanes   int
	key     [2]uint64 // key of the hash in LaneOf
	at      uint64    // creation time of the key by the clock of Redis, in milliseconds; 0, the earliest time, if version 1 of the program created it
}

// newestFormat is the newest format that this program can write.
const newestFormat = 2

// String returns the text that Redis has: "v2 lanes=16 key=HEX at=MILLISECONDS".
func (m meta) String() string {
	text := fmt.Sprintf("v%d lanes=%d key=%016x%016x", m.version, m.lanes, m.key[0], m.key[1])
	if m.at == 0 {
		return text
	}
	return fmt.Sprintf("%s at=%d", text, m.at)
}

func parseMeta(text string) (m meta, err error) {
	_, err = fmt.Sscanf(text, "v%d lanes=%d key=%16x%16x", &m.version, &m.lanes, &m.key[0], &m.key[1])
	if err == nil && (m.lanes < 1 || m.lanes > MaxLanes) {
		err = errReply
	}
	if _, at, ok := strings.Cut(text, " at="); ok && err == nil {
		_, err = fmt.Sscan(at, &m.at)
	}
	return m, err
}

// same reports whether nodes with these two agreements divide the rooms alike.
// keyText returns the key of the hash as Redis has it.
func (m meta) keyText() string { return fmt.Sprintf("%016x%016x", m.key[0], m.key[1]) }

func (m meta) same(o meta) bool { return m.lanes == o.lanes && m.key == o.key }

// laneOf returns the lane of a room.
func laneOf[T string | []byte](m *meta, room T) int {
	return int(sipHash(m.key[0], m.key[1], room) % uint64(m.lanes))
}

// accord is this node's copy of the agreement.
type accord struct {
	meta   meta         // immutable after Connect, except for the version, which the goroutine of presence changes
	format atomic.Int32 // the same as meta.version, for other goroutines
	broken atomic.Bool  // Redis has another agreement, so this node must exit
	lost   chan error   // gets an error when broken becomes true
	misfit atomic.Pointer[string]
}

// begin adopts an agreement.
func (a *accord) begin(m meta) {
	a.meta = m
	a.format.Store(int32(m.version))
}

// Lost returns a channel. It gets an error when other nodes divide the rooms differently and their agreement holds: this node
// must be restarted.
func (b *Bridge) Lost() <-chan error { return b.accord.lost }

func (b *Bridge) format() int { return int(b.accord.format.Load()) }

// agree finds or makes the agreement, and so determines the lanes and the key of LaneOf.
func (b *Bridge) agree(ctx context.Context) error {
	address, wanted := b.store.address, b.cfg.Lanes
	b.store.names = &names{prefix: b.cfg.Prefix, db: address.DB}
	key := b.store.names.meta()
	text, err := b.findMeta(ctx)
	if err != nil {
		return fmt.Errorf("redis at %s: %w", address, err)
	}
	m, err := parseMeta(text)
	switch {
	case err != nil:
		return fmt.Errorf("redis at %s: the key %s holds %.60q, which does not come from a node; take another prefix: %w", address, key, text, ErrDiffers)
	case m.version > newestFormat:
		return fmt.Errorf("redis at %s: the nodes under the prefix %s use format %d, but this node uses format %d; take another prefix, or the same version of the program: %w", address, b.cfg.Prefix, m.version, newestFormat, ErrDiffers)
	case wanted != 0 && wanted != m.lanes:
		return fmt.Errorf("redis at %s: the nodes under the prefix %s have %d lanes, but this node is set to %d lanes; set %d or 0 lanes, or take another prefix: %w", address, b.cfg.Prefix, m.lanes, wanted, m.lanes, ErrDiffers)
	}
	b.cfg.Lanes = m.lanes
	b.accord.begin(m)
	b.store.names = newNames(b.cfg.Prefix, m.lanes)
	b.store.names.db = address.DB
	b.store.shareLog(m.lanes)
	return nil
}

// defaultLanes is the number of lanes that the first node makes. On one Redis server, more lanes mean smaller batches, which cost
// more; on a Cluster the lanes must spread over many servers.
func defaultLanes(kind Kind) int {
	if kind == Cluster {
		return 64
	}
	return 1
}

// findMeta returns the agreement in Redis. If there is none, findMeta writes a new agreement, but only if it has seen no other
// node for Config.Alone: Redis may be empty because it was just started, while the other nodes know the old agreement.
func (b *Bridge) findMeta(ctx context.Context) (text string, err error) {
	client, key := b.store.client, b.store.names.meta()
	told := false
	for began := time.Now(); ; {
		err = persist(ctx, func() (err error) { text, err = client.Get(ctx, key).Result(); return err })
		if !isNil(err) {
			return text, atKey(err, key)
		}
		others, err := b.others(ctx)
		switch {
		case err != nil:
			return "", err
		case others != "":
			began = time.Now()
		case time.Since(began) >= b.cfg.Alone:
			return b.mintMeta(ctx)
		}
		if !told {
			told = true
			b.log.Info("redis: found no agreement of nodes, so this node looks for other nodes first", zap.Duration("for", b.cfg.Alone))
		}
		if pause(ctx, min(b.cfg.Alone/8, time.Second)); ctx.Err() != nil {
			return "", fmt.Errorf("the key %s is gone, and this node waits for the other nodes (%s) to write it again: %w", key, cmp.Or(others, "none seen yet"), ctx.Err())
		}
	}
}

// mintMeta writes a new agreement unless another node was faster, and returns the agreement that Redis has then.
func (b *Bridge) mintMeta(ctx context.Context) (text string, err error) {
	client, key := b.store.client, b.store.names.meta()
	m := meta{version: newestFormat, lanes: b.cfg.Lanes, key: [2]uint64{randomUint64(), randomUint64()}}
	if m.lanes == 0 {
		m.lanes = defaultLanes(b.store.address.Kind)
	}
	err = persist(ctx, func() error {
		now, err := client.Time(ctx).Result()
		if err == nil {
			m.at = uint64(now.UnixMilli())
			err = client.SetNX(ctx, key, m.String(), 0).Err()
		}
		return err
	})
	if err == nil {
		err = persist(ctx, func() (err error) { text, err = client.Get(ctx, key).Result(); return err })
	}
	return text, err
}

// others returns a trace of other nodes, or "" if there is none. A trace is a lease, or a subscription to a channel of any lane
// (the number of lanes is not known yet).
func (b *Bridge) others(ctx context.Context) (what string, err error) {
	s := b.store
	nodes, err := s.client.SMembers(ctx, s.names.nodes()).Result()
	if err != nil {
		return "", fmt.Errorf("cannot list the nodes: %w", err)
	}
	for _, node := range nodes {
		number, err := s.client.Get(ctx, s.names.lease(node)).Result()
		if err == nil && number != numberGone {
			return "node " + node, nil
		}
	}
	var found atomic.Pointer[string]
	look := func(channels []string) {
		for _, channel := range channels {
			if s.names.owns(channel) {
				found.Store(&channel)
			}
		}
	}
	pattern := s.names.prefix + ":{*"
	if s.cluster == nil {
		var channels []string
		channels, err = s.client.PubSubChannels(ctx, pattern).Result()
		look(channels)
	} else {
		err = s.cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
			channels, err := master.PubSubShardChannels(ctx, pattern).Result()
			look(channels)
			return err
		})
	}
	switch channel := found.Load(); {
	case channel != nil:
		return "a subscription to " + *channel, nil
	case err != nil:
		return "", fmt.Errorf("cannot list the channels: %w", err)
	}
	return "", nil
}

// tend writes the agreement back if Redis has lost it, and checks which agreement holds now. If upgrade is true, tend also
// changes the agreement to the newest format; the caller has seen no node of an older program for Config.Upgrade.
func (a *accord) tend(ctx context.Context, s *store, log *zap.Logger, upgrade bool) error {
	if a.broken.Load() {
		return nil
	}
	ours := a.meta
	if upgrade {
		ours.version = newestFormat
	}
	text, err := metaScript.Run(ctx, s.client, []string{s.names.meta()}, ours.String()).Text()
	if err != nil {
		return fmt.Errorf("cannot check the key %s: %w", s.names.meta(), atKey(err, s.names.meta()))
	}
	m, err := parseMeta(text)
	switch {
	case err != nil:
		text := fmt.Sprintf("the key %s holds %.60q, which does not come from a node: delete the key, and the nodes write it again", s.names.meta(), text)
		a.misfit.Store(&text)
		return errors.New(text)
	case !m.same(a.meta):
		a.lose(log)
		return nil
	case m.version > newestFormat:
		text := fmt.Sprintf("the other nodes now use format %d, but this node knows only format %d: install the newer version of the program", m.version, newestFormat)
		a.misfit.Store(&text)
		return nil
	case m.version > a.meta.version:
		log.Info("redis: every node can read format 2, so this node writes it from now on")
		a.meta.version = m.version
		a.format.Store(int32(m.version))
	}
	a.misfit.Store(nil)
	return nil
}

// stray announces a gap when a node has published into a room of this node through the wrong lane. The agreements of the two
// nodes differ, and one of the two nodes will notice this in a moment.
func (b *Bridge) stray(name []byte) {
	b.presence.ring()
	lane := laneOf(&b.accord.meta, name)
	if room, here := b.dir.Name(lane, name); here {
		b.gap(Gap{Lane: lane, Missed: 1, Rooms: []string{room}, Reason: "a node divides the rooms into lanes differently"})
	}
}

// lose notes that another agreement holds.
func (a *accord) lose(log *zap.Logger) {
	if a.broken.Swap(true) {
		return
	}
	err := fmt.Errorf("other nodes divide the rooms into lanes differently, and their agreement is older: restart this node: %w", ErrDiffers)
	text := err.Error()
	a.misfit.Store(&text)
	log.Error("redis: " + text)
	a.lost <- err
}
