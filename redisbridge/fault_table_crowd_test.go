package redisbridge

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// crowd is a number of real WebSocket clients. In every room each site has a listener, which only listens and must stay
// connected, and a speaker, which connects again when its connection is closed. The rooms are raw rooms, where each frame is a
// sign of life.
type crowd struct {
	t      testing.TB
	rooms  int
	every  time.Duration // the time between two messages of a speaker
	sites  []*site
	laneOf func(room string) int
	life   context.Context
	quiet  chan struct{} // closed when the speakers must stop sending
	wait   sync.WaitGroup

	mu     sync.Mutex
	all    []*client // guarded by mu
	stands []*stand  // guarded by mu
}

// stand is a speaker over several connections: when its client was closed, a new client takes its place.
type stand struct {
	site, room int
	mu         sync.Mutex
	now        *client // the present client; nil: no client could connect yet; guarded by mu
}

// client is one connection of a listener or a speaker.
type client struct {
	id, site, room int
	conn           *websocket.Conn
	joined         time.Time

	mu    sync.Mutex // guards all below
	said  []time.Time
	heard []word
	last  map[int]int // by client: the highest message number heard from it
	over  bool
	code  websocket.StatusCode
}

// The size and the pace of a crowd. They are small, because the rows of the table run side by side.
const (
	tableRooms = 6
	tableEvery = 40 * time.Millisecond
)

func tableRoom(r int) string { return fmt.Sprintf("raw/room-%d", r) }

func startCrowd(t testing.TB, rooms int, every time.Duration, sites ...*site) *crowd {
	t.Helper()
	life, cancel := context.WithCancel(context.Background())
	c := &crowd{t: t, rooms: rooms, every: every, life: life, quiet: make(chan struct{})}
	t.Cleanup(func() {
		c.hush()
		cancel()
		c.wait.Wait()
	})
	for _, s := range sites {
		c.add(s)
	}
	c.flows()
	return c
}

// add adds a site with its clients.
func (c *crowd) add(s *site) {
	c.t.Helper()
	s.index = len(c.sites)
	c.sites = append(c.sites, s)
	if c.laneOf == nil {
		c.laneOf = s.laneOf()
	}
	for r := range c.rooms {
		eventually(c.t, "a listener comes in", func() bool { return c.connect(s, r) != nil })
	}
	for r := range c.rooms {
		k := &stand{site: s.index, room: r}
		c.mu.Lock()
		c.stands = append(c.stands, k)
		c.mu.Unlock()
		c.wait.Go(func() { c.speak(s, k) })
	}
}

// connect makes a client, or returns nil if the node does not accept it now.
func (c *crowd) connect(s *site, room int) *client {
	ctx, cancel := context.WithTimeout(c.life, 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+s.addr+"/ws/"+tableRoom(room)+"/", nil) // the body of the answer is empty
	if err != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &client{id: len(c.all) + 1, site: s.index, room: room, conn: conn, joined: time.Now(), last: map[int]int{}}
	c.all = append(c.all, m)
	c.wait.Go(func() { m.listen(c.life) })
	return m
}

func (m *client) listen(life context.Context) {
	defer func() { _ = m.conn.CloseNow() }()
	for {
		_, text, err := m.conn.Read(life)
		m.mu.Lock()
		if err != nil {
			m.over, m.code = life.Err() == nil, websocket.CloseStatus(err)
			m.mu.Unlock()
			return
		}
		if w, ok := parseWord(string(text)); ok {
			m.heard = append(m.heard, w)
			m.last[w.client] = max(m.last[w.client], w.n)
		}
		m.mu.Unlock()
	}
}

// say sends the client's next message, and reports whether the connection took it.
func (m *client) say(life context.Context) bool {
	m.mu.Lock()
	w := word{m.id, len(m.said) + 1}
	m.said = append(m.said, time.Now())
	over := m.over
	m.mu.Unlock()
	return !over && m.conn.Write(life, websocket.MessageText, []byte(w.String())) == nil
}

func (m *client) gone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.over
}

