package versus

import (
	"fmt"
	"math"
	"slices"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/scenario"
)

// The experiments, in their order within a round. Half must come after Rooms:
// Half needs the limit of the slowest peer, which Rooms measures in the first
// round.
const (
	One   = "one"   // single messages to a large room
	Burst = "burst" // 32 messages at once to a large room
	Rooms = "rooms" // small rooms in which all members publish; each member sends again as soon as its own message has come back
	Half  = "half"  // the same rooms as in Rooms, but with a schedule: half of the rate that the slowest peer reached
	Echo  = "echo"  // rooms of one member: each message goes back to its sender
	Idle  = "idle"  // connections that send nothing
)

// oneRate is the number of messages per second in One. Besides its work, a Go
// program needs about a millisecond to wake up and to fall asleep again. At
// this rate the millisecond is a tenth of the CPU time of 1,000 deliveries; at
// 20/s it was a third.
const oneRate = 50

// echoRate, in messages per second, is a third of the limit of the slower
// servers. At their limits all servers cost about as much as the kernel alone
// (kernel 12.3 us, dotsd 11.8, gws 14.0). At a tenth of the limit most of the
// cost comes from waking up the machine for each message.
const echoRate = 20_000

// messageBytes is the size of all messages of a comparison.
const messageBytes = 128

// Experiment is a scenario with which all servers are measured.
type Experiment struct {
	Key      string            `json:"key"`
	Rooms    string            `json:"rooms"` // for people: "1,000 x 8" stands for 1,000 rooms of 8 members
	Title    string            `json:"title"`
	Scenario map[string]string `json:"scenario"` // all fields of the scenario, as texts that the flags of dotsbench run accept

	scenario scenario.Scenario
}

// experiments returns the experiments of a comparison. An experiment with a
// rate leaves every server some idle time. So the CPU time per delivery
// compares servers that do the same work. Rooms drives each server to its
// limit, because all members publish at the same time.
func experiments(quick bool, seed uint64) []Experiment {
	small, idle := 8000, 10000
	if quick {
		small, idle = 1000, 1000
	}
	all := []Experiment{
		experiment(One, "one at a time", 1000, 1, rate(oneRate)),
		experiment(Burst, "bursts of 32", 1000, 1, rate(64)),
		experiment(Rooms, "all publishing", small, small/8, scenario.Rate{Max: true}),
		experiment(Half, "", small, small/8, rate(0)), // setRate sets the rate and the title when the first round has measured Rooms
		experiment(Echo, "echo", 1000, 1000, rate(echoRate)),
		experiment(Idle, "idle", idle, idle/8, rate(0)),
	}
	for i := range all {
		s := &all[i].scenario
		s.Seed = seed
		switch all[i].Key {
		case Burst:
			s.Burst = 32
		case Idle: // a prelude, so that one-time work of the server does not count; the prelude is small, because later connections reuse its memory
			s.Prelude, s.Memory = idle/50, scenario.MemorySettled
		}
		if quick || all[i].Key == Idle {
			s.Duration, s.Warmup = time.Second, 200*time.Millisecond
		}
		all[i].describe()
	}
	return all
}

// MostConns returns the largest number of connections that a comparison has at
// a time.
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
	s.Arrivals = scenario.Equidistant
	s.Name, s.Conns, s.Rooms, s.Rate, s.Sizes = key, conns, rooms, rate, []int{messageBytes}
	// The warm-up of 400 ms ends between two bursts. Heartbeats are off: a run
	// of this length does not need them to keep connections open, and they
	// would add work that is not a delivery.
	s.Warmup, s.Duration, s.Settle, s.Beat = 400*time.Millisecond, 3*time.Second, 3*time.Second, 0
	return Experiment{Key: key, Title: title, scenario: s}
}

// describe sets Rooms and Scenario, the descriptions of the scenario.
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

// setRate sets the rate of Half, in messages per second of all connections
// together.
func (e *Experiment) setRate(perSecond float64) {
	e.scenario.Rate = rate(perSecond)
	e.Title = "at " + cli.Count(int(perSecond)) + "/s"
	e.describe()
}

// halfOf returns the rate of messages that gives half of the smallest rate in
// deliveries. It is rounded down to two digits, so that people can type it.
func halfOf(deliveries []float64, members int) float64 {
	if len(deliveries) == 0 {
		return 0
	}
	half := slices.Min(deliveries) / float64(members) / 2
	unit := math.Pow(10, math.Floor(math.Log10(max(half, 10)))-1)
	return max(math.Floor(half/unit)*unit, 10)
}

// order returns the order of n servers in a round, which counts from 0. Each
// odd round has the reverse order of the round before it, so that slow changes
// of the machine favour no server. Each of these pairs of rounds begins with a
// different server.
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
