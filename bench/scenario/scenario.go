// Package scenario describes what a run does: how many connections, in which
// rooms, send how much and for how long. A scenario is a flat YAML file. Each
// of its lines is also a flag of "dotsbench run". The table in fields.go reads
// both, so they cannot differ in meaning.
package scenario

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

//go:embed files/*.yaml
var files embed.FS

// Scenario describes one run.
type Scenario struct {
	Name     string
	About    string
	Conns    int
	Rooms    int
	Spread   string // how connections are distributed over rooms: Even or Zipf
	ZipfS    float64
	Rate     Rate
	Burst    int   // messages with one intended time
	Sizes    []int // bytes of a message, each size equally often
	Duration time.Duration
	Warmup   time.Duration
	Settle   time.Duration // longest silence at the end before missing messages count as lost
	Beat     time.Duration // heartbeat period; 0: none
	Order    string        // the order that the proof demands: OrderRoom or OrderSender
	Seed     uint64

	Needs   string  // why no run can be made yet: the run is refused with this text
	Open    Rate    // how fast connections are opened
	Prelude int     // connections opened and reset first, so that one-time work of the server does not count
	Memory  string  // how memory is read: MemoryQuick or MemorySettled
	Slow    float64 // share of members that stop reading
	Silent  float64 // share of members that send no heartbeat
	MaxAge  time.Duration
	Churn   Rate          // connections that are opened and reset while the members run
	Restart time.Duration // when, in the time measured, the last server is killed
	Away    time.Duration // how long it stays down
	Hurt    time.Duration // when a command of the user makes a fault, and when another ends it
	Heal    time.Duration
	Grace   time.Duration // the first part of the fault, in which messages may wait; it has its own figures
	Across  string        // what rooms share with several servers: AcrossRooms or AcrossMembers
	Publish string        // who sends: PublishAll, PublishFirst or PublishOthers
}

// Values of Spread, Order, Memory, Across and Publish.
const (
	Even = "even"
	Zipf = "zipf"

	OrderRoom   = "room"
	OrderSender = "sender"

	MemoryQuick   = "quick"   // read as soon as all connections are open
	MemorySettled = "settled" // read after garbage collections, when it no longer changes

	AcrossRooms   = "rooms"   // each room is on one server
	AcrossMembers = "members" // the servers are one system, and each has members of each room

	PublishAll    = "all"
	PublishFirst  = "first"  // only members on the first server
	PublishOthers = "others" // only members that are not on the last server
)

// Rate is messages per second of all connections together. Max means a closed
// loop: each connection sends when its own message came back.
type Rate struct {
	PerSecond float64
	Max       bool
}

// Default has the values of fields that a file leaves out.
func Default() Scenario {
	return Scenario{
		Conns: 100, Rooms: 1, Spread: Even, ZipfS: 1.1, Rate: Rate{PerSecond: 100}, Burst: 1, Sizes: []int{128},
		Duration: 10 * time.Second, Warmup: 2 * time.Second, Settle: 5 * time.Second, Beat: 20 * time.Second,
		Order: OrderRoom, Seed: 1,
		Open: Rate{Max: true}, Memory: MemoryQuick, MaxAge: 60 * time.Second, Across: AcrossRooms, Publish: PublishAll,
	}
}

// Names returns the scenarios in the binary.
func Names() []string {
	entries, err := fs.ReadDir(files, "files")
	if err != nil {
		panic(err) // the folder is part of the binary
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// Text returns the file of a scenario in the binary.
func Text(name string) ([]byte, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("unknown scenario %q: there are %s, and any file that ends in .yaml",
			name, strings.Join(Names(), ", "))
	}
	return files.ReadFile(path.Join("files", name+".yaml"))
}

// Load reads a scenario of the binary or, if name ends in .yaml, a file.
func Load(name string) (Scenario, error) {
	if strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") {
		text, err := os.ReadFile(name)
		if err != nil {
			return Scenario{}, fmt.Errorf("scenario file: %w", err)
		}
		return Parse(name, text)
	}
	text, err := Text(name)
	if err != nil {
		return Scenario{}, err
	}
	return Parse(name+".yaml", text)
}

// Limits of Sizes, for the whole JSON message. The smallest has room for the
// stamp.
const (
	MinSize = 32
	MaxSize = 128 << 10
)