func (k *stand) client() *client {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

// speak is the goroutine of a speaker.
func (c *crowd) speak(s *site, k *stand) {
	ticker := time.NewTicker(c.every)
	defer ticker.Stop()
	for tick := 0; ; tick++ {
		select {
		case <-c.quiet:
			return
		case <-ticker.C:
		}
		m := k.client()
		if m == nil || m.gone() {
			if tick%5 != 0 { // tries again only in every fifth tick; a real client would wait longer
				continue
			}
			if m = c.connect(s, k.room); m == nil {
				continue
			}
			k.mu.Lock()
			k.now = m
			k.mu.Unlock()
		}
		m.say(c.life)
	}
}

// hush makes the speakers stop sending.
func (c *crowd) hush() {
	if !c.hushed() {
		close(c.quiet)
	}
}

func (c *crowd) hushed() bool {
	select {
	case <-c.quiet:
		return true
	default:
		return false
	}
}

// staying returns the clients of a room that are connected now.
func (c *crowd) staying(room int) (some []*client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.all {
		if m.room == room && !m.gone() {
			some = append(some, m)
		}
	}
	return some
}

// flows waits until every connected member of every room has received new messages from a speaker of each site that has one.
func (c *crowd) flows() {
	c.t.Helper()
	c.mu.Lock()
	stands := append([]*stand(nil), c.stands...)
	c.mu.Unlock()
	marks := map[*stand]word{}
	eventually(c.t, "messages flow between all sites", func() bool {
		flow := true
		for _, k := range stands {
			m := k.client()
			switch {
			case m == nil || m.gone():
				flow = flow && !c.sites[k.site].alive()
			case marks[k].client != m.id:
				m.mu.Lock()
				marks[k] = word{m.id, len(m.said) + 3}
				m.mu.Unlock()
				flow = false
			default:
				flow = flow && c.heard(k.room, marks[k])
			}
		}
		return flow
	})
}

// heard reports whether every connected member of the room has received the message, or a later one of the same client.
func (c *crowd) heard(room int, w word) bool {
	for _, m := range c.staying(room) {
		m.mu.Lock()
		has := m.last[w.client] >= w.n
		m.mu.Unlock()
		if !has {
			return false
		}
	}
	return true
}

// finish stops the speakers, waits until everything has arrived, and judges. Every connected speaker sends one more message,
// and repeats this until all clients have received one of these messages. By then every earlier message in the order has come,
// or will never come.
func (c *crowd) finish() (v tally) {
	c.t.Helper()
	c.hush()
	c.mu.Lock()
	stands := append([]*stand(nil), c.stands...)
	c.mu.Unlock()
	var last time.Time
	marks := map[*client]word{}
	eventually(c.t, "the last message of every speaker arrives", func() bool {
		again := time.Since(last) > time.Second
		if again {
			last = time.Now()
		}
		done := true
		for _, k := range stands {
			m := k.client()
			if m == nil || m.gone() {
				continue
			}
			if marks[m].n == 0 {
				m.mu.Lock()
				marks[m] = word{m.id, len(m.said) + 1}
				m.mu.Unlock()
			}
			if c.heard(k.room, marks[m]) {
				continue
			}
			done = false
			if again {
				m.say(c.life)
			}
		}
		return done
	})
	waitFor(5*time.Second, func() bool { v = c.judge(); return v.silent+v.reordered == 0 }) // gaps may be announced a moment later
	for _, s := range c.sites {
		for _, text := range s.givenBack() {
			if w, ok := parseWord(text); ok && !waitFor(20*time.Second, func() bool { return c.toldOff(w.client) }) {
				c.t.Errorf("%v was given back, and its sender was not told with %d", w, refusedCode)
			}
		}
	}
	return v
}

// toldOff reports whether the connection of a client has ended: closed with 4104, or in another way.
func (c *crowd) toldOff(id int) bool {
	c.mu.Lock()
	m := c.all[id-1]
	c.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.over
}

func (c *crowd) judge() tally {
	e := evidence{laneOf: c.laneOf}
	for _, s := range c.sites {
		e.gaps = append(e.gaps, s.told())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.all {
		m.mu.Lock()
		e.clients = append(e.clients, spoken{m.id, m.site, m.room, m.joined, m.said, m.heard, m.over, m.code})
		m.mu.Unlock()
	}
	return e.judge()
}
