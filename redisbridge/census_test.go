package redisbridge

import (
	"testing"

	"dotsconnect/loop"
)

// loser notes the publications that were lost.
type loser struct {
	loops
	lost []*loop.Publication
}

func (l *loser) Lose(p *loop.Publication) { l.lost = append(l.lost, p) }

// While Redis is away under the policy local, messages are delivered to the members of this node, but not what is meant for other
// nodes. No node must announce a gap because of it.
func TestWhatIsForOtherNodesIsNotDeliveredHere(t *testing.T) {
	l := &loser{}
	b := &Bridge{core: core{loops: l}}
	message, presence := &loop.Publication{Room: "a"}, &loop.Publication{Room: "b", Kind: loop.KindPresence}
	kept := giveUpPresence(b, []*loop.Publication{presence, message})
	if len(kept) != 1 || kept[0] != message || len(l.lost) != 1 || l.lost[0] != presence {
		t.Errorf("kept %v, lost %v; want the message kept and the other one lost", kept, l.lost)
	}
	all := batch{pubs: []*loop.Publication{message, presence}}
	if rooms := all.rooms(); len(rooms) != 1 || rooms[0] != "a" {
		t.Errorf("the rooms of a gap are %q, want only that of the message", rooms)
	}
}
