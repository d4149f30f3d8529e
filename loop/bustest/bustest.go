// Package bustest tests the contract of loop.Bus: a bus that passes these tests fulfils the contract.
//
//	bustest.Run(t, 2, func(t testing.TB, configs []loop.Config, serve func(i int, node *loop.Node)) (nodes []*loop.Node) {
//		for i, cfg := range configs {
//			node := loop.New(cfg)
//			node.Use(…)
//			serve(i, node)
//			nodes = append(nodes, node)
//		}
//		return nodes
//	})
//
// The rules are in the comment of loop.Bus, each with the name of its test here.
package bustest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dotsconnect/loop"
)

// Connect makes one node for each configuration and connects all of them by the bus under test. It may change Lanes and LaneOf in
// the configurations. It calls serve once for each node as soon as the node uses its bus: from then on the node's loops run.
// Everything that Connect starts must end with t.
type Connect func(t testing.TB, configs []loop.Config, serve func(i int, node *loop.Node)) []*loop.Node

type rule struct {
	name  string
	check func(*system)
}

// rules are the rules of the contract, each with its test.
var rules = []rule{
	{"OneOrder", oneOrder},
	{"EverythingFromJoinedToLeave", everythingFromJoinedToLeave},
	{"RoomsApart", roomsApart},
	{"NothingOfBefore", nothingOfBefore},
	{"OwnMessagesBeforeTheEnd", ownMessagesBeforeTheEnd},
	{"LargeValues", largeValues},
	{"CreditComesBack", creditComesBack},
	{"OutcomesAreTold", outcomesAreTold},
}

// Run tests a bus that connects the given number of nodes, 1 or more.
func Run(t *testing.T, nodes int, connect Connect) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) { r.check(newSystem(t, nodes, connect)) })
	}
}

// meeting lets all members publish at the same time, and then lets each member publish a last message. It returns when every
// member has got all last messages. By then every extra or wrong publication has come too, because the room has one order.
func meeting(s *system, members []*member, each int) {
	for i := range each {
		for k, m := range members {
			m.say(fmt.Sprintf("%d.%d", k, i))
		}
	}
	for k, m := range members {
		m.say(fmt.Sprintf("%d.last", k))
	}
	for k := range members {
		for _, m := range members {
			s.until(fmt.Sprintf("the last message of member %d reaches all", k), func() bool { return m.hears(fmt.Sprintf("%d.last", k)) })
		}
	}
	for k, m := range members {
		if kicks := m.kicked(); len(kicks) > 0 {
			s.Errorf("member %d was kicked for %v", k, kicks)
		}
	}
}

// oneOrder: all loops of all nodes get the publications of a room in the same order with the same ids, each exactly once; ids
// grow; the publications of one connection keep their order.
func oneOrder(s *system) {
	members := s.everywhere("room")
	const each = 100
	meeting(s, members, each)
	want := members[0].has()
	for k, m := range members[1:] {
		if has := m.has(); !slices.Equal(has, want) {
			at := 0
			for at < min(len(has), len(want)) && has[at] == want[at] {
				at++
			}
			s.Errorf("member %d got %d publications and member 0 %d, and they differ from %d on", k+1, len(has), len(want), at)
			return
		}
	}
	checkOrder(s, want, len(members), each)
}

// checkOrder checks the publications that one member got, which are the same for all.
func checkOrder(s *system, order []got, senders, each int) {
	next := make([]int, senders)
	for i, g := range order {
		if i > 0 && g.id <= order[i-1].id {
			s.Errorf("id %s of %q comes after %s", g.id, g.value, order[i-1].id)
			return
		}
		var sender, n int
		if strings.HasSuffix(g.value, ".last") {
			_, _ = fmt.Sscanf(g.value, "%d.last", &sender)
			n = each
		} else if _, err := fmt.Sscanf(g.value, "%d.%d", &sender, &n); err != nil {
			s.Errorf("no member sent %q", g.value)
			return
		}
		if n != next[sender] {
			s.Errorf("got message %[2]d of member %[1]d, want %[3]d", sender, n, next[sender])
			return
		}
		next[sender]++
	}
	for sender, n := range next {
		if n != each+1 {
			s.Errorf("%d messages of member %d came, want %d", n, sender, each+1)
		}
	}
}

// everythingFromJoinedToLeave: a loop gets every publication that gets its number between Joined and Leave. A member that joins
// while others publish gets a piece of the order without a hole. The piece ends at the end of the order, or where the member
// left.
func everythingFromJoinedToLeave(s *system) {
	speaker, witness := s.join("room", 0, 0), s.join("room", len(s.nodes)-1, 1)
	var guests []*member
	const rounds, each = 20, 10
	for i := range rounds {
		for k := range each {
			speaker.say(fmt.Sprintf("0.%d", i*each+k))
		}
		guests = append(guests, s.join("room", i%len(s.nodes), i/2%2))
		if i%3 == 2 {
			guests[i-1].leave()
		}
	}
	speaker.say("0.last")
	for i, g := range guests {
		s.until("the guests have got the last message, or have gone", func() bool { return g.hears("0.last") || i%3 == 1 && i < rounds-1 && g.hasGone() })
	}
	s.until("so has the witness", func() bool { return witness.hears("0.last") })
	order := witness.has()
	checkOrder(s, order, 1, rounds*each)
	for i, g := range guests {
		has := g.has()
		if len(has) == 0 {
			if !g.hasGone() {
				s.Errorf("guest %d is there and got nothing", i)
			}
			continue
		}
		from := slices.Index(order, has[0])
		if from < 0 || from+len(has) > len(order) || !slices.Equal(has, order[from:from+len(has)]) {
			s.Errorf("guest %d did not get a gapless piece of the order", i)
		}
	}
}

