package redisbridge

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"dotsconnect/loop"
)

// TestALoopYieldsToASenderThatWasIdle: a loop must not yield for every publication, because that would only cost time.
func TestALoopYieldsToASenderThatWasIdle(t *testing.T) {
	m := newModel(1, newSimRedis(), nil)
	l := m.nodes[0].lane
	say := func() (yields bool) {
		l.publish(&loop.Publication{Room: "chat/x", Value: []byte("x")})
		yields = l.bridge.woke.Load()
		l.bridge.Yield()
		return yields
	}
	if !say() {
		t.Error("a sender was idle, and the loop does not yield to it")
	}
	if say() {
		t.Error("the sender has something to do already, and the loop yields")
	}
	settle := func(f *flight, c call) {
		answer, err := m.execute(c)
		if err != nil {
			t.Fatal(err)
		}
		l.settle(f, answer)
	}
	l.bridge.cfg.BatchMessages = 10
	f, c := l.take(m.nodes[0].link)
	if say() {
		t.Error("a call is in flight, and the loop yields")
	}
	settle(f, c)
	settle(l.take(m.nodes[0].link))
	if !say() {
		t.Error("the sender is idle again, and the loop does not yield to it")
	}
}

// TestAMessageWaitsForTheHoldTimeAndNotForCalls: with many lanes the time limit of calls soon reaches its maximum, because it
// doubles with each call of any lane that times out. A message must not have to wait for this maximum.
func TestAMessageWaitsForTheHoldTimeAndNotForCalls(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	cfg := testConfig(s.url())
	cfg.Lanes, cfg.Down, cfg.Hold, cfg.CallMax = 16, Local, 500*time.Millisecond, 20*time.Second
	a := startNode(t, cfg, 1)
	var members []*member
	for r := range 64 { // enough rooms for every lane
		members = append(members, a.join(roomName(r), 0))
	}
	a.ready()
	s.signal(syscall.SIGSTOP)
	defer s.signal(syscall.SIGCONT)
	began := time.Now()
	for i, m := range members {
		m.say(fmt.Sprint(i))
		time.Sleep(10 * time.Millisecond) // later messages find that earlier calls have timed out
	}
	for _, m := range members {
		if !waitFor(cfg.CallMax/2-time.Since(began), func() bool { return m.count() == 1 }) {
			t.Fatalf("a message waits for more than %v, and the hold time is %v", time.Since(began), cfg.Hold)
		}
	}
	t.Logf("64 messages within %v arrived within %v", 640*time.Millisecond, time.Since(began))
}

// deliveries replaces the loops and members, and notes the publications that are delivered.
type deliveries struct {
	*modelNode
	got []string
}

func (o *deliveries) Deliver(_ int, pubs []*loop.Publication) {
	for _, p := range pubs {
		o.got = append(o.got, string(p.Value))
	}
}

func (o *deliveries) DeliverLate(lane int, pubs []*loop.Publication) { o.Deliver(lane, pubs) }

// TestWhatRedisTookAndDidNotSendBackStaysInOrder: Redis answers the call with the first message, and stops before it sends the
// message back. The second message waits for the hold time and is delivered without Redis. When Redis goes on, the first message
// is in the log.
func TestWhatRedisTookAndDidNotSendBackStaysInOrder(t *testing.T) {
	for _, down := range []Policy{Local, Reject} {
		m := newModel(1, newSimRedis(), nil)
		o := &deliveries{modelNode: m.nodes[0]}
		l := o.lane
		l.bridge.dir, l.bridge.cfg.Down, l.bridge.cfg.BatchMessages = o, down, 10
		say := func(value string) (*flight, call) {
			o.fate[value] = "pending"
			l.publish(&loop.Publication{Room: "chat/x", Value: []byte(value), Origin: 1})
			return l.take(o.link)
		}
		f, c := say("first")
		answer, err := m.execute(c)
		if err != nil {
			t.Fatal(err)
		}
		l.settle(f, answer)
		say("second")
		l.giveUp(nil)
		page, err := m.read(l, 10)
		if err != nil {
			t.Fatal(err)
		}
		l.refill(page)
		want := "[first second]"
		if down == Reject {
			want = "[first]"
		}
		if got := fmt.Sprint(o.got); got != want || l.bridge.held.bytes.Load() != 0 || len(l.out.sent) > 0 {
			t.Errorf("%s: got %v, want %v; %d bytes held, %d batches are waited for", down, got, want, l.bridge.held.bytes.Load(), len(l.out.sent))
		}
	}
}

// TestANoticeThatComesAfterTheNextOutageIsHeardAtHome: Redis took the batch with a notice, and went away again before it sent the
// batch back. The other nodes find the batch in the log and tell their members; the node that sent the notice must tell its
// members, too.
func TestANoticeThatComesAfterTheNextOutageIsHeardAtHome(t *testing.T) {
	m := newModel(1, newSimRedis(), nil)
	o := &deliveries{modelNode: m.nodes[0]}
	l := o.lane
	var gaps []Gap
	l.bridge.dir, l.bridge.cfg.Down, l.bridge.cfg.OnGap = o, Local, func(g Gap) { gaps = append(gaps, g) }
	l.bridge.accord.begin(meta{version: 2, lanes: 1})
	send := func() {
		f, c := l.take(o.link)
		answer, err := m.execute(c)
		if err != nil {
			t.Fatal(err)
		}
		l.settle(f, answer)
	}
	l.giveUp(nil)
	l.publish(publications("chat/x", "alone")[0])
	send() // the first batch is empty and shows that Redis is back
	send() // the second batch has the notice
	l.giveUp(nil)
	page, err := m.read(l, 10)
	if err != nil {
		t.Fatal(err)
	}
	l.refill(page)
	if len(gaps) != 1 || gaps[0].Missed != 1 || fmt.Sprint(gaps[0].Rooms) != "[chat/x]" {
		t.Errorf("got the gaps %+v, want one of 1 message in chat/x", gaps)
	}
}
