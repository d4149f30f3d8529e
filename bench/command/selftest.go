package command

import (
	"flag"
	"io"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/selftest"
)

const selftestAbout = `selftest: test the load generator with servers whose faults are known; takes about 30 seconds.

  headroom   with a server that only relays, the generator handles at least twice the deliveries of scenario rooms
  stall      if a server stops for one second of five, p90 shows it
  injected   one lost, one doubled and one swapped message are found, and no other fault is reported

Exit 1: a fault was not found. Exit 3: this machine is too slow for the generator.`

func selftestCommand(args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("selftest", flag.ContinueOnError)
	if err := cli.Parse(fs, args, stdout, selftestAbout); err != nil {
		return err
	}
	return selftest.Run(selftest.Config{Progress: cli.NewProgress(stderr)}, stdout)
}
