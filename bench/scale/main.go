// Command scale shows that a server holds very many connections and that each
// of them gets the broadcasts of its room. A process cannot have more sockets
// than its limit of open files, which is fixed on many machines. So the server
// and the generator run in a small virtual machine. "scale lab" boots it with
// bench/scale-lab.sh, and "scale generate" is the generator in it.
//
// Counts and bytes in the virtual machine are the same as on a real Linux
// machine. The CPU of the virtual machine is emulated and slow, so times only
// show how long a run takes.
package main

import (
	"errors"
	"flag"
	"io"
	"os"

	"dotsconnect/bench/internal/cli"
)

const about = `scale: hold very many connections in a small virtual machine, and broadcast to every room.

  scale lab --conns 250000     boot the machine, run server and generator in it, print the table
  scale generate --url ws://127.0.0.1:8080 --conns 250000
                               run only the generator, against a running server

See "scale lab --help" and "scale generate --help".

` + cli.ExitText

func main() {
	os.Exit(cli.Exit(os.Stderr, "scale", run(os.Args[1:], os.Stdout, os.Stderr)))
}

func run(args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return cli.Failf(cli.Usage, "no command: write lab or generate (see --help)")
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
	return cli.Failf(cli.Usage, "unknown command %q: write lab or generate (see --help)", args[0])
}
