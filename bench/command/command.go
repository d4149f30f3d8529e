// Package command is the command line of dotsbench. It parses flags, runs the
// commands, prints tables, and returns exit codes.
package command

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"dotsconnect/bench/internal/cli"
)

const about = `dotsbench measures a WebSocket room server, and proves that it delivers every message once, in order and to the right room.

  dotsbench run SCENARIO   send on a schedule, measure the latency of every delivery, and check every delivery
  dotsbench run --list     list the scenarios
  dotsbench suite NAME     run the list of scenarios NAME (smoke, full or million), and print a table at the end
  dotsbench compare A B    show two results side by side
  dotsbench duel A B NAME  run two servers in turns until a difference is significant
  dotsbench slices         start all servers, measure them in short turns: detects differences of 2 to 3 %
  dotsbench max SCENARIO   find the highest rate at which a server keeps your conditions
  dotsbench peers          compare dotsd with other servers, in one table
  dotsbench field FILE     run any number of servers in turns, in the tables of a file such as bench/peers/redis.yaml
  dotsbench floor          measure the cost of the kernel alone for a frame on this machine
  dotsbench selftest       test the generator with servers whose faults are known
  dotsbench worker         generate load for another dotsbench, on this machine or on another machine
  dotsbench report DIR     write one HTML page about runs that were made with --out

Each command takes --help.

`

// Main runs dotsbench with these arguments (without the name of the program)
// and returns the exit code. It prints an error as one line to stderr.
func Main(args []string, stdout, stderr io.Writer) int {
	return cli.Exit(stderr, "dotsbench", dispatch(args, stdout, stderr))
}

type command struct {
	name string
	run  func(args []string, stdout, stderr io.Writer) error
}

func commands() []command {
	return []command{{"run", runCommand}, {"suite", suiteCommand}, {"compare", compareCommand}, {"duel", duelCommand}, {"max", maxCommand},
		{"slices", slicesCommand}, {"peers", peersCommand}, {"field", fieldCommand},
		{"floor", floorCommand}, {"selftest", selftestCommand}, {"report", reportCommand}, {"worker", workerCommand}}
}

func dispatch(args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return cli.Failf(cli.Usage, "no command: write one of %s (see --help)", names())
	}
	if slices.Contains([]string{"-h", "--help", "-help", "help"}, args[0]) {
		_, err := fmt.Fprint(stdout, about+cli.ExitText)
		return err
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(args[1:], stdout, stderr)
		}
	}
	return cli.Failf(cli.Usage, "unknown command %q: write one of %s (see --help)", args[0], names())
}

func names() string {
	var all []string
	for _, c := range commands() {
		all = append(all, c.name)
	}
	return strings.Join(all, ", ")
}
