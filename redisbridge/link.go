package redisbridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dotsconnect/redisbridge/internal/resp"
)

// A link is the connection to one master. It carries the calls of all lanes on that master, many at once, and the batches that
// are published there. So batches and answers arrive in one order. Each batch and each answer shows that the connection still
// works for batches and answers. A link has one goroutine that reads and one that writes, and ends at the first error. The
// connections for slow commands end with it, because they may lead to a master that was replaced.
type link struct {
	bridge *Bridge
	addr   string
	conn   net.Conn
	in     *resp.Reader
	slow   *slow // the connections for the log and the counts of members

	lanes  atomic.Pointer[map[string]*lane] // subscribed lanes, by channel; the reader changes it
	heard  atomic.Int64                     // time of the last received data, by the awake clock
	serve  atomic.Bool                      // the link is connected
	soon   atomic.Bool                      // a beat is due because a lane was added
	calls  atomic.Int32                     // number of writes with batches that are in flight
	called atomic.Int64                     // time of the last write with batches, by the awake clock

	mu       sync.Mutex
	over     error         // why the link has ended, nil while it has not; guarded by mu
	commands []command     // commands that the writer sends next; guarded by mu
	ready    []*lane       // lanes that have a batch; guarded by mu
	waiting  []pending     // commands without an answer, in the order in which they were written; guarded by mu
	clock    clock         // clock of the server; guarded by mu
	beaten   time.Duration // time of the last beat, by the awake clock; only the watch goroutine uses it

	loaded atomic.Bool   // the server has publish.lua loaded
	apart  uint64        // a number of the node that this server does not have (beat.go); 0: none; only the reader uses it
	bell   chan struct{} // wakes the writer
	ended  chan struct{} // closed when over is set
}

// command is a command that carries no batch.
type command struct {
	bytes []byte
	pending
}

// pending is a command that was written. done is called with its answer, or with the reason why there is none, usually on the
// reader's goroutine.
type pending struct {
	done    func(v *resp.Value, err error)
	channel string        // if set, the command subscribes to this channel, and a push with its name is the answer
	ends    bool          // the last call of a write with batches: after its answer another such write may follow
	written time.Duration // time of the write, by the awake clock
}

// window is the number of writes with batches that may be in flight. While all of these are in flight, the next batches grow.
const window = 2

var (
	errSilent = errors.New("no answer in time")
	errClosed = errors.New("the bridge is closed")
	errPush   = fmt.Errorf("a malformed push: %w", resp.ErrProtocol)
	errAnswer = fmt.Errorf("an answer without a command: %w", resp.ErrProtocol)
)

func newLink(b *Bridge, addr string) *link {
	k := &link{bridge: b, addr: addr, bell: make(chan struct{}, 1), ended: make(chan struct{})}
	k.lanes.Store(&map[string]*lane{})
	return k
}

// run connects, and then serves until an error ends the link. run returns this error.
func (k *link) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { k.end(errClosed) })
	defer stop()
	if err := k.connect(ctx); err != nil {
		k.end(fmt.Errorf("cannot connect to Redis: %w", err))
	} else {
		var writer sync.WaitGroup
		writer.Go(k.write)
		k.read()
		writer.Wait()
	}
	k.bury()
	return k.over
}

// end closes the link with an error; only the first call has an effect. Any goroutine.
func (k *link) end(why error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over != nil {
		return
	}
	k.over = fmt.Errorf("%s: %w", k.addr, why)
	close(k.ended)
	if k.conn != nil {
		_ = k.conn.Close()
	}
}

// bury fails all commands that wait for an answer.
func (k *link) bury() {
	k.mu.Lock()
	waiting := k.waiting
	for _, o := range k.commands {
		waiting = append(waiting, o.pending)
	}
	k.waiting, k.commands = nil, nil
	k.mu.Unlock()
	why := errors.New(k.over.Error()) // not wrapped: the error that one command got must not look like the answer to another command
	for _, p := range waiting {
		p.done(nil, why)
	}
	for _, l := range *k.lanes.Load() {
		l.detach(k)
	}
	if k.slow != nil {
		_ = k.slow.client.Close() // an error of Close does not matter
	}
}

// send queues a command to be written, unless the link has ended. Any goroutine.
func (k *link) send(p pending, args ...string) (ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over != nil {
		return false
	}
	k.commands = append(k.commands, command{resp.AppendCommand(nil, args...), p})
	k.ring()
	return true
}

// enqueue puts a lane that has a batch to send on the list of ready lanes. Any goroutine.
func (k *link) enqueue(l *lane) {
	k.mu.Lock()
	k.ready = append(k.ready, l)
	k.mu.Unlock()
	k.ring()
}

func (k *link) ring() {
	select {
	case k.bell <- struct{}{}:
	default:
	}
}

