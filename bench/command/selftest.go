package command

import (
	"flag"
	"io"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/selftest"
)

const selftestAbout = `selftest: proves the load generator by servers whose faults are known; takes about 30 seconds.

  headroom   against a server that only relays, the generator could take twice the deliveries of scenario rooms
  stall      a server that stands still for one second of five shows in p90
  injected   one drop, one double and one swap are each found, and nothing else

Exit 1: a fault was not found. Exit 3: this machine is too slow for the generator.`

func selftestCommand(args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("selftest", flag.ContinueOnError)
	if err := cli.Parse(fs, args, stdout, selftestAbout); err != nil {
		return err
	}
	return selftest.Run(selftest.Config{Progress: cli.NewProgress(stderr)}, stdout)
}
