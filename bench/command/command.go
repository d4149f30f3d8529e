// Package command is the command line of dotsbench: flags in, tables and exit
// codes out.
package command

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"dotsconnect/bench/internal/cli"
)

const about = `dotsbench measures a WebSocket room server, and proves that it lost, doubled, swapped and mixed up nothing.

  dotsbench run SCENARIO   send by a schedule, time every delivery from its intended time, prove every delivery
  dotsbench run --list     the scenarios
  dotsbench suite NAME     a list of scenarios, with a table at the end: smoke, full or million
  dotsbench compare A B    two results side by side
  dotsbench duel A B NAME  two servers in turns, until a difference can be told from noise
  dotsbench slices         servers that are up at once and work in turns: tells 2 to 3 % from noise
  dotsbench max SCENARIO   the highest rate at which a server keeps what is demanded of it
  dotsbench peers          our server against others, in one table
  dotsbench field FILE     any number of servers in turns, in the tables of a file: as bench/peers/redis.yaml
  dotsbench floor          what the kernel alone takes to send and receive a frame on this machine
  dotsbench selftest       prove the generator by servers whose faults are known
  dotsbench worker         a generator for another dotsbench, on this machine or another
  dotsbench report DIR     one page of HTML of runs that were made with --out

Each takes --help.

`

// Main runs dotsbench with the arguments behind its name and returns the exit
// code. Errors are one line on stderr.
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
		return cli.Failf(cli.Usage, "no command: there are %s (see --help)", names())
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
	return cli.Failf(cli.Usage, "unknown command %q: there are %s (see --help)", args[0], names())
}

func names() string {
	var all []string
	for _, c := range commands() {
		all = append(all, c.name)
	}
	return strings.Join(all, ", ")
}
