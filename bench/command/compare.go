package command

import (
	"flag"
	"io"

	"dotsconnect/bench/duel"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/result"
)

const compareAbout = `compare: two results side by side.

  dotsbench compare results/before results/after
  dotsbench compare old.json new.json --threshold 'server.cpu_us_per_delivery<1.05x' --threshold 'latency.p99<1.2x'

A and B are result.json files, or folders that a run wrote. The table shows each figure of both, the ratio B/A, and
whether the figure counts. Rates and times of an INVALID run do not count; CPU and memory of the server still count. A
warning names other differences (fields of the scenario, machine, kernel). A threshold limits B/A; if its figure is
missing or does not count, the exit code is 3.
One run of each server proves little, because two runs of one server differ too. "dotsbench duel" separates a difference
from noise.`

func compareCommand(args []string, stdout, _ io.Writer) error {
	fs := flag.NewFlagSet("compare", flag.ContinueOnError)
	var texts list
	fs.Var(&texts, "threshold", "`FIGURE<NUMBERx` that B/A must keep, such as latency.p99<1.2x or rate.delivered>0.95x; can be repeated")
	words, err := cli.ParseWords(fs, args, stdout, compareAbout)
	if err != nil {
		return err
	}
	if len(words) != 2 {
		return cli.Failf(cli.Usage, "name two results, A and B, not %d (see --help)", len(words))
	}
	var limits []duel.Limit
	for _, text := range texts {
		if err := checkNumber(text); err != nil {
			return err
		}
		l, err := duel.ParseLimit(text)
		if err != nil {
			return cli.Failf(cli.Usage, "--%w", err)
		}
		limits = append(limits, l)
	}
	c := &duel.Comparison{NameA: words[0], NameB: words[1]}
	if c.A, err = result.Load(words[0]); err != nil {
		return err
	}
	if c.B, err = result.Load(words[1]); err != nil {
		return err
	}
	if err := c.Table(stdout); err != nil {
		return err
	}
	return c.Check(limits, stdout)
}
