// Command dotsbench measures WebSocket room servers, ours or any other. See
// "dotsbench --help".
package main

import (
	"os"

	"dotsconnect/bench/command"
)

func main() {
	os.Exit(command.Main(os.Args[1:], os.Stdout, os.Stderr))
}
