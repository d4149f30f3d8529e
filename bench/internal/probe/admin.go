package probe

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Go has figures of the Go runtime of a server, from the server's debug pages.
type Go struct {
	Goroutines   int64 `json:"goroutines"`
	HeapAlloc    int64 `json:"heap_alloc_bytes"`
	HeapInuse    int64 `json:"heap_inuse_bytes"`
	HeapReleased int64 `json:"heap_released_bytes"`
	StackInuse   int64 `json:"stack_inuse_bytes"`
	NumGC        int64 `json:"collections"`
}

// Admin reads the debug pages (net/http/pprof) and metrics of a server.
type Admin struct {
	base   string
	client http.Client
}

// NewAdmin makes an Admin for the pages below the URL base. Each request uses a
// new connection, so that the server has no open connection to us when its
// descriptors are counted.
func NewAdmin(base string) *Admin {
	return &Admin{strings.TrimSuffix(base, "/"), http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true},
	}}
}

// GC runs three garbage collections in the server. One collection is not
// enough: objects in a sync.Pool survive it, and memory of objects with
// finalizers is freed only by the next collection.
func (a *Admin) GC() error {
	for range 3 {
		if err := a.get("/debug/pprof/heap?gc=1", nil); err != nil {
			return err
		}
	}
	return nil
}

// Read reads the figures from the debug pages.
func (a *Admin) Read() (Go, error) {
	var g Go
	// The first line of the page has the number of goroutines. Their stacks
	// follow and are ignored.
	err := a.get("/debug/pprof/goroutine?debug=1", func(line string) {
		if n, ok := strings.CutPrefix(line, "goroutine profile: total "); ok {
			g.Goroutines, _ = strconv.ParseInt(n, 10, 64)
		}
	})
	if err != nil {
		return g, err
	}
	into := map[string]*int64{"HeapAlloc": &g.HeapAlloc, "HeapInuse": &g.HeapInuse,
		"HeapReleased": &g.HeapReleased, "NumGC": &g.NumGC}
	err = a.get("/debug/pprof/heap?debug=1", func(line string) {
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "# "), " = ")
		if p := into[name]; ok && p != nil {
			*p, _ = strconv.ParseInt(value, 10, 64)
		} else if ok && name == "Stack" {
			inuse, _, _ := strings.Cut(value, " / ")
			g.StackInuse, _ = strconv.ParseInt(inuse, 10, 64)
		}
	})
	if err == nil && (g.Goroutines == 0 || g.HeapAlloc == 0) {
		err = fmt.Errorf("%s/debug/pprof/ is not the page of a Go server", a.base)
	}
	return g, err
}

// Counters returns the values of metrics from the page /metrics, which has the
// Prometheus text format. If a metric has several series, it adds them up.
func (a *Admin) Counters(names ...string) ([]float64, error) {
	sums, seen := make([]float64, len(names)), make([]bool, len(names))
	err := a.get("/metrics", func(line string) {
		for i, name := range names {
			rest, ok := strings.CutPrefix(line, name)
			if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
				continue
			}
			value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
			if err == nil {
				sums[i], seen[i] = sums[i]+value, true
			}
		}
	})
	for i, name := range names {
		if err == nil && !seen[i] {
			err = fmt.Errorf("%s/metrics has no %s", a.base, name)
		}
	}
	return sums, err
}

func (a *Admin) get(path string, line func(string)) error {
	resp, err := a.client.Get(a.base + path)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s%s: HTTP %s", a.base, path, resp.Status)
	}
	if line == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20) // a long line has the pauses of the last 256 garbage collections
	for lines.Scan() {
		line(lines.Text())
	}
	return lines.Err()
}
