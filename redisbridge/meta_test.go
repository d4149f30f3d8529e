package redisbridge

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestMetaIsReadAsItWasWritten(t *testing.T) {
	for text, want := range map[string]meta{
		"v1 lanes=16 key=00000000000000010000000000000002":        {version: 1, lanes: 16, key: [2]uint64{1, 2}},
		"v2 lanes=4 key=00000000000000010000000000000002 at=1234": {version: 2, lanes: 4, key: [2]uint64{1, 2}, at: 1234},
	} {
		if got, err := parseMeta(text); err != nil || got != want || got.String() != text {
			t.Errorf("%s: got %+v, written as %s, and %v", text, got, got, err)
		}
	}
	for _, text := range []string{"", "hello", "v1 lanes=0 key=00000000000000010000000000000002", "v1 lanes=9999 key=00000000000000010000000000000002", "v2 lanes=4 key=00000000000000010000000000000002 at=x"} {
		if got, err := parseMeta(text); err == nil {
			t.Errorf("%q is taken for %+v", text, got)
		}
	}
}

// TestOfTwoAgreementsTheOlderHolds: meta.lua must give every node the same agreement, in whatever order the nodes call it.
func TestOfTwoAgreementsTheOlderHolds(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	first := meta{version: 1, lanes: 4, key: [2]uint64{9, 9}} // made by version 1 of the program, without a time
	older := meta{version: 2, lanes: 4, key: [2]uint64{7, 7}, at: 1000}
	younger := meta{version: 2, lanes: 4, key: [2]uint64{1, 1}, at: 2000}
	twin := meta{version: 2, lanes: 4, key: [2]uint64{0, 1}, at: 2000} // made in the same millisecond as another agreement
	raised := first
	raised.version = 2
	for _, row := range []struct{ there, ours, want any }{
		{"", older, older}, {older, older, older}, {younger, older, older}, {older, younger, older},
		{older, first, first}, {first, older, first}, {younger, twin, twin}, {twin, younger, twin},
		{first, raised, raised}, {raised, first, raised}, {"not ours", older, "not ours"},
	} {
		s.do("DEL", "dots:meta")
		if row.there != "" {
			s.do("SET", "dots:meta", fmt.Sprint(row.there))
		}
		got, err := metaScript.Run(context.Background(), s.client(), []string{"dots:meta"}, fmt.Sprint(row.ours)).Text()
		if want := fmt.Sprint(row.want); err != nil || got != want || s.do("GET", "dots:meta") != want {
			t.Errorf("there %v, ours %v: got %q and %v, Redis has %v; want %s", row.there, row.ours, got, err, s.do("GET", "dots:meta"), want)
		}
	}
}

// TestANodeAtAnEmptyRedisWaitsForTheOthers: if the node started at once, there could be two agreements, and the members of one
// room could be in two lanes.
func TestANodeAtAnEmptyRedisWaitsForTheOthers(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	a := startNode(t, testConfig(s.url()), 1)
	m := a.join("chat/x", 0)
	a.ready()
	before := s.do("GET", "dots:meta")
	s.do("FLUSHALL")
	cfg := testConfig(s.url())
	cfg.Alone = 2 * time.Second
	b := startNode(t, cfg, 1)
	if after := s.do("GET", "dots:meta"); after != before || !b.bridge.accord.meta.same(a.bridge.accord.meta) {
		t.Fatalf("the agreement was %v and is %v", before, after)
	}
	n := b.join("chat/x", 0)
	b.ready()
	n.say("from b")
	eventually(t, "it arrives", func() bool { return m.count() == 1 })
}

// TestTheYoungerAgreementGivesWay: a node that started alone, because it could not see the other nodes, learns of their older
// agreement. It must take no more messages. The messages that it has published into wrong lanes must be announced as a gap.
func TestTheYoungerAgreementGivesWay(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	missed := make(chan Gap, 1)
	cfg := testConfig(s.url())
	cfg.OnGap = func(g Gap) {
		select {
		case missed <- g:
		default:
		}
	}
	a := startNode(t, cfg, 1)
	m := a.join("chat/x", 0)
	a.ready()
	older := a.bridge.accord.meta
	young := meta{version: 2, lanes: 4, at: older.at + 1}
	for laneOf(&young, "chat/x") == laneOf(&older, "chat/x") {
		young.key[0]++
	}
	batch := appendBatch(nil, 2, ident{77, 1}, publications("chat/x", "astray"), nil)
	if _, err := a.bridge.store.publish(context.Background(), a.bridge.store.client, call{lane: laneOf(&young, "chat/x"), id: ident{77, 1}, batch: batch, left: time.Minute}); err != nil {
		t.Fatal(err)
	}
	g := <-missed
	if g.Lane != laneOf(&older, "chat/x") || fmt.Sprint(g.Rooms) != "[chat/x]" {
		t.Errorf("announced: %+v", g)
	}
	old := older
	old.at, old.key[0] = older.at-1, older.key[0]+1
	s.do("SET", "dots:meta", old.String())
	if err := <-a.bridge.Lost(); !strings.Contains(err.Error(), "older") {
		t.Errorf("got %v", err)
	}
	m.say("too late")
	eventually(t, "the sender is told", func() bool { return len(m.kicks()) == 1 })
	if err := a.bridge.Ready(); err == nil {
		t.Error("the node is ready, although no other node receives its messages")
	}
	if got := s.do("GET", "dots:meta"); got != old.String() {
		t.Errorf("Redis has %v, want the older agreement", got)
	}
}

// TestFormat2IsSpokenWhenNobodyIsLeftWhoDoesNotKnowIt: format 2 is used only after the last node that knows only format 1 has
// gone.
func TestFormat2IsSpokenWhenNobodyIsLeftWhoDoesNotKnowIt(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	s.do("SET", "dots:meta", "v1 lanes=4 key=00000000000000010000000000000002")
	s.do("SADD", "dots:nodes", "00000000000000aa")
	s.do("SET", "dots:node:00000000000000aa", "1") // as version 1 of the program does every 5 s
	cfg := testConfig(s.url())
	cfg.Upgrade = time.Second
	a, b := startNode(t, cfg, 1), startNode(t, cfg, 1)
	m := b.join("chat/x", 0)
	a.ready()
	b.ready()
	if a.bridge.format() != 1 || b.bridge.format() != 1 {
		t.Fatalf("formats %d and %d, want 1: an old node is there", a.bridge.format(), b.bridge.format())
	}
	if ttl := s.do("PTTL", "dots:node:"+a.bridge.node.String()).(int64); ttl > oldLease.Milliseconds() {
		t.Errorf("the lease lasts %d ms, and an old node would take it for a sign of life", ttl)
	}
	s.do("DEL", "dots:node:00000000000000aa")
	eventually(t, "both speak format 2", func() bool { return a.bridge.format() == 2 && b.bridge.format() == 2 })
	if got := s.do("GET", "dots:meta"); got != "v2 lanes=4 key=00000000000000010000000000000002" {
		t.Errorf("Redis has %v", got)
	}
	a.node.Publish("chat/x", 0, 0, []byte("hello"))
	eventually(t, "it arrives", func() bool { return m.count() == 1 })
}
