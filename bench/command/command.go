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
  dotsbench floor          what the kernel alone takes to send and receive a frame on this machine
  dotsbench selftest       prove the generator by servers whose faults are known

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
	return []command{{"run", runCommand}, {"floor", floorCommand}, {"selftest", selftestCommand}}
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