// roomsApart: a publication reaches its room and no other room, even if many rooms share a lane. When its last member has left,
// a room starts from the beginning: a new member gets no earlier publications.
func roomsApart(s *system) {
	const rooms = 100
	for round := range 2 {
		var members []*member
		for i := range rooms {
			members = append(members, s.join(fmt.Sprint("room", i), i%len(s.nodes), 0), s.join(fmt.Sprint("room", i), (i+1)%len(s.nodes), 1))
		}
		for i, m := range members {
			m.say(fmt.Sprintf("%d of %d", i, round))
		}
		for i, m := range members {
			a, b := fmt.Sprintf("%d of %d", i&^1, round), fmt.Sprintf("%d of %d", i|1, round)
			s.until("both members of a room get both messages", func() bool { return m.hears(a) && m.hears(b) })
			if has := m.has(); len(has) != 2 {
				s.Errorf("a member got %d publications, want the 2 of its room: %v", len(has), has)
			}
			m.leave()
		}
		for _, m := range members {
			s.until("the members have gone", m.hasGone)
		}
		for _, n := range s.nodes {
			s.until("the rooms vanish", func() bool { return n.Directory().Rooms() == 0 })
		}
	}
}

// nothingOfBefore: publications into rooms without members reach nobody, and they cause no loss or duplicate among later
// publications. (Publications still in flight when a member joins come after its Joined, so the member gets them.)
func nothingOfBefore(s *system) {
	for i := range 50 {
		for _, n := range s.nodes {
			n.Publish("room", 0, loop.KindText, fmt.Append(nil, "to nobody ", i))
		}
	}
	members := s.everywhere("room")
	meeting(s, members, 10)
	for k, m := range members {
		has := slices.DeleteFunc(m.has(), func(g got) bool { return strings.HasPrefix(g.value, "to nobody") })
		if k == 0 {
			checkOrder(s, has, len(members), 10)
		}
		if want := 11 * len(members); len(has) != want {
			s.Errorf("member %d got %d publications, want %d", k, len(has), want)
		}
	}
}

// ownMessagesBeforeTheEnd: a connection that ends while its publications are with the bus gets them before it ends, and the other
// members get them too.
func ownMessagesBeforeTheEnd(s *system) {
	witness := s.join("room", len(s.nodes)-1, 1)
	for round := range 10 {
		m := s.join("room", 0, 0)
		const each = 10
		for i := range each {
			m.say(fmt.Sprintf("%d.%d", round, i))
		}
		m.leave()
		s.until("it has gone", m.hasGone)
		last := fmt.Sprintf("%d.%d", round, each-1)
		if has := m.has(); len(has) != each || has[each-1].value != last {
			s.Errorf("it had %d publications at its end, want its own %d", len(has), each)
		}
		s.until("the witness has them", func() bool { return witness.hears(last) })
	}
	if n := len(witness.has()); n != 100 {
		s.Errorf("the witness got %d publications, want 100", n)
	}
}

// largeValues: a large value arrives complete.
func largeValues(s *system) {
	members := s.everywhere("room")
	values := []string{"", strings.Repeat("x", 200<<10), strings.Repeat("y", 1<<10), strings.Repeat("z", 64<<10-1)}
	for _, v := range values {
		members[0].say(v)
	}
	members[0].say("last")
	for k, m := range members {
		s.until("the last one arrives", func() bool { return m.hears("last") })
		for i, g := range m.has()[:min(len(values), len(m.has()))] {
			if g.value != values[i] {
				s.Errorf("member %d got %d bytes, want %d", k, len(g.value), len(values[i]))
			}
		}
	}
}

// creditComesBack: every reservation is released exactly once. So when no publication is in flight, no bytes are reserved.
func creditComesBack(s *system) {
	members := s.everywhere("room")
	meeting(s, members, 200)
	for _, m := range members[1:] { // so that nobody receives some of the publications in flight
		m.say("on the way")
		m.leave()
	}
	for _, m := range members[1:] {
		s.until("the members have gone", m.hasGone)
	}
	members[0].say("the end")
	s.until("the end", func() bool { return members[0].hears("the end") })
	for i, n := range s.nodes {
		s.until(fmt.Sprintf("node %d has nothing reserved", i), func() bool { return n.Reserved() == 0 })
	}
}
