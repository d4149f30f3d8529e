package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The memory of the guest's kernel is everything except free memory, caches and
// the memory of programs. Free pages in lists of a CPU must count as free.
func TestSnapshotTellsTheKernelsMemoryFromThePrograms(t *testing.T) {
	awk, err := exec.LookPath("awk")
	if err != nil {
		t.Skip("no awk here; the guest has its own")
	}
	args := []string{"-v", "event=mark", "-v", "name=idle", "-v", "base=1000 200 5000 1", "-f", "guest/snapshot.awk"}
	for _, f := range []struct{ name, text string }{
		{"uptime", "31.33 12.00\n"},
		{"meminfo", "MemTotal: 100000 kB\nMemFree: 40000 kB\nMemAvailable: 50000 kB\nBuffers: 100 kB\nCached: 900 kB\nAnonPages: 20000 kB\nSlab: 9000 kB\n"},
		{"zoneinfo", "Node 0, zone DMA32\n  pages free 10000\n  pagesets\n    cpu: 0\n              count: 300\n              high: 378\n    cpu: 1\n              count: 200\n"},
		{"sockstat", "sockets: used 2003\nTCP: inuse 2002 orphan 0 tw 7 alloc 2003 mem 3\n"},
		{"1/status", "Name:\tserver\nVmRSS:\t   11000 kB\nThreads:\t9\n"},
		{"2/status", "Name:\tgenerator\nVmRSS:\t    1200 kB\nThreads:\t5\n"},
	} {
		file := filepath.Join(t.TempDir(), f.name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(f.text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	out, err := exec.Command(awk, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got struct {
		snapshot
		Kernel int64 `json:"kernel_kb"`
		Slab   int64 `json:"slab_kb"`
		TCP    int64 `json:"tcp_mem_kb"`
		Free   int64 `json:"free_kb"`
	}
	var per snapshot
	for _, into := range []any{&got, &per} {
		if err := json.Unmarshal(out, into); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
	}
	const kernel = 100000 - 40000 - 500*4 - 100 - 900 - 20000
	if got.Kernel != kernel || got.Slab != 9000 || got.TCP != 12 || got.Free != 42000 {
		t.Errorf("got %+v in %s", got, out)
	}
	want := snapshot{Name: "idle", Pairs: 1001, ServerKB: 11000, Server: 10000 * 1024 / 1000, Kernel: (kernel - 5000) * 1024 / 1000, Generator: 1024}
	if per != want {
		t.Errorf("got %+v, want %+v", per, want)
	}
}
