// Scale shows that a server holds very many connections and that each of them
// gets its broadcasts. One process cannot have more sockets than its limit of
// open files, which is fixed on many machines, so server and generator run in a
// small virtual machine: "scale lab" boots it, by bench/scale-lab.sh, and
// "scale generate" is what runs inside.
//
// Counts and bytes there are those of real Linux. Times are those of an
// emulated CPU and are printed only so that nobody has to guess how long it
// takes.
package main

import (
	"errors"
	"flag"
	"io"
	"os"

	"dotsconnect/bench/internal/cli"
)

const about = `scale: hold very many connections in a small virtual machine, and send each its room's broadcasts.

  scale lab --conns 250000     boot the machine, run server and generator in it, print the table
  scale generate --url ws://127.0.0.1:8080 --conns 250000
                               the generator alone, against a server that runs

See "scale lab --help" and "scale generate --help".

` + cli.ExitText

func main() {
	os.Exit(cli.Exit(os.Stderr, "scale", run(os.Args[1:], os.Stdout, os.Stderr)))
}

func run(args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return cli.Failf(cli.Usage, "lab or generate? (see --help)")
	}
	switch args[0] {
	case "lab":
		return lab(args[1:], stdout, stderr)
	case "generate":
		return generate(args[1:], stdout)
	case "-h", "-help", "--help", "help":
		_, err := io.WriteString(stdout, about)
		return errors.Join(err, flag.ErrHelp)
	}
	return cli.Failf(cli.Usage, "no command %q: lab or generate (see --help)", args[0])
}
