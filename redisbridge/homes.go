package redisbridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// homes holds the links, one for each master that has a lane. When a link ends, its lanes get a link to the server that has them
// now. A lane whose slot has moved to another server also gets another link.
type homes struct {
	bridge *Bridge
	bell   chan struct{} // rings when some lane has no link

	mu       sync.Mutex
	links    map[string]*link // by address; guarded by mu
	of       map[*lane]*link  // guarded by mu
	homeless []*lane          // lanes without a link; guarded by mu
}

// restPause is the pause between two attempts to find a link, so that the node does not ask a Redis that refuses all the time.
const restPause = 50 * time.Millisecond

var errReplaced = errors.New("another server is the master now")

func newHomes(b *Bridge) *homes {
	return &homes{bridge: b, bell: make(chan struct{}, 1), links: map[string]*link{}, of: map[*lane]*link{}, homeless: append([]*lane(nil), b.lanes...)}
}

// run finds a link for each lane that has none, until ctx is done.
func (h *homes) run(ctx context.Context) {
	look := time.NewTicker(h.bridge.cfg.Beat)
	defer look.Stop()
	for {
		h.mu.Lock()
		lanes := h.homeless
		h.homeless = nil
		h.mu.Unlock()
		h.place(ctx, lanes)
		select {
		case <-ctx.Done():
			return
		case <-h.bell:
			pause(ctx, restPause)
		case <-look.C:
			h.look(ctx)
		}
	}
}

// place gives each of the lanes to the link of its server.
func (h *homes) place(ctx context.Context, lanes []*lane) {
	var addr string
	var err error
	for i, l := range lanes {
		if i == 0 || h.bridge.store.cluster != nil { // without a Cluster one server has all lanes
			addr, err = h.bridge.store.home(ctx, l.index)
		}
		if err != nil {
			h.bridge.failed(err)
			h.left(l, nil, nil)
			continue
		}
		h.mu.Lock()
		k := h.links[addr]
		if k == nil {
			k = newLink(h.bridge, addr)
			h.links[addr] = k
			h.bridge.life.wait.Go(func() { h.gone(k, k.run(ctx)) })
		}
		if h.of[l] = k; !k.adopt(l) {
			delete(h.of, l)
			h.homeless = append(h.homeless, l) // the link has ended, so gone will ring
		}
		h.mu.Unlock()
	}
}

// left puts a lane on the list of lanes that need a link, if k is still the link of the lane. Any goroutine.
func (h *homes) left(l *lane, k *link, why error) {
	h.bridge.failed(why)
	h.bridge.store.reload()
	h.mu.Lock()
	if h.of[l] == k {
		delete(h.of, l)
		h.homeless = append(h.homeless, l)
	}
	h.mu.Unlock()
	h.ring()
}

// gone puts the lanes of a link that has ended on the list of lanes that need a link.
func (h *homes) gone(k *link, why error) {
	if !errors.Is(why, errClosed) {
		h.bridge.failed(why)
		h.bridge.stats.reconnects.Add(1)
		h.bridge.store.reload()
	}
	h.mu.Lock()
	delete(h.links, k.addr)
	for l, home := range h.of {
		if home == k {
			delete(h.of, l)
			h.homeless = append(h.homeless, l)
		}
	}
	h.mu.Unlock()
	h.ring()
}

func (h *homes) ring() {
	select {
	case h.bell <- struct{}{}:
	default:
	}
}

// all returns all links.
func (h *homes) all() (links []*link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.links {
		links = append(links, k)
	}
	return links
}

// look asks the sentinels for the master. If they have replaced the master and its link has not noticed this, look ends the
// link.
func (h *homes) look(ctx context.Context) {
	if h.bridge.store.sentinels == nil {
		return
	}
	master, err := h.bridge.store.home(ctx, 0)
	if err != nil {
		h.bridge.failed(err)
		return
	}
	for _, k := range h.all() {
		if k.addr != master {
			k.end(errReplaced)
		}
	}
}

// home returns the address of the server that has a lane.
func (s *store) home(ctx context.Context, lane int) (addr string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallMax)
	defer cancel()
	switch {
	case s.cluster != nil:
		client, err := s.cluster.MasterForKey(ctx, s.names.channel(lane))
		if err != nil {
			return "", fmt.Errorf("cannot find the server of lane %d: %w", lane, err)
		}
		return client.Options().Addr, nil
	case s.sentinels != nil:
		return s.sentinels.master(ctx)
	}
	return s.address.Hosts[0], nil
}

// reload makes the client of a Cluster ask again which server has which slots.
func (s *store) reload() {
	if s.cluster != nil {
		s.cluster.ReloadState(context.Background()) // returns at once: it asks on another goroutine
	}
}
