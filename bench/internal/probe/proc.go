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

// ReadProc reads the figures of a process.
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

// entries counts the entries of a folder, a few names at a time: a process
// that measures its own memory must not hold 15,000 names.
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

// RSS is the resident memory of a process, 0 if it has ended. Reading statm
// costs the process nothing, unlike smaps_rollup.
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

// Anonymous is the resident memory of a process that is not backed by a file.
func Anonymous(pid int) int64 {
	status, err := fields("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	return status["RssAnon"] * 1024
}

// fields reads the numbers of a file of lines "Name: 123 kB".
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

// A Go server gives freed pages back in the background, over seconds. RSS
// counts as settled when it stays within settledBytes over settledSamples
// samples.
const (
	settledSamples = 9
	settledEvery   = 250 * time.Millisecond
	settledBytes   = 64 << 10
)

// ErrUnsettled means that memory was still changing at the end of the wait.
var ErrUnsettled = errors.New("RSS did not settle")

// Settle waits until the RSS of a process is stable and returns it. After the
// limit it returns the last RSS and ErrUnsettled. The caller provides the
// wait, because it may have a loop to run meanwhile.
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
