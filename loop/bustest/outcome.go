package bustest

import (
	"fmt"
	"slices"
	"sync"

	"dotsconnect/loop"
)

// outcomesAreTold: a publisher that is not a member is told the id under which the members get its publication, once for each publication,
// also if the room has no members on its node, or none at all.
func outcomesAreTold(s *system) {
	witness := s.join("room", len(s.nodes)-1, 1)
	const each = 20
	var mu sync.Mutex
	ids := map[string][]string{}
	for i := range each {
		for _, room := range []string{"room", "nobody is here"} {
			value := fmt.Sprintf("%s %d", room, i)
			if !s.nodes[0].OfferFor(room, 0, loop.KindText, []byte(value), func(o loop.Outcome, id loop.ID) {
				mu.Lock()
				defer mu.Unlock()
				ids[value] = append(ids[value], fmt.Sprint(o, " ", id))
				signal(s.changed)
			}) {
				s.Errorf("%q was not accepted", value)
			}
		}
	}
	s.until("all outcomes are told", func() bool { mu.Lock(); defer mu.Unlock(); return len(ids) == 2*each })
	s.until("the witness has the last", func() bool { return witness.hears(fmt.Sprintf("room %d", each-1)) })
	mu.Lock()
	defer mu.Unlock()
	for _, g := range witness.has() {
		if want := []string{fmt.Sprint(loop.Placed, " ", g.id)}; !slices.Equal(ids[g.value], want) {
			s.Errorf("the outcomes of %q are %q, want %q", g.value, ids[g.value], want)
		}
	}
}