// adopt subscribes a lane on this link, unless the link has ended. Any goroutine.
func (k *link) adopt(l *lane) (ok bool) {
	channel := k.bridge.store.names.channel(l.index)
	command := "SUBSCRIBE"
	if k.bridge.store.cluster != nil {
		command = "SSUBSCRIBE"
	}
	return k.send(pending{channel: channel, done: func(_ *resp.Value, err error) {
		if err != nil {
			k.part(l, fmt.Errorf("cannot subscribe: %w", err))
			return
		}
		k.change(func(lanes map[string]*lane) { lanes[channel] = l })
		l.attach(k)
		k.soon.Store(true)
	}}, command, channel)
}

// part removes a lane from this link, so that the lane gets another link. Only the reader's goroutine calls it.
func (k *link) part(l *lane, why error) {
	k.change(func(lanes map[string]*lane) { delete(lanes, k.bridge.store.names.channel(l.index)) })
	l.detach(k)
	k.bridge.homes.left(l, k, why)
}

func (k *link) change(f func(lanes map[string]*lane)) {
	lanes := maps.Clone(*k.lanes.Load())
	f(lanes)
	k.lanes.Store(&lanes)
}

// read is the reader's goroutine.
func (k *link) read() {
	for {
		v, err := k.in.Read()
		if err == nil {
			k.heard.Store(int64(k.bridge.awake.read()))
			if v.Kind == '>' {
				err = k.pushed(&v)
			} else {
				err = k.answered(&v)
			}
		}
		if err != nil {
			k.end(err)
			return
		}
	}
}

// idle reports whether nobody waits for data from the link: the node has no members, and has published nothing for a second.
func (k *link) idle() bool {
	return k.bridge.empty() && k.serve.Load() && k.bridge.awake.read()-time.Duration(k.called.Load()) > time.Second
}

// pushed handles a push: a published batch, or a message of the server about a subscription.
func (k *link) pushed(v *resp.Value) error {
	if len(v.List) < 3 {
		return errPush
	}
	channel := v.List[1].Text
	l := (*k.lanes.Load())[string(channel)]
	switch string(v.List[0].Text) {
	case "message", "smessage":
		if l != nil {
			l.hear(v.List[2].Text)
		}
	case "subscribe", "ssubscribe":
		k.mu.Lock()
		asked := len(k.waiting) > 0 && k.waiting[0].channel == string(channel)
		k.mu.Unlock()
		if !asked {
			return errPush
		}
		return k.answered(v)
	case "sunsubscribe": // the slot of the lane has moved to another server
		if l != nil {
			k.part(l, nil)
		}
	}
	return nil
}

// answered passes an answer to the oldest command that waits for one. An error ends the link.
func (k *link) answered(v *resp.Value) error {
	k.mu.Lock()
	if len(k.waiting) == 0 {
		k.mu.Unlock()
		return errAnswer
	}
	p := k.waiting[0]
	if k.waiting = k.waiting[1:]; len(k.waiting) == 0 {
		k.waiting = nil
	}
	k.mu.Unlock()
	if p.ends {
		k.calls.Add(-1)
		k.ring()
	}
	err := v.Err()
	p.done(v, err)
	switch resp.Word(err) {
	case "READONLY", "LOADING", "MASTERDOWN", "NOAUTH": // the server is not the master, or not yet
		return err
	}
	return nil
}

// write is the writer's goroutine.
func (k *link) write() {
	var out []byte
	for {
		select {
		case <-k.ended:
			return
		case <-k.bell:
		}
		for {
			if out = k.next(out[:0]); len(out) == 0 {
				break
			}
			if _, err := k.conn.Write(out); err != nil {
				k.end(fmt.Errorf("cannot write to Redis: %w", err))
				return
			}
			if cap(out) > 1<<20 {
				out = nil
			}
		}
	}
}

// next appends the bytes that are to be written now: the commands, and the batches of the ready lanes.
func (k *link) next(out []byte) []byte {
	k.mu.Lock()
	commands := k.commands
	k.commands = nil
	k.mu.Unlock()
	waiting := make([]pending, 0, len(commands)+1)
	for _, o := range commands {
		out = append(out, o.bytes...)
		waiting = append(waiting, o.pending)
	}
	if k.calls.Load() < window {
		out, waiting = k.batches(out, waiting)
	}
	now := k.bridge.awake.read()
	for i := range waiting {
		waiting[i].written = now
	}
	k.mu.Lock()
	k.waiting = append(k.waiting, waiting...)
	k.mu.Unlock()
	return out
}

// watch ends a link if an answer is overdue and no data has come meanwhile, and sends a beat when one is due. Only the watch
// goroutine of the bridge calls it.
func (k *link) watch(now time.Duration) {
	if !k.serve.Load() {
		return
	}
	k.mu.Lock()
	silent := len(k.waiting) > 0 && k.bridge.overdue(now-k.waiting[0].written, now-time.Duration(k.heard.Load()))
	k.mu.Unlock()
	switch {
	case silent:
		k.bridge.pace.ranOut()
		k.end(errSilent)
	case k.soon.Swap(false) || now-k.beaten >= k.bridge.cfg.Beat:
		k.beaten = now
		k.beat()
	}
}

// all returns the subscribed lanes.
func (k *link) all() []*lane { return slices.Collect(maps.Values(*k.lanes.Load())) }
