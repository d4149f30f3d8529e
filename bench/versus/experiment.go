package versus

import (
	"fmt"
	"math"
	"slices"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/scenario"
)

// The experiments, in their order within a round. Half comes after Rooms,
// whose first round measures the limit of the slowest peer.
const (
	One   = "one"   // one message at a time to a large room
	Burst = "burst" // 32 messages at once to a large room
	Rooms = "rooms" // small rooms in which all members publish, each as soon as its own message came back
	Half  = "half"  // the same rooms, by a schedule, at half the rate of the slowest peer
	Echo  = "echo"  // rooms of one: each message goes back to its sender
	Idle  = "idle"  // connections that send nothing
)

// oneRate is how many messages per second One sends. A Go program needs about
// a millisecond to wake up and to sleep again, independent of its work. At
// this rate that is a tenth of the work for 1,000 deliveries; at 20/s it was a
// third.
const oneRate = 50

// echoRate is a third of the limit of the slower servers. At its limit every
// server costs about as much as the kernel alone (12.3 us; dotsd 11.8, gws
// 14.0). At a tenth of the limit most of the cost is to wake up the machine
// for each message.
const echoRate = 20_000

// messageBytes is the size of all messages.
const messageBytes = 128

// Experiment is one scenario that all servers run.
type Experiment struct {
	Key      string            `json:"key"`
	Rooms    string            `json:"rooms"` // such as "1,000 x 8"
	Title    string            `json:"title"`
	Scenario map[string]string `json:"scenario"` // every field, as given to a flag of dotsbench run

	scenario scenario.Scenario
}

// experiments returns the experiments of a comparison. An experiment with a
// rate leaves every server idle time, so that CPU per delivery compares
// servers at the same work. Rooms drives them to their limit, because all
// members publish at the same time.
func experiments(quick bool, seed uint64) []Experiment {
	small, idle := 8000, 10000
	if quick {
		small, idle = 1000, 1000
	}
	all := []Experiment{
		experiment(One, "one at a time", 1000, 1, rate(oneRate)),
		experiment(Burst, "bursts of 32", 1000, 1, rate(64)),
		experiment(Rooms, "all publishing", small, small/8, scenario.Rate{Max: true}),
		experiment(Half, "", small, small/8, rate(0)), // the rate is set after the first round
		experiment(Echo, "echo", 1000, 1000, rate(echoRate)),
		experiment(Idle, "idle", idle, idle/8, rate(0)),
	}
	for i := range all {
		s := &all[i].scenario
		s.Seed = seed
		switch all[i].Key {
		case Burst:
			s.Burst = 32
		case Idle: // a small prelude: it leaves out one-time work, and little memory stays that later connections could reuse
			s.Prelude, s.Memory = idle/50, scenario.MemorySettled
		}
		if quick || all[i].Key == Idle {
			s.Duration, s.Warmup = time.Second, 200*time.Millisecond
		}
		all[i].describe()
	}
	return all
}

// MostConns is the largest number of connections that a comparison holds at a
// time.
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
	// The warm-up ends between two bursts. Nobody is kicked in such a short
	// run, so heartbeats would only add work that is not a delivery.
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

// halfOf returns the message rate for half of the least deliveries per second,
// rounded to two digits so that it is easy to type.
func halfOf(deliveries []float64, members int) float64 {
	if len(deliveries) == 0 {
		return 0
	}
	half := slices.Min(deliveries) / float64(members) / 2
	unit := math.Pow(10, math.Floor(math.Log10(max(half, 10)))-1)
	return max(math.Floor(half/unit)*unit, 10)
}

// order returns the order of n servers in a round. Every second round reverses
// the one before, so that slow changes of the machine favour no server, and
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
