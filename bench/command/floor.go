package command

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"dotsconnect/bench/floor"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
	"dotsconnect/bench/scenario"
)

const floorAbout = `floor: the least CPU time that the kernel of this machine needs to pass a frame to each of N loopback sockets.

  dotsbench floor --size 128 --sockets 1000 --frames 1,2,4,8,16,32

One thread sends one frame, or several in one sendto, to each socket, and then receives the data of each socket with one
recv. Both figures are CPU time per frame. No server that writes to sockets can deliver a frame for less CPU time.

With --apart a second thread on another CPU receives and never sleeps, and there is a pause between two rounds. These are
the conditions of a server that has a CPU of its own and sends one message at a time (dotsbench run giant --pin).`

// floorResult is the JSON object that --json prints.
type floorResult struct {
	Schema  int            `json:"schema"`
	Machine result.Machine `json:"machine"`
	Size    int            `json:"message_bytes"`
	Frame   int            `json:"frame_bytes"`
	Sockets int            `json:"sockets"`
	Rows    []floor.Row    `json:"rows"`
}

func floorCommand(args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("floor", flag.ContinueOnError)
	size := fs.String("size", "128", "`BYTES` of a message, such as 128 or 4k, without the frame header")
	sockets := fs.String("sockets", "1000", "`N` sockets; each takes two descriptors")
	frames := fs.String("frames", "1,2,4,8,16,32", "`N,N…` frames in one send call")
	span := fs.Duration("time", 500*time.Millisecond, "`TIME` for each row, such as 500ms")
	apart := fs.Bool("apart", false, "receive on another CPU")
	gap := fs.Duration("gap", 20*time.Millisecond, "`TIME` between two rounds, with --apart")
	asJSON := fs.Bool("json", false, "print one JSON object")
	if err := cli.Parse(fs, args, stdout, floorAbout); err != nil {
		return err
	}
	cfg := floor.Config{Time: *span}
	var err error
	if cfg.Size, err = scenario.ParseBytes(*size); err != nil || cfg.Size < 1 || cfg.Size > 64<<10 {
		return cli.Failf(cli.Usage, "--size %q: write a size from 1 to 64k bytes", *size)
	}
	if cfg.Sockets, err = scenario.ParseCount(*sockets); err != nil || cfg.Sockets < 1 {
		return cli.Failf(cli.Usage, "--sockets %q: write a number such as 1000 or 2k", *sockets)
	}
	for word := range strings.SplitSeq(*frames, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 1 || n > 1024 {
			return cli.Failf(cli.Usage, "--frames %q: write numbers from 1 to 1024, as in 1,8,32", *frames)
		}
		cfg.Frames = append(cfg.Frames, n)
	}
	gapGiven := false
	fs.Visit(func(f *flag.Flag) { gapGiven = gapGiven || f.Name == "gap" })
	switch {
	case *span <= 0:
		return cli.Failf(cli.Usage, "--time %v: must be positive", *span)
	case *gap < 0:
		return cli.Failf(cli.Usage, "--gap %v: must not be negative", *gap)
	case gapGiven && !*apart:
		return cli.Failf(cli.Usage, "--gap: has an effect only with --apart")
	}
	progress := cli.NewProgress(stderr)
	rows, err := measureFloor(cfg, *apart, *gap, progress)
	progress.Clear()
	if err != nil {
		return err
	}
	r := floorResult{1, result.ReadMachine(), cfg.Size, floor.FrameBytes(cfg.Size), cfg.Sockets, rows}
	if *asJSON {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	return floorTable(stdout, r)
}

func measureFloor(cfg floor.Config, apart bool, gap time.Duration, progress *cli.Progress) (rows []floor.Row, err error) {
	if !apart {
		return floor.Measure(cfg, progress)
	}
	pin, err := runner.NewPin()
	if err != nil {
		return nil, cli.Failf(cli.Usage, "--apart: %w", err)
	}
	cfg.Reader, cfg.Gap = &pin.Others, gap
	err = pin.OnServer(func() error {
		rows, err = floor.Measure(cfg, progress)
		return err
	})
	return rows, err
}

func floorTable(w io.Writer, r floorResult) error {
	_, _ = fmt.Fprintf(w, "%s sockets, frames of %d bytes (message %d); %s, Linux %s\n", cli.Count(r.Sockets), r.Frame, r.Size,
		r.Machine.CPU, r.Machine.Kernel)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "frames a send\tsend, CPU ns a frame\treceive, CPU ns a frame\tsend, ns a call\treceive, ns a call\trounds\t")
	for _, row := range r.Rows {
		_, _ = fmt.Fprintf(t, "%d\t%.0f\t%.0f\t%.0f\t%.0f\t%d\t\n",
			row.Frames, row.SendNs, row.ReceiveNs, row.SendCallNs, row.ReceiveCalls, row.Rounds)
	}
	return t.Flush()
}
