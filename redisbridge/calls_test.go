package redisbridge

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/zap"

	"dotsconnect/redisbridge/internal/resp"
)

// lonelyLink makes a link without a connection. Each of its lanes has one message to send.
func lonelyLink(lanes int) *link {
	n := &deliveries{}
	b := newBridge(Default(), zap.NewNop())
	b.node, b.core, b.store = 1, core{dir: n, loops: n}, &store{names: newNames("dots", max(lanes, 1))}
	b.accord.begin(meta{version: newestFormat, lanes: lanes})
	k := newLink(b, "nowhere")
	for i := range lanes {
		l := newLane(b, i)
		l.link = k
		b.lanes = append(b.lanes, l)
		l.publish(publications("chat/x", fmt.Sprint(i))[0])
	}
	return k
}

// taken returns the lanes of each call that the link makes now.
func (k *link) taken() (calls [][]int) {
	for {
		room := k.bridge.cfg.BatchBytes
		some, _ := k.take(&room)
		if len(some) == 0 {
			return calls
		}
		var lanes []int
		for _, s := range some {
			lanes = append(lanes, s.lane.index)
		}
		calls = append(calls, lanes)
	}
}

// TestALaneThatFailsDoesNotFailTheOthers: if a call fails, the node does not know which lane was the cause, so each lane
// repeats its batch in a call of its own. A lane that fails again keeps its own calls, whatever its position among the ready
// lanes.
func TestALaneThatFailsDoesNotFailTheOthers(t *testing.T) {
	k := lonelyLink(3)
	if got := fmt.Sprint(k.taken()); got != "[[0 1 2]]" {
		t.Fatalf("the first calls are %s, want one of all lanes", got)
	}
	fail := func(lane int, alone bool) {
		l := k.bridge.lanes[lane]
		l.fail(l.out.flight, errors.New("WRONGTYPE"), 0, alone)
	}
	fail(1, true)
	fail(2, false)
	fail(0, false)
	if got := fmt.Sprint(k.taken()); got != "[[1] [2 0]]" {
		t.Errorf("lane 1 is first: the calls are %s, want [[1] [2 0]]", got)
	}
	fail(0, false)
	fail(1, false) // the failed call carried only this batch
	fail(2, false)
	if got := fmt.Sprint(k.taken()); got != "[[0] [1] [2]]" {
		t.Errorf("lane 1 is in the middle: the calls are %s, want [[0] [1] [2]]", got)
	}
}

// TestABatchWhoseTimeIsOverIsNotSent: the server would refuse every call with such a batch as late, and with it the batches of
// the other lanes in the same call.
func TestABatchWhoseTimeIsOverIsNotSent(t *testing.T) {
	k := lonelyLink(2)
	k.taken()
	b := k.bridge
	b.lanes[1].out.flight.until += time.Second
	b.awake.now.Store(int64(b.cfg.Hold + tick))
	for _, l := range b.lanes {
		l.fail(l.out.flight, errLate, 0, false)
	}
	if got := fmt.Sprint(k.taken()); got != "[[1]]" {
		t.Errorf("the calls are %s, want one of lane 1, for the hold time of lane 0 is over", got)
	}
}

// TestABatchIsGivenUpAfterTheDeadlineOfItsCalls: if calls usually take long, the hold time of a batch is longer, and it may
// become shorter while the node sends the batch. Redis could still take the last call of the batch after the shorter hold time.
// So the node must not give the batch up before the deadline of this call.
func TestABatchIsGivenUpAfterTheDeadlineOfItsCalls(t *testing.T) {
	k := lonelyLink(0)
	b := k.bridge
	b.cfg.Hold, b.cfg.Down = time.Second, Local
	b.pace.init(time.Second, 4*time.Second)
	b.pace.mean.Store(int64(time.Second))
	l := newLane(b, 0)
	l.link = k
	l.publish(publications("chat/x", "message")[0])
	_, c := l.take(k)
	b.pace.mean.Store(0)
	if l.watch(c.left); l.isDown() {
		t.Errorf("the call is good for %v, and the batch is given up by then", c.left)
	}
	if l.watch(c.left + 3*tick); !l.isDown() {
		t.Error("the batch is not given up")
	}
}

// TestACallWithoutAnAnswerIsInDoubt: an error answer to another call ended the connection. The bridge must not take this error
// for the answer to the waiting call: a Redis that was loading its data at the first call may have taken the second call.
func TestACallWithoutAnAnswerIsInDoubt(t *testing.T) {
	k := lonelyLink(1)
	l := k.bridge.lanes[0]
	k.next(nil)
	k.end(resp.Error("LOADING Redis is loading the dataset in memory"))
	k.bury()
	if f := l.out.flight; f.flying || !f.doubt {
		t.Errorf("after a call that was written and has no answer: flying %v, doubt %v", f.flying, f.doubt)
	}
}
