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

// A link is the connection to one master. The calls of all lanes that live there go over it, many at once, and what is published
// in them comes back over it: so what is heard stands in one order with the answers, and a server that sends one sends the other.
// It has a goroutine that reads and one that writes, and ends with the first thing that is wrong with it. The connections for what
// may take long end with it: they may be connections to a master that was replaced.
type link struct {
	bridge *Bridge
	addr   string
	conn   net.Conn
	in     *resp.Reader
	slow   *slow // for the log, and the counts of members

	lanes  atomic.Pointer[map[string]*lane] // that are subscribed, by channel; the reader changes it
	heard  atomic.Int64                     // when something came last, by the awake clock
	serve  atomic.Bool                      // it is connected
	soon   atomic.Bool                      // a beat is due: a lane has come
	calls  atomic.Int32                     // with batches, on their way
	called atomic.Int64                     // when the last of them was made, by the awake clock

	mu       sync.Mutex
	over     error         // why it has ended, nil while it has not; guarded by mu
	commands []command     // to be written next; guarded by mu
	ready    []*lane       // that have a batch; guarded by mu
	waiting  []pending     // for an answer, in the order of what was written; guarded by mu
	clock    clock         // of the server; guarded by mu
	beaten   time.Duration // when the last beat was, by the awake clock; the watch's

	loaded atomic.Bool   // the server knows the script
	apart  uint64        // a number of the node that another connection wrote, and that was not there; 0: none; the reader's
	bell   chan struct{} // for the writer
	ended  chan struct{} // closed when over is set
}

// command is one that carries no batch.
type command struct {
	bytes []byte
	pending
}

// pending is a command that was written. done gets its answer, or why there is none, mostly on the reader's goroutine.
type pending struct {
	done    func(v *resp.Value, err error)
	channel string        // a subscription is answered by a push with this channel
	ends    bool          // with its answer one more call with batches may be on its way
	written time.Duration // by the awake clock
}

// window is how many calls with batches are on their way at once. While they are, batches grow.
const window = 2

var (
	errSilent = errors.New("no answer in time")
	errClosed = errors.New("the bridge is closed")
	errPush   = fmt.Errorf("a push that does not have its form: %w", resp.ErrProtocol)
	errAnswer = fmt.Errorf("an answer to nothing: %w", resp.ErrProtocol)
)

func newLink(b *Bridge, addr string) *link {
	k := &link{bridge: b, addr: addr, bell: make(chan struct{}, 1), ended: make(chan struct{})}
	k.lanes.Store(&map[string]*lane{})
	return k
}

// run connects, and serves until something is wrong, which it returns.
func (k *link) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { k.end(errClosed) })
	defer stop()
	if err := k.connect(ctx); err != nil {
		k.end(fmt.Errorf("connect: %w", err))
	} else {
		var writer sync.WaitGroup
		writer.Go(k.write)
		k.read()
		writer.Wait()
	}
	k.bury()
	return k.over
}

// end closes the link for a reason; the first one counts. Any goroutine.
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

// bury tells everybody who waits for an answer that there is none.
func (k *link) bury() {
	k.mu.Lock()
	waiting := k.waiting
	for _, o := range k.commands {
		waiting = append(waiting, o.pending)
	}
	k.waiting, k.commands = nil, nil
	k.mu.Unlock()
	why := errors.New(k.over.Error()) // not wrapped: where it was an answer, that was one to another command
	for _, p := range waiting {
		p.done(nil, why)
	}
	for _, l := range *k.lanes.Load() {
		l.detach(k)
	}
	if k.slow != nil {
		_ = k.slow.client.Close() // nothing is lost with it
	}
}

// send has a command written, unless the link has ended. Any goroutine.
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

// enqueue notes that a lane has a batch to be sent. Any goroutine.
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

// adopt has a lane live here, from its subscription on; not if the link has ended. Any goroutine.
func (k *link) adopt(l *lane) (ok bool) {
	channel := k.bridge.store.names.channel(l.index)
	command := "SUBSCRIBE"
	if k.bridge.store.cluster != nil {
		command = "SSUBSCRIBE"
	}
	return k.send(pending{channel: channel, done: func(_ *resp.Value, err error) {
		if err != nil {
			k.part(l, fmt.Errorf("subscribe: %w", err))
			return
		}
		k.change(func(lanes map[string]*lane) { lanes[channel] = l })
		l.attach(k)
		k.soon.Store(true)
	}}, command, channel)
}

// part lets a lane go, and has another home found for it. The reader's goroutine.
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

// idle reports that nobody waits for what comes over the link: the node has no members, and has published nothing for a second.
func (k *link) idle() bool {
	return k.bridge.empty() && k.serve.Load() && k.bridge.awake.read()-time.Duration(k.called.Load()) > time.Second
}

// pushed takes what was published, or what the server says about a subscription.
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
	case "sunsubscribe": // its slot has moved away
		if l != nil {
			k.part(l, nil)
		}
	}
	return nil
}

// answered gives an answer to the command that it is for. An error ends the link.
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
	case "READONLY", "LOADING", "MASTERDOWN", "NOAUTH": // it is not, or not yet, the server that we want
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
				k.end(fmt.Errorf("write: %w", err))
				return
			}
			if cap(out) > 1<<20 {
				out = nil
			}
		}
	}
}

// next appends what is to be written now: the commands, and what the lanes have that are ready.
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

// watch ends a link on which an answer is overdue and nothing was heard since, and sends a beat when it is time. The watch's
// goroutine.
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

// all is the lanes that are subscribed.
func (k *link) all() []*lane { return slices.Collect(maps.Values(*k.lanes.Load())) }
