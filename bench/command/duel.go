package command

import (
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"

	"dotsconnect/bench/adapter"
	"dotsconnect/bench/duel"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/folder"
	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
)

const duelAbout = `duel: is server B better than server A, or is the difference noise?

  dotsbench duel "./old --listen 127.0.0.1:{port}" "./new --listen 127.0.0.1:{port}" rooms
  dotsbench duel "dotsd --listen 127.0.0.1:{port} --admin=" "other -p {port}" echo --url-b ws://x/chat/{room} --rounds 11 --pin
  dotsbench duel "dotsd --listen 127.0.0.1:{port} --admin=" bench/peers/peers.yaml:gws rooms
  dotsbench duel "$CMD" "$CMD" rooms --conns 200 --rooms 25 --duration 2s     a server against itself: no difference

Each run has a fresh server. Runs alternate, A B B A, and all runs of a round use the same seed. For each figure the
table shows both medians, their spread (the interquartile range), and the ratio B/A with its 95 % interval from a
bootstrap over the rounds. To measure the noise, A also runs against itself, which makes the duel take half as long
again. The verdict is "no difference" if the interval contains 1, or if B differs from A no more than A may differ from
itself. Then it also says how large a difference may be that the duel would not have seen.

INVALID runs are repeated. The times of runs that remain INVALID do not count. Their CPU time counts, unless the machine was
busy. If a figure has
too few valid rounds, there is no verdict, and the exit code is 3. A broken promise (4) or a dead server (5) ends the
duel; the error names the side.
The verdict itself is not an error: the exit code is 0 whether A or B is better.`

func duelCommand(args []string, stdout, stderr io.Writer) error {
	cfg, err := parseDuel(args, stdout)
	if err != nil {
		return err
	}
	cfg.Progress = cli.NewProgress(stderr)
	cfg.Run = func(spec runner.Spec) (*result.Result, error) {
		r, err := spec.Run()
		if err == nil && cfg.Out != "" {
			err = folder.MakePlace(cfg.Out)
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
	effect := fs.String("effect", "", "go on until a difference of this `SIZE` in the CPU time would be seen, such as 5%; then --rounds is the least number")
	quick := fs.Bool("quick", false, "allow fewer than 7 rounds, and warn that they prove little")
	fs.BoolVar(&cfg.Noise, "noise", true, "also run A against itself; --noise=false saves the time that this takes")
	fs.IntVar(&cfg.Repeats, "repeats", -1, "repeat at most `N` INVALID runs in total; by default until the duel has taken twice the planned time")
	fs.StringVar(&cfg.Out, "out", "", "create `DIR` with duel.json, table.txt and a folder for each run in it")
	fs.StringVar(&f.spec.URL, "url", "", "`ws://HOST:PORT/PATH` ; only PATH is used, for A and B; default ws://x/ws/chat/{room}/")
	urlB := fs.String("url-b", "", "like --url, but for B, if the `PATH` of B differs")
	f.generator(fs)
	f.fields(fs)
	words, err := cli.ParseWords(fs, args, stdout, duelAbout)
	if err != nil {
		return nil, err
	}
	if len(words) != 3 {
		return nil, cli.Failf(cli.Usage, "name two server commands and a scenario, not %d arguments (see --help)", len(words))
	}
	if err := f.complete(words[2]); err != nil {
		return nil, err
	}
	if *effect != "" {
		digits, ok := strings.CutSuffix(*effect, "%")
		v, err := strconv.ParseFloat(digits, 64)
		if !ok || err != nil || !(v >= 0.5 && v <= 100) {
			return nil, cli.Failf(cli.Usage, "--effect %q: write a size from 0.5%% to 100%%", *effect)
		}
		cfg.Effect = v / 100
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

// serverOf parses one of the two servers of a duel: a command with {port}, or
// an adapter.
func serverOf(side, text, url string) (duel.Server, error) {
	if strings.Contains(text, "{port}") {
		return duel.Server{Name: text, Set: func(spec *runner.Spec) { spec.ServerCmd, spec.URL = text, url }}, nil
	}
	file, _, _ := strings.Cut(text, ":")
	if !strings.HasSuffix(file, ".yaml") && !strings.HasSuffix(file, ".yml") {
		return duel.Server{}, cli.Failf(cli.Usage, "%s %q: write a server's command with {port}, or an adapter such as peers.yaml:gws", side, text)
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
		return cli.Failf(cli.Usage, "--rounds %d: write a value from %d to %d", cfg.Rounds, duel.MinRounds, duel.MaxRounds)
	case cfg.Rounds < duel.MinRounds && !quick:
		return cli.Failf(cli.Usage, "--rounds %d: fewer than %d prove little; add --quick to run them anyway", cfg.Rounds, duel.MinRounds)
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
