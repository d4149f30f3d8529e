package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestProcesses runs the real programs, each in its own process: the server as users get it, and the load generators of bench.
// With -short it leaves out the long tests.
func TestProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the real programs, with thousands of connections")
	}
	p := buildPrograms(t)
	t.Run("heartbeats: silent members are kicked in time, others stay", p.testKick)
	t.Run("ten thousand idle connections", p.testIdle)
	t.Run("two hundred thousand resets beside hot rooms", p.testChurn)
	t.Run("thirty thousand connections", p.testManyGenerators)
	t.Run("Redis over TLS, with a certificate of its own", p.testRedisOverTLS)
	t.Run("SIGTERM with five thousand members that send", p.testTerm)
	t.Run("SIGHUP", p.testReload)
	t.Run("a second SIGTERM does not wait", p.testSecondTerm)
	t.Run("a small limit of open files", p.testSmallLimit)
	t.Run("more connections than descriptors", p.testDescriptors)
	t.Run("fewer descriptors than connections", p.testFewerDescriptors)
	t.Run("floods do not fill the disk", p.testFloods)
	t.Run("memory", p.testMemory)
	t.Run("half frames", p.testHalfFrames)
}

// programs holds the folder of the built programs.
type programs struct{ folder string }

func (p programs) path(name string) string { return filepath.Join(p.folder, name) }

var (
	built   string // folder of the programs; TestMain removes it
	builder = sync.OnceValue(func() (err error) {
		if built, err = os.MkdirTemp("", "dots"); err != nil {
			return err
		}
		cmd := exec.Command("go", "build", "-o", built+"/", "./cmd/dotsd", "./cmd/dotsbench")
		cmd.Dir = filepath.Join("..", "..")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%s", err, out)
		}
		return nil
	})
)

// buildPrograms builds the programs, once for all tests.
func buildPrograms(t *testing.T) programs {
	t.Helper()
	if err := builder(); err != nil {
		t.Fatal(err)
	}
	return programs{built}
}

// environment returns the environment for child processes, without any variable that could change their settings.
func environment() []string { return []string{"PATH=" + os.Getenv("PATH")} }

// try runs a measuring program, logs its report, and returns its output and the error with which it ended.
func (p programs) try(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.path(name), args...)
	cmd.Env = environment()
	began := time.Now()
	out, err := cmd.CombinedOutput()
	t.Logf("%s %s (%v)\n%s", name, strings.Join(args, " "), time.Since(began).Round(100*time.Millisecond), out)
	return string(out), err
}

// daemon is a running process of dotsd.
type daemon struct {
	t     *testing.T
	cmd   *exec.Cmd
	start logLine
	done  chan struct{} // closed when the process has ended and its log was read

	mu    sync.Mutex
	lines []string // guarded by mu
}

// serve starts dotsd on free ports and waits until it serves. dotsd ends when the test ends.
func (p programs) serve(t *testing.T, args ...string) *daemon {
	t.Helper()
	return p.serveUnder(t, "", args...)
}

// serveUnder does the same as serve, but in a shell that first runs a command, such as "ulimit -n 200".
func (p programs) serveUnder(t *testing.T, command string, args ...string) *daemon {
	t.Helper()
	args = append([]string{"--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--log-format=json"}, args...)
	d := &daemon{t: t, done: make(chan struct{}), cmd: exec.Command(p.path("dotsd"), args...)}
	if command != "" { // exec replaces the shell, so that the server has the shell's process id
		d.cmd = exec.Command("/bin/sh", append([]string{"-c", command + ` && exec "$0" "$@"`, p.path("dotsd")}, args...)...)
	}
	d.cmd.Env = environment()
	pipe, err := d.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	go func() {
		defer close(d.done)
		log := bufio.NewScanner(pipe)
		log.Buffer(nil, 1<<20)
		for log.Scan() {
			var line logLine
			if json.Unmarshal(log.Bytes(), &line) == nil && line.Message == "serving" {
				d.start = line
				close(started)
			}
			d.mu.Lock()
			d.lines = append(d.lines, log.Text())
			d.mu.Unlock()
		}
		_ = d.cmd.Wait() // ProcessState has the result
	}()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		<-d.done
	})
	select {
	case <-started:
	case <-d.done:
		t.Fatalf("dotsd ended at once: %s", strings.Join(d.log(), "\n"))
	case <-time.After(patience):
		t.Fatalf("dotsd does not serve after %v", patience)
	}
	return d
}

func (d *daemon) url() string { return "ws://" + d.start.Address }

// log returns the lines of the process's log so far.
func (d *daemon) log() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.lines...)
}

func (d *daemon) signal(s os.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

// ended waits for the end of the process and returns its exit code.
func (d *daemon) ended() int {
	d.t.Helper()
	select {
	case <-d.done:
	case <-time.After(2 * patience):
		d.t.Fatalf("dotsd did not end within %v", 2*patience)
	}
	return d.cmd.ProcessState.ExitCode()
}

// terminate drains the server. Its log must have no errors.
func (d *daemon) terminate() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	if code := d.ended(); code != exitOK {
		d.t.Errorf("exit %d, want %d", code, exitOK)
	}
	for _, line := range d.log() {
		if strings.Contains(line, `"level":"error"`) || strings.Contains(line, "goroutine ") {
			d.t.Errorf("logged %s", line)
		}
	}
}

// cpu returns the processor time that the process has used, in steps of 10 ms.
func (d *daemon) cpu() time.Duration {
	d.t.Helper()
	stat, err := os.ReadFile(filepath.Join("/proc", itoa(d.cmd.Process.Pid), "stat"))
	if err != nil {
		d.t.Fatal(err)
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	return time.Duration(atoi(fields[11])+atoi(fields[12])) * 10 * time.Millisecond // utime and stime, proc(5)
}
