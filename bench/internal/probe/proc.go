package probe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// Proc has figures of a process from /proc; sizes are in bytes.
type Proc struct {
	RSS         int64 `json:"rss_bytes"`
	Pss         int64 `json:"pss_bytes"`
	Private     int64 `json:"private_bytes"`
	Threads     int64 `json:"threads"`
	Descriptors int64 `json:"descriptors"`
}

// ReadProc reads the figures of a running process.
func ReadProc(pid int) (Proc, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	status, err := fields(dir + "/status")
	if err != nil {
		return Proc{}, err
	}
	rollup, err := fields(dir + "/smaps_rollup")
	if err != nil {
		return Proc{}, err
	}
	fds, err := entries(dir + "/fd")
	if err != nil {
		return Proc{}, err
	}
	const kB = 1024
	p := Proc{
		RSS:         status["VmRSS"] * kB,
		Pss:         rollup["Pss"] * kB,
		Private:     (rollup["Private_Clean"] + rollup["Private_Dirty"]) * kB,
		Threads:     status["Threads"],
		Descriptors: fds,
	}
	if p.RSS == 0 {
		return p, fmt.Errorf("process %d has ended", pid)
	}
	return p, nil
}

// entries counts the entries of a folder. It reads a few names at a time,
// because a process that measures its own memory must not keep 15,000 names.
func entries(path string) (int64, error) {
	d, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = d.Close() }()
	for n := int64(0); ; {
		names, err := d.Readdirnames(256)
		n += int64(len(names))
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// RSS returns the resident memory of a process, or 0 if it has ended. It reads
// statm, which does not slow down the process as smaps_rollup does.
func RSS(pid int) int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	words := strings.Fields(string(b))
	if len(words) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(words[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// Anonymous returns the part of a process's resident memory that is not mapped
// from a file.
func Anonymous(pid int) int64 {
	status, err := fields("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	return status["RssAnon"] * 1024
}

// fields returns the numbers in a file with lines such as "Name: 123 kB".
func fields(path string) (map[string]int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	m := map[string]int64{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		if words := strings.Fields(rest); len(words) > 0 {
			if v, err := strconv.ParseInt(words[0], 10, 64); err == nil {
				m[name] = v
			}
		}
	}
	return m, nil
}

// A Go server returns freed memory to the kernel in the background, which takes
// seconds. Its RSS has settled when settledSamples samples in a row differ by
// at most settledBytes.
const (
	settledSamples = 9
	settledEvery   = 250 * time.Millisecond
	settledBytes   = 64 << 10
)

// ErrUnsettled means that the RSS was still changing when the time limit of
// Settle was over.
var ErrUnsettled = errors.New("RSS did not settle")

// Settle waits until the RSS of a process has settled, and returns it. After
// the time limit it returns the last RSS and ErrUnsettled. It calls wait
// between two samples, so that the caller can serve connections meanwhile.
func Settle(pid int, limit time.Duration, wait func(time.Duration) error) (int64, error) {
	return settle(func() (int64, error) {
		if n := RSS(pid); n > 0 {
			return n, nil
		}
		return 0, fmt.Errorf("process %d has ended", pid)
	}, limit, wait)
}

func settle(read func() (int64, error), limit time.Duration, wait func(time.Duration) error) (int64, error) {
	var window []int64
	for spent := time.Duration(0); ; spent += settledEvery {
		n, err := read()
		if err != nil {
			return n, err
		}
		if window = append(window, n); len(window) > settledSamples {
			window = window[1:]
		}
		if len(window) == settledSamples && spread(window) <= settledBytes {
			return n, nil
		}
		if spent >= limit {
			return n, ErrUnsettled
		}
		if err := wait(settledEvery); err != nil {
			return n, err
		}
	}
}

func spread(v []int64) int64 {
	low, high := v[0], v[0]
	for _, x := range v {
		low, high = min(low, x), max(high, x)
	}
	return high - low
}
