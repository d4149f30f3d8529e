package redisbridge

import (
	"fmt"
	"slices"
)

// check compares the publications that a node delivered with the order in which Redis applied them.
func (m *model) check(n *modelNode) error {
	where, batch := map[string][]int{}, map[string]ident{}
	for id, text := range m.text {
		for _, v := range splitValues(text) {
			where[v], batch[v] = m.places[id], id
		}
	}
	has := map[ident]bool{}
	for _, v := range n.stream {
		has[batch[v]] = true
	}
	last, marked := n.since-1, false
	seen := map[string]bool{}
	lastMark := -1
	for at, v := range n.stream {
		if v == gapMark {
			lastMark = at
		}
	}
	for at, v := range n.stream {
		if v == gapMark {
			marked = true
			continue
		}
		marked = marked || m.faults > 0 && at < lastMark // a gap for batches that Redis forgot is announced when another node has told of the loss
		if seen[v] {
			return fmt.Errorf("%s delivered %s twice", n.name, v)
		}
		seen[v] = true
		k := slices.IndexFunc(where[v], func(i int) bool { return i >= last })
		if k < 0 {
			return fmt.Errorf("%s delivered %s (numbers %v) after number %d: another order than the rest", n.name, v, where[v], last)
		}
		i := where[v][k]
		if err := m.skipped(n, has, last+1, i, marked); err != nil {
			return err
		}
		last, marked = i, marked && len(where[v]) > 1 // if a batch has several places, the model does not know which place this was
	}
	if err := m.skipped(n, has, last+1, len(m.truth), marked); err != nil {
		return err
	}
	for v, how := range n.fate {
		if how == "pending" {
			return fmt.Errorf("%s: %s has no end", n.name, v)
		}
	}
	if h := n.lane.bridge.held.bytes.Load(); h != 0 {
		return fmt.Errorf("%s holds %d bytes", n.name, h)
	}
	return nil
}

// fate returns how a value ended at its publisher, or "" if nobody published it.
func (m *model) fate(v string) string {
	for _, n := range m.nodes {
		if how := n.fate[v]; how != "" {
			return how
		}
	}
	return ""
}

// skipped returns an error if the node skipped a batch that it must not skip. A node may skip a batch that was announced, that
// was empty, that it published itself and delivered locally, or that its publisher gave up (Redis may have forgotten such a batch
// before any node knew of it).
func (m *model) skipped(n *modelNode, has map[ident]bool, from, to int, marked bool) error {
	if marked {
		return nil
	}
	for i, id := range m.truth[min(from, to):to] {
		if len(m.places[id]) > 1 && (has[id] || m.places[id][0] != min(from, to)+i) {
			continue
		}
		for _, v := range splitValues(m.text[id]) {
			if fate := m.fate(v); n.fate[v] != "local" && (fate == "pending" || fate == "delivered" || m.faults == 0) {
				return fmt.Errorf("%s skipped %s (%v) and announced nothing; it is %q here", n.name, v, id, n.fate[v])
			}
		}
	}
	return nil
}

func splitValues(text string) (all []string) {
	start := 0
	for i := range len(text) {
		if text[i] == ' ' {
			all = append(all, text[start:i])
			start = i + 1
		}
	}
	return all
}
