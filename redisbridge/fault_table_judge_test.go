package redisbridge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// The checker of the fault table. It knows everything that each client sent and received, and each gap that a node announced. If
// a message is missing or out of order at a member that stayed connected, a gap must have been announced to that member: by its
// node, in the lane and the room of the message, after the message was sent.

// spoken holds the messages that one client sent and heard, for the checker.
type spoken struct {
	id, site, room int
	joined         time.Time
	said           []time.Time // times at which messages 1, 2, ... were sent
	heard          []word
	over           bool
	code           websocket.StatusCode // close code of the client; -1: none
}

// word identifies one message: its client, and its number among the messages of this client.
type word struct{ client, n int }

func (w word) String() string { return fmt.Sprintf("m%d.%d", w.client, w.n) }

func parseWord(text string) (w word, ok bool) {
	n, err := fmt.Sscanf(text, "m%d.%d", &w.client, &w.n)
	return w, err == nil && n == 2
}

// told is a gap that a node announced.
type told struct {
	lanes  []int
	rooms  []string // nil: all rooms of these lanes
	at     time.Time
	reason string
}

func (g told) concerns(room string, lane int, since time.Time) bool {
	return !g.at.Before(since) && slices.Contains(g.lanes, lane) && (g.rooms == nil || slices.Contains(g.rooms, room))
}

// evidence holds all facts from which the checker judges.
type evidence struct {
	clients []spoken
	gaps    [][]told // by site
	laneOf  func(room string) int
}

// tally holds the results of the checker.
type tally struct {
	said, accepted int
	refused        int // number of messages of clients that were closed with 4104; such a message may have arrived
	cut            int // number of messages of clients whose node died, or whose connection was cut
	missing        int // number of missing deliveries to members that stayed connected, if a gap announced them
	silent         int // number of missing deliveries to members that stayed connected, if no gap announced them
	doubled        int
	moved          int // number of messages in another order than at another client, or than they were sent in, if a gap announced this
	reordered      int // the same as moved, but no gap announced this
	gaps           int
	closed         int // number of clients that were closed with a code other than 4104
	note           string
	odd            []string // texts about the first violations
}

const refusedCode = websocket.StatusCode(4104)

func (e *evidence) judge() (v tally) {
	byRoom := map[int][]*spoken{}
	for i := range e.clients {
		c := &e.clients[i]
		byRoom[c.room] = append(byRoom[c.room], c)
		if c.over && c.code != refusedCode {
			v.closed++
		}
	}
	for _, gaps := range e.gaps {
		v.gaps += len(gaps)
	}
	for room, clients := range byRoom {
		e.judgeRoom(&v, room, clients)
	}
	return v
}

// announced reports whether one of the sites announced a gap that may include a message of the given time.
func (e *evidence) announced(room int, sent time.Time, sites ...int) bool {
	name := tableRoom(room)
	lane := e.laneOf(name)
	for _, s := range sites {
		if slices.ContainsFunc(e.gaps[s], func(g told) bool { return g.concerns(name, lane, sent) }) {
			return true
		}
	}
	return false
}

func (v *tally) must(what string, args ...any) {
	if len(v.odd) < 10 {
		v.odd = append(v.odd, fmt.Sprintf(what, args...))
	}
}

func (e *evidence) judgeRoom(v *tally, room int, clients []*spoken) {
	said := map[word]time.Time{}
	at := map[int]map[word]int{} // by client and message: its position among the messages that the client received
	var stayed []*spoken
	for _, c := range clients {
		for n, when := range c.said {
			said[word{c.id, n + 1}] = when
		}
		at[c.id] = map[word]int{}
		for i, w := range c.heard {
			if _, twice := at[c.id][w]; twice {
				v.doubled++
				v.must("client %d of site %d heard %v twice", c.id, c.site, w)
				continue
			}
			at[c.id][w] = i
		}
		if !c.over {
			stayed = append(stayed, c)
		}
	}
	for _, c := range clients {
		e.judgeFates(v, c, stayed, at)
	}
	for i, c := range stayed {
		e.judgeSpeakers(v, c, said, at[c.id])
		for _, o := range stayed[:i] {
			e.judgePair(v, c, o, said, at[c.id], at[o.id])
		}
	}
}

