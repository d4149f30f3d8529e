// Package scenario says what a run does: how many connections in which rooms
// send how much for how long. A scenario is a flat YAML file; each line of it is
// a flag of "dotsbench run" too, and both are read by the one table in fields.go,
// so that they cannot come to mean different things.
package scenario

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
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
}

// Values of Spread and Order.
const (
	Even = "even"
	Zipf = "zipf"

	OrderRoom   = "room"
	OrderSender = "sender"
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

// Validate says what does not fit together.
func (s *Scenario) Validate() error {
	switch {
	case s.Conns < 1:
		return fmt.Errorf("conns: %d, and at least 1 is needed", s.Conns)
	case s.Rooms < 1 || s.Rooms > s.Conns:
		return fmt.Errorf("rooms: %d, and there must be 1 to conns (%d)", s.Rooms, s.Conns)
	case s.Burst < 1:
		return fmt.Errorf("burst: %d, and at least 1 is needed", s.Burst)
	case s.Duration < time.Second:
		return fmt.Errorf("duration: %v, and at least 1s is needed", s.Duration)
	case s.Warmup < 0 || s.Settle < 0 || s.Beat < 0:
		return errors.New("warmup, settle and beat must not be negative")
	case s.Rate.PerSecond*(s.Duration+s.Warmup).Seconds() > math.MaxUint32/2:
		return fmt.Errorf("rate: %s is more messages than a run can number", s.Rate)
	}
	for _, n := range s.Sizes {
		if n < MinSize || n > MaxSize {
			return fmt.Errorf("size: %d, and a message takes %d to %d bytes (the stamp needs the first)", n, MinSize, MaxSize)
		}
	}
	return nil
}

// Limits of Sizes: the whole JSON message. The least holds the stamp.
const (
	MinSize = 64
	MaxSize = 128 << 10
)
