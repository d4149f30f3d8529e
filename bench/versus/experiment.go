package versus

import (
	"fmt"
	"math"
	"slices"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/scenario"
)

// The experiments, in their order within a round. Half comes after Rooms, whose
// first round says how much the slowest peer can do.
const (
	One   = "one"   // one message at a time to a large room
	Burst = "burst" // 32 messages at once to a large room
	Rooms = "rooms" // small rooms in which all members publish, each as soon as its own message is back
	Half  = "half"  // the same rooms, by a schedule of half of what the slowest peer delivered
	Echo  = "echo"  // rooms of one: each message goes back to its sender
	Idle  = "idle"  // connections that say nothing
)

// oneRate is how often a second One sends. What a Go program takes to wake up and
// fall asleep again, about a millisecond each time whatever it does meanwhile,
// is a tenth of the work for 1,000 deliveries then; at 20/s it was a third.
const oneRate = 50

// echoRate is a third of what the slower servers can do. At their limit all cost
// little more than the kernel takes (12.3 us; ours 11.8, gws 14.0), and at a
// tenth of it what costs is to wake up the machine for each message.
const echoRate = 20_000

// messageBytes is the size of all messages.
const messageBytes = 128

// Experiment is one scenario that all servers go through.
type Experiment struct {
	Key      string            `json:"key"`
	Rooms    string            `json:"rooms"` // as "1,000 x 8"
	Title    string            `json:"title"`
	Scenario map[string]string `json:"scenario"` // every field, as a flag of dotsbench run takes it

	scenario scenario.Scenario
}

// experiments are those of a comparison. Where there is a rate, it leaves every
// server idle time, so that CPU per delivery compares servers at the same work.
// Rooms drives them to their limit, because everybody is to publish at a time.
func experiments(quick bool, seed uint64) []Experiment {
	small, idle := 8000, 10000
	if quick {
		small, idle = 1000, 1000
	}
	all := []Experiment{
		experiment(One, "one at a time", 1000, 1, rate(oneRate)),
		experiment(Burst, "bursts of 32", 1000, 1, rate(64)),
		experiment(Rooms, "all publishing", small, small/8, scenario.Rate{Max: true}),
		experiment(Half, "", small, small/8, rate(0)), // the rate is found in the first round
		experiment(Echo, "echo", 1000, 1000, rate(echoRate)),
		experiment(Idle, "idle", idle, idle/8, rate(0)),
	}
	for i := range all {
		s := &all[i].scenario
		s.Seed = seed
		switch all[i].Key {
		case Burst:
			s.Burst = 32
		case Idle: // what a server takes once for its first connections is not counted; what those leave behind, by others, is
			s.Prelude, s.Memory = idle/50, scenario.MemorySettled
		}
		if quick || all[i].Key == Idle {
			s.Duration, s.Warmup = time.Second, 200*time.Millisecond
		}
		all[i].describe()
	}
	return all
}

// MostConns is the most connections that a comparison holds at a time.
func MostConns(quick bool) int {
	most := 0
	for _, x := range experiments(quick, 0) {
		most = max(most, x.scenario.Conns)
	}
	return most
}

func rate(perSecond float64) scenario.Rate { return scenario.Rate{PerSecond: perSecond} }

func experiment(key, title string, conns, rooms int, rate scenario.Rate) Experiment {
	s := scenario.Default()
	s.Name, s.Conns, s.Rooms, s.Rate, s.Sizes = key, conns, rooms, rate, []int{messageBytes}
	// The warm-up ends between two bursts. Nobody is kicked in so short a run,
	// so heartbeats would only add work that is no delivery.
	s.Warmup, s.Duration, s.Settle, s.Beat = 400*time.Millisecond, 3*time.Second, 3*time.Second, 0
	return Experiment{Key: key, Title: title, scenario: s}
}

// describe makes the texts from the scenario.
func (e *Experiment) describe() {
	s := &e.scenario
	e.Rooms = fmt.Sprintf("%s x %s", cli.Count(s.Rooms), cli.Count(s.Conns/s.Rooms))
	if e.Key == Idle {
		e.Rooms = cli.Count(s.Conns)
	}
	e.Scenario = map[string]string{}
	for _, f := range scenario.Fields() {
		e.Scenario[f.Name] = f.Get(s)
	}
}

// setRate gives Half its rate: messages of all connections together.
func (e *Experiment) setRate(perSecond float64) {
	e.scenario.Rate = rate(perSecond)
	e.Title = "at " + cli.Count(int(perSecond)) + "/s"
	e.describe()
}

// halfOf is the rate of messages at half of the least deliveries per second, in
// two digits, which are easy to type again.
func halfOf(deliveries []float64, members int) float64 {
	if len(deliveries) == 0 {
		return 0
	}
	half := slices.Min(deliveries) / float64(members) / 2
	unit := math.Pow(10, math.Floor(math.Log10(max(half, 10)))-1)
	return max(math.Floor(half/unit)*unit, 10)
}

// order is the order of n servers in a round: every second round is the one
// before it backwards, so that a machine that slowly changes favours nobody, and
// every pair of rounds begins with another server.
func order(round, n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = (i + round/2) % n
	}
	if round%2 == 1 {
		slices.Reverse(all)
	}
	return all
}