// judgeFates looks for the messages of client c at all members that should have received them.
func (e *evidence) judgeFates(v *tally, c *spoken, stayed []*spoken, at map[int]map[word]int) {
	for i, when := range c.said {
		w := word{c.id, i + 1}
		v.said++
		if _, back := at[c.id][w]; !back && c.over {
			if c.code == refusedCode {
				v.refused++
			} else {
				v.cut++
			}
			continue
		}
		v.accepted++
		for _, m := range stayed {
			if _, has := at[m.id][w]; has || !when.After(m.joined) {
				continue
			}
			if e.announced(m.room, when, m.site) {
				v.missing++
				continue
			}
			v.silent++
			v.must("%v of site %d, said at %s, is missing at client %d of site %d (lane %d), and nothing was announced there", w, c.site,
				when.Format("05.000"), m.id, m.site, e.laneOf(tableRoom(m.room)))
		}
	}
}

// judgeSpeakers checks that a member received each speaker's messages in order.
func (e *evidence) judgeSpeakers(v *tally, c *spoken, said map[word]time.Time, own map[word]int) {
	last := map[int]int{}
	for i, w := range c.heard {
		if own[w] != i { // a duplicate, which judgeRoom has counted
			continue
		}
		if w.n > last[w.client] {
			last[w.client] = w.n
			continue
		}
		e.outOfOrder(v, c, w, said[w], "%v after %d of the same speaker", w, last[w.client])
	}
}

// judgePair compares the order of messages at two members. The messages out of order are the smallest set of messages whose
// removal leaves the same order at both clients.
func (e *evidence) judgePair(v *tally, c, o *spoken, said map[word]time.Time, own, other map[word]int) {
	var both []word
	var places []int
	for i, w := range c.heard {
		if p, has := other[w]; has && own[w] == i {
			both, places = append(both, w), append(places, p)
		}
	}
	for _, i := range outOfRow(places) {
		e.outOfOrder(v, c, both[i], said[both[i]], "%v stands elsewhere at client %d of site %d", both[i], o.id, o.site)
	}
}

func (e *evidence) outOfOrder(v *tally, c *spoken, w word, since time.Time, what string, args ...any) {
	all := make([]int, len(e.gaps))
	for i := range all {
		all[i] = i
	}
	if e.announced(c.room, since, all...) {
		v.moved++
		return
	}
	v.reordered++
	v.must("client %d of site %d: "+what+", said at %s", append(append([]any{c.id, c.site}, args...), since.Format("05.000"))...)
}

// outOfRow returns the indices of the smallest set of numbers whose removal leaves the others in ascending order.
func outOfRow(numbers []int) (out []int) {
	if slices.IsSorted(numbers) {
		return nil
	}
	var tails []int // for each length: the index of the last number of the best ascending row
	before := make([]int, len(numbers))
	for i, n := range numbers {
		k, _ := slices.BinarySearchFunc(tails, n, func(tail, n int) int { return numbers[tail] - n })
		if before[i] = -1; k > 0 {
			before[i] = tails[k-1]
		}
		if k == len(tails) {
			tails = append(tails, i)
		} else {
			tails[k] = i
		}
	}
	in := make([]bool, len(numbers))
	for i := tails[len(tails)-1]; i >= 0; i = before[i] {
		in[i] = true
	}
	for i := range numbers {
		if !in[i] {
			out = append(out, i)
		}
	}
	return out
}

const tallyHead = "| fault | sent | accepted | refused with 4104 | missing, announced | missing in silence | doubled | out of order, announced | out of order in silence | gaps | notes |\n" +
	"|---|---|---|---|---|---|---|---|---|---|---|"

func (v *tally) row(name string) string {
	if v.cut > 0 {
		v.note = strings.TrimPrefix(fmt.Sprintf("%s; %d said to nodes that went", v.note, v.cut), "; ")
		v.cut = 0
	}
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %s |", name, v.said, v.accepted, v.refused, v.missing, v.silent, v.doubled, v.moved,
		v.reordered, v.gaps, v.note)
}

