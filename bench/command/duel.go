package command

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"dotsconnect/bench/adapter"
	"dotsconnect/bench/duel"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
)

const duelAbout = `duel: is server B better than server A, or is that noise?

  dotsbench duel "./old --listen 127.0.0.1:{port}" "./new --listen 127.0.0.1:{port}" rooms
  dotsbench duel "dotsd --listen 127.0.0.1:{port} --admin=" "other -p {port}" echo --url-b ws://x/chat/{room} --rounds 11 --pin
  dotsbench duel "dotsd --listen 127.0.0.1:{port} --admin=" bench/peers/peers.yaml:gws rooms
  dotsbench duel "$CMD" "$CMD" rooms --conns 200 --rooms 25 --duration 2s     a server against itself: no difference

Each run has a fresh server. Runs alternate, A B B A, and the runs of a round have one seed. Of each figure there are the
medians, their spread (distance of the quartiles), and the ratio B/A with its 95 % interval by a bootstrap of the rounds.
A also runs against itself: that is the noise floor, and takes half as much time again. There is "no difference" when
the interval holds 1, or when B is no farther from A than A may be from itself.

INVALID runs are repeated. If they remain, their times never count and their CPU does; a figure with too few valid rounds
is said to have no answer, which is exit 3. A broken promise (4) or a death (5) ends the duel and names the side.
The verdict itself is no error: exit 0 whoever is better.`

func duelCommand(args []string, stdout, stderr io.Writer) error {
	cfg, err := parseDuel(args, stdout)
	if err != nil {
		return err
	}
	cfg.Progress = cli.NewProgress(stderr)
	cfg.Run = func(spec runner.Spec) (*result.Result, error) {
		r, err := spec.Run()
		if err == nil && cfg.Out != "" {
			err = result.MakePlace(cfg.Out)
		}
		return r, err
	}
	report, err := duel.Fight(*cfg)
	if report == nil {
		return err
	}
	if err := report.Table(stdout); err != nil {
		return err
	}
	if cfg.Out != "" {
		_, _ = fmt.Fprintf(stdout, "written to %s\n", cfg.Out)
	}
	return err
}

func parseDuel(args []string, stdout io.Writer) (*duel.Config, error) {
	var f runFlags
	cfg := &duel.Config{}
	fs := flag.NewFlagSet("duel", flag.ContinueOnError)
	fs.IntVar(&cfg.Rounds, "rounds", duel.MinRounds, "`N` runs of each server")
	quick := fs.Bool("quick", false, "take less than 7 rounds too, and warn that they prove little")
	fs.BoolVar(&cfg.Noise, "noise", true, "run A against itself too; --noise=false spares the time")
	fs.IntVar(&cfg.Repeats, "repeats", -1, "`N` INVALID runs are repeated, in all; by default until the duel has taken twice the time")
	fs.StringVar(&cfg.Out, "out", "", "`DIR` to make, with duel.json, table.txt and the folder of each run")
	fs.StringVar(&f.spec.URL, "url", "", "`ws://HOST:PORT/PATH` of which PATH counts, as in run; ws://x/ws/chat/{room}/ is the default")
	urlB := fs.String("url-b", "", "the same for B, if it has another `PATH`")
	f.generator(fs)
	f.fields(fs)
	words, err := cli.ParseWords(fs, args, stdout, duelAbout)
	if err != nil {
		return nil, err
	}
	if len(words) != 3 {
		return nil, cli.Failf(cli.Usage, "want two server commands and a scenario, got %d words (see --help)", len(words))
	}
	if err := f.complete(words[2]); err != nil {
		return nil, err
	}
	if err := checkRounds(cfg, *quick); err != nil {
		return nil, err
	}
	cfg.Spec = f.spec
	if *urlB == "" {
		*urlB = f.spec.URL
	}
	if cfg.A, err = serverOf("A", words[0], f.spec.URL); err != nil {
		return nil, err
	}
	if cfg.B, err = serverOf("B", words[1], *urlB); err != nil {
		return nil, err
	}
	return cfg, checkOut(cfg.Out)
}

// serverOf reads a side: a command, or an adapter.
func serverOf(side, text, url string) (duel.Server, error) {
	if strings.Contains(text, "{port}") {
		return duel.Server{Name: text, Set: func(spec *runner.Spec) { spec.ServerCmd, spec.URL = text, url }}, nil
	}
	file, _, _ := strings.Cut(text, ":")
	if !strings.HasSuffix(file, ".yaml") && !strings.HasSuffix(file, ".yml") {
		return duel.Server{}, cli.Failf(cli.Usage, "%s %q: want a server's command with {port}, or an adapter such as peers.yaml:gws", side, text)
	}
	a, err := adapter.Find(text)
	if err != nil {
		return duel.Server{}, cli.Failf(cli.Usage, "%s: %w", side, err)
	}
	return duel.Server{Name: text, Set: func(spec *runner.Spec) { spec.Adapter, spec.URL = &a, "" }}, nil
}

func checkRounds(cfg *duel.Config, quick bool) error {
	switch {
	case cfg.Rounds < duel.MinQuick || cfg.Rounds > duel.MaxRounds:
		return cli.Failf(cli.Usage, "--rounds %d: want %d to %d", cfg.Rounds, duel.MinRounds, duel.MaxRounds)
	case cfg.Rounds < duel.MinRounds && !quick:
		return cli.Failf(cli.Usage, "--rounds %d: less than %d prove little; add --quick to do it all the same", cfg.Rounds, duel.MinRounds)
	case cfg.Repeats < -1:
		return cli.Failf(cli.Usage, "--repeats %d: must not be negative", cfg.Repeats)
	case cfg.Repeats == -1:
		cfg.Repeats = cfg.Rounds * 2
		if cfg.Noise {
			cfg.Repeats = cfg.Rounds * 3
		}
	}
	return nil
}
