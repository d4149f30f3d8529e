package result

import (
	"bytes"
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
)

// CheckOut checks before a run that Write will be able to create the folder
// dir. It creates a temporary folder in the nearest existing parent folder of
// dir, and removes it again.
func CheckOut(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return cli.Failf(cli.Usage, "--out %s: exists already; name a new folder, or remove this one", dir)
	} else if !errors.Is(err, os.ErrNotExist) {
		return cli.Failf(cli.Usage, "--out: %w", err)
	}
	place := filepath.Dir(filepath.Clean(dir))
	for ; place != filepath.Dir(place); place = filepath.Dir(place) {
		if _, err := os.Stat(place); err == nil {
			break
		}
	}
	temp, err := os.MkdirTemp(place, "."+filepath.Base(dir)+".*")
	if err != nil {
		return cli.Failf(cli.Usage, "--out: %w", err)
	}
	if err := os.Remove(temp); err != nil {
		return cli.Failf(cli.Usage, "--out: %w", err)
	}
	return nil
}

// MakePlace creates the parent folders of dir. Call it only when there are
// files to write, so that a command that fails leaves no empty folder behind.
func MakePlace(dir string) error {
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(dir)), 0o755); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}

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

// File is a file in the folder of a run.
type File struct {
	Name  string
	Write func(w io.Writer) error
}

// Write creates the folder dir with all files of the result, and with the files
// in more, which other packages make. The folder appears with all of its files
// or not at all.
func (r *Result) Write(dir string, more ...File) (err error) {
	dir = filepath.Clean(dir)
	if err := MakePlace(dir); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".*")
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	files := []File{
		{"result.json", r.JSON}, {"latency.hlog", r.hlog}, {"seconds.csv", r.csv},
		{"bench.txt", r.BenchText}, {"table.txt", func(w io.Writer) error { return r.Table(w) }},
	}
	for _, f := range append(files, more...) {
		var b bytes.Buffer
		if err := f.Write(&b); err != nil {
			return fmt.Errorf("--out: %s: %w", f.Name, err)
		}
		if err := os.WriteFile(filepath.Join(temp, f.Name), b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if err := os.Rename(temp, dir); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}

// JSON writes the text of result.json.
func (r *Result) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

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
