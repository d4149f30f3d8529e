package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"
)

const mib = 1 << 20

// testMemory has members that join and never read. It measures the memory that the server holds for them in two ways: by the
// growth of the server's live heap (after a garbage collection), and by the server's own metric.
func (p programs) testMemory(t *testing.T) {
	for _, row := range []struct {
		name           string
		members, rooms int
		messages, size int
		args           []string
		limit          float64 // the live heap may have at most this number of MiB
		holds          bool    // the metric must show at least 32 MiB, and must agree with the heap
		dies           bool    // the process must end when it exceeds its memory at rest by 64 MiB
	}{
		{name: "a hot room", members: 2000, rooms: 1, messages: 100, size: 65500, limit: 1.25 * 64},
		{name: "many members and messages", members: 9000, rooms: 1, messages: 250, size: 65500, limit: 1.25 * 64},
		{
			name: "one message of 16 MB", members: 40, rooms: 1, messages: 1, size: 16<<20 - 100, limit: 1.25 * 64,
			args: []string{"--max-message=16MiB", "--backlog-hard=17MiB", "--backlog-soft=17MiB", "--inbox-limit=17MiB"},
		},
		{name: "a room for each", members: 2000, rooms: 2000, messages: 2000 * 6, size: 65500, limit: 1.25 * 64, holds: true},
		{name: "a memory cgroup", members: 2000, rooms: 1, messages: 56, size: 60000, limit: 64, dies: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			group := memoryGroup(t)
			d := p.serveUnder(t, group.enter(), append([]string{"--backlog-time=1h", "--max-age=1h", "--drain-time=0s"}, row.args...)...)
			d.neverRead(row.members, row.rooms)
			idle, rest := d.liveHeap(), d.resident()
			d.forgetPeak()
			if row.dies {
				group.limit(rest + 64*mib)
			}
			var most, held, heapThen float64
			look := func() {
				heap, says := d.liveHeap()-idle, d.metric("dots_backlog_held_bytes")
				most = max(most, heap)
				if says > held {
					held, heapThen = says, heap
				}
			}
			for i := range row.messages {
				d.publish("room"+itoa(i%row.rooms), row.size)
				if i%max(1, row.messages/20) == 0 {
					look()
				}
			}
			look()
			t.Logf("%d members in %d rooms, %d messages of %d bytes: at most %.1f MiB of live heap over %.1f, said to hold at most %.1f (heap then %.1f), resident %.0f -> %.0f MiB",
				row.members, row.rooms, row.messages, row.size, most/mib, idle/mib, held/mib, heapThen/mib, float64(rest)/mib, float64(d.peak())/mib)
			if most > row.limit*mib {
				t.Errorf("%.1f MiB of live heap, want at most %.1f", most/mib, row.limit)
			}
			if row.holds && (held < 32*mib || held < 0.8*heapThen || held > 1.2*heapThen) {
				t.Errorf("said to hold %.1f MiB while the heap had %.1f, want the same within 20 %% and over 32", held/mib, heapThen/mib)
			}
			if over := d.peak() - rest; row.dies && over > 64*mib {
				t.Errorf("resident memory grew by %d MiB, want at most 64", over/mib)
			}
			d.terminate()
		})
	}
}

// neverRead makes members that read nothing after the handshake. Their sockets have the smallest possible buffers.
func (d *daemon) neverRead(members, rooms int) {
	d.t.Helper()
	var wait sync.WaitGroup
	for part := range 8 {
		wait.Go(func() {
			for i := part; i < members; i += 8 {
				m, err := d.dial(true)
				if err != nil {
					d.t.Error(err)
					return
				}
				d.t.Cleanup(func() { _ = m.Close() })
				if status, err := m.ask("room" + itoa(i%rooms)); status != http.StatusSwitchingProtocols {
					d.t.Errorf("member %d: HTTP %d, %v, want 101", i, status, err)
					return
				}
			}
		})
	}
	wait.Wait()
	if d.t.Failed() {
		d.t.FailNow()
	}
}

