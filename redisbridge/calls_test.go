package redisbridge

import (
	"errors"
	"fmt"
	"testing"

	"go.uber.org/zap"
)

// lonelyLink is a link that is connected to nothing, with lanes that have a message each.
func lonelyLink(lanes int) *link {
	n := &deliveries{}
	b := &Bridge{cfg: Default(), log: zap.NewNop(), journal: journal{log: zap.NewNop()}, node: 1, dir: n, loops: n, store: &store{}}
	b.presence.init(b)
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

// taken is the lanes of the calls that are made now.
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

// TestALaneThatFailsDoesNotFailTheOthers: nobody knows for which lane a call failed, and each lane makes it again alone. The one for
// which it fails then, too, stays alone, wherever it stands among those that are ready.
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
	fail(1, false) // it was made alone
	fail(2, false)
	if got := fmt.Sprint(k.taken()); got != "[[0] [1] [2]]" {
		t.Errorf("lane 1 is in the middle: the calls are %s, want [[0] [1] [2]]", got)
	}
}