// check tests the rules that must hold in every row.
func (v *tally) check(t *testing.T) {
	t.Helper()
	if v.silent+v.doubled+v.reordered > 0 {
		t.Errorf("%d missing in silence, %d doubled, %d out of order in silence:\n%s", v.silent, v.doubled, v.reordered, strings.Join(v.odd, "\n"))
	}
	if v.accepted == 0 {
		t.Error("nothing was accepted: the test does not do what it says")
	}
}

// TestTheCheckerOfTheTable: the checker must find each violation in the evidence that the test gives it.
func TestTheCheckerOfTheTable(t *testing.T) {
	t0 := time.Now()
	at := func(seconds int) time.Time { return t0.Add(time.Duration(seconds) * time.Second) }
	words := func(ns ...int) (all []word) {
		for _, n := range ns {
			all = append(all, word{1, n})
		}
		return all
	}
	const here, there = 0, 1
	gap := func(second, lane int, rooms ...string) told {
		return told{lanes: []int{lane}, rooms: rooms, at: at(second)}
	}
	for name, c := range map[string]struct {
		heard []word // the messages that the listener on the other site received
		back  []word // the messages that the speaker itself received
		code  websocket.StatusCode
		gaps  []told // announced on the other site
		want  tally
	}{
		"all is well":                    {heard: words(1, 2, 3), back: words(1, 2, 3), want: tally{accepted: 3}},
		"missing":                        {heard: words(1, 3), back: words(1, 2, 3), want: tally{accepted: 3, silent: 1}},
		"missing at the speaker, too":    {heard: words(1, 3), back: words(1, 3), want: tally{accepted: 3, silent: 2}},
		"missing and announced":          {heard: words(1, 3), back: words(1, 2, 3), gaps: []told{gap(9, 7)}, want: tally{accepted: 3, missing: 1, gaps: 1}},
		"announced before it was said":   {heard: words(1, 3), back: words(1, 2, 3), gaps: []told{gap(1, 7)}, want: tally{accepted: 3, silent: 1, gaps: 1}},
		"announced in another lane":      {heard: words(1, 3), back: words(1, 2, 3), gaps: []told{gap(9, 6)}, want: tally{accepted: 3, silent: 1, gaps: 1}},
		"announced to this room":         {heard: words(1, 3), back: words(1, 2, 3), gaps: []told{gap(9, 7, tableRoom(0))}, want: tally{accepted: 3, missing: 1, gaps: 1}},
		"announced to another room":      {heard: words(1, 3), back: words(1, 2, 3), gaps: []told{gap(9, 7, tableRoom(1))}, want: tally{accepted: 3, silent: 1, gaps: 1}},
		"doubled":                        {heard: words(1, 2, 3, 2), back: words(1, 2, 3), want: tally{accepted: 3, doubled: 1}},
		"another order":                  {heard: words(2, 3, 1), back: words(1, 2, 3), want: tally{accepted: 3, reordered: 2}},
		"another order, announced":       {heard: words(2, 3, 1), back: words(1, 2, 3), gaps: []told{gap(9, 7)}, want: tally{accepted: 3, moved: 2, gaps: 1}},
		"refused":                        {heard: words(1), back: words(1), code: 4104, want: tally{accepted: 1, refused: 2}},
		"refused and arrived":            {heard: words(1, 2), back: words(1), code: 4104, want: tally{accepted: 1, refused: 2}},
		"came back before the refusal":   {heard: words(1, 3), back: words(1, 2, 3), code: 4104, want: tally{accepted: 3, silent: 1}},
		"cut off":                        {heard: words(1), back: words(1), code: -1, want: tally{accepted: 1, cut: 2, closed: 1}},
		"gaps where nothing was missing": {heard: words(1, 2, 3), back: words(1, 2, 3), gaps: []told{gap(9, 7)}, want: tally{accepted: 3, gaps: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			e := evidence{laneOf: func(string) int { return 7 }, gaps: [][]told{nil, c.gaps}, clients: []spoken{
				{id: 1, site: here, joined: t0, said: []time.Time{at(1), at(2), at(3)}, heard: c.back, over: c.code != 0, code: c.code},
				{id: 2, site: there, joined: t0, heard: c.heard},
			}}
			got := e.judge()
			got.said, got.odd = 0, nil
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
