// Package scenario describes the load of a run: the number of connections and
// rooms, the rate and the size of messages, and how long they are sent. A
// scenario is a flat YAML file. Each of its fields is also a flag of "dotsbench
// run". The table in fields.go parses both, so a value means the same in a file
// and in a flag.
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
	Burst    int    // number of messages that are due at the same time
	Arrivals string // Equidistant or Poisson
	Sizes    []int  // sizes of messages in bytes; each size is used equally often
	Duration time.Duration
	Warmup   time.Duration
	Settle   time.Duration // longest silence at the end before missing messages count as lost, and then the wait for second copies
	Beat     time.Duration // heartbeat period; 0: no heartbeats
	Order    string        // the order that the proof demands: OrderRoom or OrderSender
	Echo     string        // whether a member gets its own messages too: EchoYes or EchoNo
	Seed     uint64

	Needs   string  // if not empty, a run is refused; names the missing feature that the run needs
	Open    Rate    // connections that are opened per second
	Prelude int     // number of connections that are opened and reset first, so that one-time work of the server does not count
	Memory  string  // how memory is read: MemoryQuick or MemorySettled
	Slow    float64 // share of members that stop reading
	Silent  float64 // share of members that send no heartbeat
	MaxAge  time.Duration
	Churn   Rate          // connections that are opened and reset while the members run
	Restart time.Duration // time from the start of the measurement until the last server is killed; 0: never
	Away    time.Duration // how long the killed server stays down
	Hurt    time.Duration // time from the start of the measurement until a command makes a fault; Heal: until another command ends the fault
	Heal    time.Duration
	Grace   time.Duration // first part of the fault, in which messages may wait; the result has separate figures for it
	Across  string        // with several servers, how rooms are divided among them: AcrossRooms or AcrossMembers
	Publish string        // members that send: PublishAll, PublishFirst or PublishOthers
}

// Values of Spread, Arrivals, Order, Echo, Memory, Across and Publish.
const (
	Even = "even"
	Zipf = "zipf"

	OrderRoom   = "room"
	OrderSender = "sender"

	EchoYes = "yes"
	EchoNo  = "no" // the server sends a message to all members of the room except its sender

	Equidistant = "equidistant" // each message is due the same time after the one before
	Poisson     = "poisson"     // messages are due at random times that do not depend on each other

	MemoryQuick   = "quick"   // memory is read as soon as all connections are open
	MemorySettled = "settled" // memory is read after garbage collections, when it no longer changes

	AcrossRooms   = "rooms"   // each room is on one server
	AcrossMembers = "members" // the servers are one system: each has members of each room

	PublishAll    = "all"
	PublishFirst  = "first"  // only the members on the first server send
	PublishOthers = "others" // only members that are not on the last server send
)

// Rate is a number per second, over all connections together. As the rate of
// messages, Max means a closed loop: each connection sends its next message
// when its last one has come back.
type Rate struct {
	PerSecond float64
	Max       bool
}

// Default returns a scenario with the default values of all fields.
func Default() Scenario {
	return Scenario{
		Conns: 100, Rooms: 1, Spread: Even, ZipfS: 1.1, Rate: Rate{PerSecond: 100}, Burst: 1, Sizes: []int{128},
		Duration: 10 * time.Second, Warmup: 2 * time.Second, Settle: 2 * time.Second, Beat: 20 * time.Second,
		Arrivals: Poisson, Order: OrderRoom, Echo: EchoYes, Seed: 1,
		Open: Rate{Max: true}, Memory: MemoryQuick, MaxAge: 60 * time.Second, Across: AcrossRooms, Publish: PublishAll,
	}
}

// Names returns the names of the scenarios in the binary.
func Names() []string {
	entries, err := fs.ReadDir(files, "files")
	if err != nil {
		panic(err) // cannot happen: the folder is embedded in the binary
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// Text returns the text of the file of a scenario in the binary.
func Text(name string) ([]byte, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("unknown scenario %q: write one of %s, or the path of a .yaml or .yml file",
			name, strings.Join(Names(), ", "))
	}
	return files.ReadFile(path.Join("files", name+".yaml"))
}

// Load reads the scenario file with this name if it ends in .yaml or .yml, or
// else the scenario of the binary with this name.
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

// Limits of Sizes in bytes. A size is the size of the whole JSON message. The
// smallest size has just enough room for the stamp.
const (
	MinSize = 32
	MaxSize = 128 << 10
)
