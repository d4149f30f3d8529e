package redisbridge

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// counted waits until the node reports the given number of members of the room.
func counted(t *testing.T, n *testNode, room string, want int) {
	t.Helper()
	var got int
	var err error
	if !waitFor(15*time.Second, func() bool { got, err = n.bridge.Members(context.Background(), room); return err == nil && got == want }) {
		t.Errorf("%s has %d members and %v, want %d", room, got, err, want)
	}
}

// TestCountsComeBack: if something deletes the counts in Redis, the node writes them again.
func TestCountsComeBack(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	a, b := startNode(t, testConfig(s.url()), 1), startNode(t, testConfig(s.url()), 1)
	a.join("chat/x", 0)
	b.join("chat/x", 0)
	counted(t, a, "chat/x", 2)
	key := a.bridge.store.names.counts(a.bridge.LaneOf("chat/x"), a.bridge.node.String())
	s.do("DEL", key) // as if the hash had expired while the node was stopped
	counted(t, b, "chat/x", 2)
	s.do("DEL", key)
	for i := 0; a.bridge.LaneOf(fmt.Sprint("chat/", i)) == a.bridge.LaneOf("chat/x") || i < 20; i++ {
		a.join(fmt.Sprint("chat/", i), 0) // makes the hash again, but with other rooms
	}
	counted(t, b, "chat/x", 2)
	s.do("HSET", key, "chat/x", 7) // as if the hash had been restored from an older copy
	s.do("DEL", a.bridge.store.names.state(a.bridge.LaneOf("chat/x")))
	counted(t, b, "chat/x", 2)
	s.do("FLUSHALL")
	counted(t, b, "chat/x", 2)
}

// TestCountsOfTheOtherLanesAreWritten, even if the counts of one lane cannot be written: on a Cluster a master may be gone.
func TestCountsOfTheOtherLanesAreWritten(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	first := newNames("dots", 4)
	s.do("ACL", "SETUSER", "dots", "on", ">secret", "+@all", "&*", "~dots:meta", "~dots:node*", "~"+first.state(0), "~"+first.log(0),
		"~"+first.channel(0), "~dots:{1*", "~dots:{2*", "~dots:{3*")
	cfg := testConfig("redis://dots:secret@" + s.addr())
	a := startNode(t, cfg, 1)
	for i := range 40 {
		a.join(fmt.Sprint("chat/", i), 0)
	}
	barred := 0
	all := startNode(t, testConfig(s.url()), 1)
	for i := range 40 {
		room := fmt.Sprint("chat/", i)
		if a.bridge.LaneOf(room) == 0 {
			barred++
			continue
		}
		counted(t, all, room, 1)
		if t.Failed() {
			return
		}
	}
	if barred == 0 {
		t.Error("no room is in the lane that is barred")
	}
}

// TestACountThatCannotBeReadIsNoCount: if the hash of one node cannot be read, the bridge must not report the number of members
// as if it were complete. The error is not in the first answer of the pipeline, but in a later answer.
func TestACountThatCannotBeReadIsNoCount(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	a := startNode(t, testConfig(s.url()), 1)
	a.ready()
	names := a.bridge.store.names
	for i := range 20 { // most of these nodes have no hash
		node := fmt.Sprintf("%016x", i+1)
		s.do("SADD", names.nodes(), node)
		s.do("SET", names.lease(node), 1)
		if i == 7 {
			s.do("SET", names.counts(a.bridge.LaneOf("chat/x"), node), "no hash")
		}
	}
	eventually(t, "a node cannot be asked", func() bool {
		_, err := a.bridge.Members(context.Background(), "chat/x")
		return err != nil
	})
	s.do("DEL", names.nodes())
}
