// Package scenario says what a run does: how many connections in which rooms
// send how much for how long. A scenario is a flat YAML file; each line of it is
// a flag of "dotsbench run" too, and both are read by the one table in fields.go,
// so that they cannot come to mean different things.
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

// Scenario is one run, as asked for.
type Scenario struct {
	Name     string
	About    string
	Conns    int
	Rooms    int
	Spread   string // how connections are dealt to rooms: Even or Zipf
	ZipfS    float64
	Rate     Rate
	Burst    int   // messages with one intended time
	Sizes    []int // bytes of a message, dealt evenly
	Duration time.Duration
	Warmup   time.Duration
	Settle   time.Duration // longest silence at the end before what is missing counts as lost
	Beat     time.Duration // heartbeat period; 0: none
	Order    string        // what is demanded: OrderRoom or OrderSender
	Seed     uint64

	Needs   string  // what a run needs that cannot be had: it is refused with these words
	Open    Rate    // how fast connections are opened
	Prelude int     // connections opened and reset before, so that what a server does once does not count
	Memory  string  // how memory is read: MemoryQuick or MemorySettled
	Slow    float64 // share of members that stop to read
	Silent  float64 // share of members that send no heartbeat
	MaxAge  time.Duration
	Churn   Rate          // connections that come and are reset beside the members
	Restart time.Duration // when, in the time measured, the last server is killed
	Away    time.Duration // how long it is away before it is started again
	Hurt    time.Duration // when a command of the user does harm, and when another mends it
	Heal    time.Duration
	Grace   time.Duration // the first part of the harm, in which messages may wait: figures of its own
	Across  string        // what the rooms of several servers share: AcrossRooms or AcrossMembers
	Publish string        // who sends: PublishAll, PublishFirst or PublishOthers
}

// Values of Spread, Order, Memory, Across and Publish.
const (
	Even = "even"
	Zipf = "zipf"

	OrderRoom   = "room"
	OrderSender = "sender"

	MemoryQuick   = "quick"   // as it is when all are open
	MemorySettled = "settled" // after garbage collections, when it changes no more

	AcrossRooms   = "rooms"   // a room lives on one server
	AcrossMembers = "members" // servers are one system, and each has members of each room

	PublishAll    = "all"
	PublishFirst  = "first"  // only members on the first server
	PublishOthers = "others" // only members that are not on the last server
)

// Rate is messages per second of all connections together. Max is a closed
// loop: each connection sends when its own message has come back.
type Rate struct {
	PerSecond float64
	Max       bool
}

// Default is what a file that says nothing means.
func Default() Scenario {
	return Scenario{
		Conns: 100, Rooms: 1, Spread: Even, ZipfS: 1.1, Rate: Rate{PerSecond: 100}, Burst: 1, Sizes: []int{128},
		Duration: 10 * time.Second, Warmup: 2 * time.Second, Settle: 5 * time.Second, Beat: 20 * time.Second,
		Order: OrderRoom, Seed: 1,
		Open: Rate{Max: true}, Memory: MemoryQuick, MaxAge: 60 * time.Second, Across: AcrossRooms, Publish: PublishAll,
	}
}

// Names are the scenarios in the binary.
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

// Text is the file of a scenario in the binary.
func Text(name string) ([]byte, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("unknown scenario %q: there are %s, and any file that ends in .yaml",
			name, strings.Join(Names(), ", "))
	}
	return files.ReadFile(path.Join("files", name+".yaml"))
}

// Load reads a scenario of the binary, or the file that name ends in .yaml.
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

// Limits of Sizes: the whole JSON message. The least holds the stamp.
const (
	MinSize = 32
	MaxSize = 128 << 10
)