// publish publishes a message through the API. While the room makes publishers wait, it tries again.
func (d *daemon) publish(room string, size int) {
	d.t.Helper()
	body := fmt.Sprintf(`{"message":"%s"}`, bytes.Repeat([]byte("x"), size-14))
	for deadline := time.Now().Add(2 * patience); ; {
		answer, err := http.Post("http://"+d.start.Admin+"/api/rooms/chat/"+room+"/messages", "application/json", bytes.NewReader([]byte(body)))
		if err != nil {
			d.t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		switch {
		case answer.StatusCode == http.StatusAccepted:
			return
		case answer.StatusCode != http.StatusServiceUnavailable || time.Now().After(deadline):
			d.t.Fatalf("publish: HTTP %d: %s", answer.StatusCode, text)
		}
	}
}

func (d *daemon) get(path string) string {
	d.t.Helper()
	answer, err := http.Get("http://" + d.start.Admin + path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		d.t.Fatalf("GET %s: HTTP %d, %v", path, answer.StatusCode, err)
	}
	return string(text)
}

// number returns the number that follows the first match of a pattern.
func (d *daemon) number(text, pattern string) float64 {
	d.t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if match == nil {
		d.t.Fatalf("no %s", pattern)
	}
	n, err := strconv.ParseFloat(match[1], 64)
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}

// liveHeap returns the bytes of the heap that are left after a garbage collection.
func (d *daemon) liveHeap() float64 {
	d.t.Helper()
	return d.number(d.get("/debug/pprof/heap?gc=1&debug=1"), `# HeapAlloc = (\d+)`)
}

func (d *daemon) metric(name string) float64 {
	d.t.Helper()
	return d.number(d.get("/metrics"), `(?m)^`+name+` (\S+)$`)
}

// resident and peak return the current and the highest resident memory of the process, in bytes (proc(5)).
func (d *daemon) resident() int { return d.status("VmRSS") }
func (d *daemon) peak() int     { return d.status("VmHWM") }

// forgetPeak resets the peak to the current memory.
func (d *daemon) forgetPeak() {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join("/proc", itoa(d.cmd.Process.Pid), "clear_refs"), []byte("5"), 0); err != nil {
		d.t.Fatal(err)
	}
}

// cgroup is a memory cgroup (version 1, which counts the memory of a process without its sockets). Its folder is empty if there
// are no such cgroups, or if this user may not make one. The resident memory is checked in any case.
type cgroup struct {
	t      *testing.T
	folder string
}

func memoryGroup(t *testing.T) cgroup {
	t.Helper()
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	path := regexp.MustCompile(`(?m)^\d+:memory:(.*)$`).FindSubmatch(text)
	if path == nil {
		return cgroup{t: t}
	}
	folder, err := os.MkdirTemp(filepath.Join("/sys/fs/cgroup/memory", string(path[1])), "dotsd-test")
	if err != nil {
		t.Log("no memory cgroup: ", err)
		return cgroup{t: t}
	}
	t.Cleanup(func() {
		if err := os.Remove(folder); err != nil {
			t.Error(err)
		}
	})
	return cgroup{t, folder}
}

// enter returns the command with which a shell enters the cgroup.
func (g cgroup) enter() string {
	if g.folder == "" {
		return ""
	}
	return "echo $$ >" + filepath.Join(g.folder, "cgroup.procs")
}

// limit makes the kernel kill a process of the cgroup that takes more than the given memory.
func (g cgroup) limit(bytes int) {
	g.t.Helper()
	if g.folder == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(g.folder, "memory.limit_in_bytes"), []byte(itoa(bytes)), 0); err != nil {
		g.t.Fatal(err)
	}
}

func (d *daemon) status(field string) int {
	d.t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", itoa(d.cmd.Process.Pid), "status"))
	if err != nil {
		d.t.Fatal(err)
	}
	return int(d.number(string(text), `(?m)^`+field+`:\s+(\d+) kB$`)) << 10
}

// testHalfFrames has members that send all but the last byte of the largest message, in pieces, and then stop.
func (p programs) testHalfFrames(t *testing.T) {
	const members, message, pieces = 500, 64 << 10, 15
	d := p.serve(t, "--max-age=1h", "--frame-timeout=1h", "--drain-time=0s")
	all := d.joined(members, "half")
	d.echoes(all)
	rest, read := d.resident(), d.metric("dots_read_bytes_total")
	frame := append([]byte{0x82, 0xff, 0, 0, 0, 0, 0, message >> 16, message >> 8 & 0xff, message & 0xff, 0, 0, 0, 0}, make([]byte, message-1)...)
	for i := range pieces { // the members take turns, so that the server reads each piece separately
		for _, m := range all {
			if _, err := m.Write(frame[i*len(frame)/pieces : (i+1)*len(frame)/pieces]); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Each scrape makes garbage, which counts as resident memory, so there are only few scrapes.
	for deadline := time.Now().Add(2 * patience); d.metric("dots_read_bytes_total")-read < float64(members*len(frame)); {
		if time.Now().After(deadline) {
			t.Fatal("not everything was read")
		}
		time.Sleep(200 * time.Millisecond) // polls the condition
	}
	each := (d.peak() - rest) / members
	t.Logf("all but the last byte of a message of %d bytes takes %d bytes", message, each)
	if limit := message + 8<<10; each > limit {
		t.Errorf("an incomplete message takes %d bytes, want at most %d", each, limit)
	}
	d.terminate()
}
