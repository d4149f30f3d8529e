package slices

import (
	"fmt"
	"time"

	"dotsconnect/bench/scenario"
)

// Row is one kind of work with which all servers are compared.
type Row struct {
	Key      string // name of the row for --only
	Title    string
	Scenario scenario.Scenario
	Connects int // if not 0, a slice opens and resets this number of connections and sends no messages
	Figures  []Figure
}

// Figure is a figure that a row measures. Must and Aim are goals for the ratio
// of our server to the reference: Must is required, Aim is wanted.
type Figure struct {
	Name, Unit string
	Must, Aim  float64 // 0: no goal
}

const messageBytes = 128

// MostConns limits the number of connections that all servers together have in
// a row.
const MostConns = 16_000

// Rows returns the rows for a comparison of this number of servers.
func Rows(servers int) []Row {
	small := min(8000, MostConns/servers) / 8 * 8
	cpu := func(must, aim float64) []Figure { return []Figure{{"CPU per delivery", "us", must, aim}} }
	row := func(key, title string, conns, rooms, burst int, rate scenario.Rate, figures []Figure) Row {
		s := scenario.Default()
		s.Arrivals = scenario.Equidistant
		s.Name, s.Conns, s.Rooms, s.Rate, s.Burst, s.Sizes = key, conns, rooms, rate, burst, []int{messageBytes}
		return Row{Key: key, Title: title, Scenario: s, Figures: figures}
	}
	per := func(n float64) scenario.Rate { return scenario.Rate{PerSecond: n} }
	rooms := small / 8
	connects := row("connects", "connects, rooms of 8", 8, 1, 1, per(0), []Figure{{"CPU per connection", "us", 1.35, 1}})
	connects.Connects = 1000
	light := row("light", fmt.Sprintf("1,000/s to %d rooms of 8", rooms), small, rooms, 1, per(1000),
		[]Figure{{"CPU per delivery", "us", 1.1, 0.95}, {"p50", "us", 1, 0.95}})
	return []Row{
		row("one", "one at a time to 1,000", 1000, 1, 1, per(100), cpu(1.03, 1)),
		row("bursts", "bursts of 32 to 1,000", 1000, 1, 32, per(640), cpu(0.55, 0.45)),
		row("steady", fmt.Sprintf("%d rooms of 8, all publishing, 8 messages of each in flight", rooms), small, rooms, 8, scenario.Rate{Max: true}, cpu(1, 0.9)),
		row("rooms", fmt.Sprintf("%d rooms of 8, all publishing, 1 message of each in flight", rooms), small, rooms, 1, scenario.Rate{Max: true}, cpu(0.25, 0.2)),
		row("echo", "echo, 20,000/s to 1,000 rooms of 1", 1000, 1000, 1, per(20_000), cpu(1.08, 1)),
		connects,
		light,
	}
}

// DefaultLength is the default length of a slice.
const DefaultLength = 300 * time.Millisecond
