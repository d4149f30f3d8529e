package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/folder"
)

// Load reads a result. path is a result.json, or a folder that has one. An
// error of Load is one line and names the file.
func Load(path string) (*Result, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "result.json")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, cli.Failf(cli.Usage, "%w", err)
	}
	// Check the schema first, because a result with another schema may not be
	// parsed into a Result.
	var head struct {
		Schema  int    `json:"schema"`
		Program string `json:"program"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, cli.Failf(cli.Usage, "%s: is not a result of dotsbench (%w); repeat the run", path, err)
	}
	if head.Program != "dotsbench" {
		return nil, cli.Failf(cli.Usage, "%s: is not a result of a run of dotsbench", path)
	}
	if head.Schema < 1 || head.Schema > Schema {
		return nil, cli.Failf(cli.Usage, "%s: unknown schema %d; this dotsbench reads 1 to %d", path, head.Schema, Schema)
	}
	r := &Result{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, cli.Failf(cli.Usage, "%s: is not a result of dotsbench (%w); repeat the run", path, err)
	}
	return r, nil
}

// Write creates the folder dir with all files of the result, and with the files
// in more, which other packages make. The folder appears with all of its files
// or not at all.
func (r *Result) Write(dir string, more ...folder.File) error {
	if err := folder.MakePlace(dir); err != nil {
		return err
	}
	files := []folder.File{
		{Name: "result.json", Write: r.JSON}, {Name: "latency.hlog", Write: r.hlog}, {Name: "seconds.csv", Write: r.csv},
		{Name: "bench.txt", Write: r.BenchText}, {Name: "table.txt", Write: r.Table},
	}
	return folder.Write(dir, append(files, more...), nil)
}

// JSON writes the text of result.json.
func (r *Result) JSON(w io.Writer) error { return folder.JSON(w, r) }

func (r *Result) hlog(w io.Writer) error {
	lw := hdrhistogram.NewHistogramLogWriter(w)
	err := lw.OutputComment("[latency in microseconds from the intended time, one line per second; the lines of the warm-up are empty]")
	err = errors.Join(err, lw.OutputLogFormatVersion())
	if len(r.Histograms.Interval) > 0 {
		start := r.Histograms.Interval[0].Start.UnixMilli()
		err = errors.Join(err, lw.OutputStartTime(start))
		lw.SetBaseTime(start)
		err = errors.Join(err, lw.OutputBaseTime(start))
	}
	err = errors.Join(err, lw.OutputLegend())
	for _, i := range r.Histograms.Interval {
		i.Latency.SetStartTimeMs(i.Start.UnixMilli())
		i.Latency.SetEndTimeMs(i.Start.UnixMilli() + 1000)
		err = errors.Join(err, lw.OutputIntervalHistogram(i.Latency))
	}
	return err
}

func (r *Result) csv(w io.Writer) error {
	var b strings.Builder
	b.WriteString("t,warmup,sent,delivered,p50_us,p99_us,max_us,server_cpus,server_rss_bytes,generator_thread_cpu_share\n")
	for _, s := range r.Seconds {
		fmt.Fprintf(&b, "%d,%t,%d,%d,%d,%d,%d,%.3f,%d,%.3f\n",
			s.T, s.Warmup, s.Sent, s.Delivered, s.P50, s.P99, s.Max, s.ServerCPU, s.ServerRSS, s.ThreadCPU)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// BenchText writes the run in the format of Go's benchmarks, for benchstat. It
// writes a header and one line, so that the files of several runs can be
// joined.
func (r *Result) BenchText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "goos: linux\ngoarch: %s\npkg: dotsconnect/bench\ncpu: %s\n", r.Machine.Arch, r.Machine.CPU)
	name := strings.Map(func(c rune) rune {
		if c == ' ' || c == '/' || c == '-' {
			return '_'
		}
		return c
	}, r.Name)
	fmt.Fprintf(&b, "Benchmark/%s/conns=%s %d", name, r.Scenario["conns"], max(r.Traffic.Delivered, 1))
	put := func(v float64, unit string) {
		fmt.Fprintf(&b, " %s %s", strconv.FormatFloat(v, 'g', 6, 64), unit)
	}
	if r.Latency.Count > 0 {
		put(float64(r.Latency.P50), "p50-us")
		put(float64(r.Latency.P99), "p99-us")
		put(r.Traffic.DeliveredRate, "deliveries/s")
	}
	if s := r.Server; s != nil {
		if s.CPUPerDelivery > 0 {
			put(s.CPUPerDelivery, "server-us/delivery")
		}
		put(s.BytesPerConn, "server-B/conn")
	}
	put(float64(r.Proof.Sum()), "violations")
	_, err := io.WriteString(w, b.String()+"\n")
	return err
}
