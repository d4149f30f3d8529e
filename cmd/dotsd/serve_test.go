package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"dotsconnect/server"
)

// patience is how long a test waits for an event that must happen. It is long, so that a test does not fail on a busy machine.
const patience = 30 * time.Second

// logLine is a line of a server's log, as a program reads it.
type logLine struct {
	Message     string `json:"msg"`
	Time        string `json:"time"`
	Address     string `json:"address"`
	Admin       string `json:"admin"`
	Loops       int    `json:"loops"`
	Connections int    `json:"connections"`
	Cause       string `json:"cause"`
}

// waitFor reads log lines until one has the given message.
func waitFor(t *testing.T, log *bufio.Scanner, message string) logLine {
	t.Helper()
	for log.Scan() {
		var line logLine
		if err := json.Unmarshal(log.Bytes(), &line); err != nil {
			t.Fatalf("no JSON in the log: %s", log.Text())
		}
		if line.Message == message {
			return line
		}
	}
	t.Fatalf("the log ended without %q: %v", message, log.Err())
	return logLine{}
}

func TestServeRunsUntilItsContextIsDone(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	reader, writer := io.Pipe()
	code := make(chan int, 1)
	go func() {
		defer writer.Close()
		code <- run(ctx, program{args: []string{"--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--loops=1", "--drain-time=0s"}, env: []string{"GOMAXPROCS=2"}, stdout: io.Discard, stderr: writer})
	}()
	log := bufio.NewScanner(reader)
	start := waitFor(t, log, "serving")
	if start.Loops != 1 || start.Connections < 1 {
		t.Errorf("got %+v, want 1 loop and some connections", start)
	}
	if _, err := time.Parse("2006-01-02T15:04:05.000Z0700", start.Time); err != nil {
		t.Errorf("the time is not ISO 8601: %v", err)
	}
	for _, address := range []string{start.Address, start.Admin} {
		conn, err := net.DialTimeout("tcp", address, patience)
		if err != nil {
			t.Fatalf("no server listens at the address in the log: %v", err)
		}
		conn.Close()
	}
	cancel(errors.New("signal: test"))
	if line := waitFor(t, log, "draining"); line.Cause != "signal: test" {
		t.Errorf("got cause %q", line.Cause)
	}
	_, _ = io.Copy(io.Discard, reader)
	if got := <-code; got != exitOK {
		t.Errorf("got exit %d, want %d", got, exitOK)
	}
}

func TestAnAddressInUseSaysWhichAndHowToChooseAnother(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	for _, flag := range []string{"--listen", "--admin"} {
		args := []string{"--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--log-level=error", flag + "=" + address}
		code, stdout, stderr := call(t, args, []string{"GOMAXPROCS=2"})
		want := "dotsd: " + flag + ": " + address + " is in use by another program; choose another address, for example " + flag + "="
		if code != exitFailure || stdout != "" || !strings.HasPrefix(stderr, want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: got exit %d, stdout %q, stderr %q; want exit %d and one line %q…", flag, code, stdout, stderr, exitFailure, want)
		}
	}
}

func TestOtherReasonsNotToListen(t *testing.T) {
	c := server.Default()
	for _, row := range []struct {
		err  error
		want string
	}{
		{&net.OpError{Op: "listen", Err: syscall.EACCES}, "choose a port above 1023"},
		{&net.OpError{Op: "listen", Err: syscall.EADDRNOTAVAIL}, "is not an address of this machine"},
		{&net.OpError{Op: "listen", Err: syscall.ENOBUFS}, "--listen: :8000: listen: no buffer space"},
		{errors.New("something else"), "something else"},
	} {
		if got := explainListen(row.err, c).Error(); !strings.Contains(got, row.want) {
			t.Errorf("%v: got %q, want %q in it", row.err, got, row.want)
		}
	}
}

func TestTheStartLineForAPerson(t *testing.T) {
	for _, row := range []struct {
		admin string
		want  []string
	}{
		{"127.0.0.1:0", []string{"dotsconnect devel  http://localhost:", "/  admin http://127.0.0.1:", "  1 loop  embedded bus  up to "}},
		{"", []string{"  admin off  "}},
	} {
		var stderr bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		code := run(ctx, program{args: []string{"--listen=:0", "--admin=" + row.admin, "--loops=1", "--log-format=console", "--drain-time=0s"}, env: []string{"GOMAXPROCS=2"}, stdout: io.Discard, stderr: &stderr})
		if code != exitOK {
			t.Errorf("got exit %d: %s", code, stderr.String())
		}
		for _, want := range row.want {
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("got %q, want %q in it", stderr.String(), want)
			}
		}
	}
}

// process starts this test binary as a process of the program.
func process(t *testing.T, args ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = []string{beDotsd + "=1"}
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(pipe)
}

func TestOneSignalDrainsAndExitsWithZero(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd, log := process(t, "--listen=127.0.0.1:0", "--admin=", "--drain-time=0s")
		waitFor(t, log, "serving")
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if line := waitFor(t, log, "draining"); !strings.HasPrefix(line.Cause, "signal: ") {
			t.Errorf("got cause %q", line.Cause)
		}
		for log.Scan() {
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v, want exit 0", signal, err)
		}
	}
}

func TestASecondSignalExitsNowAndSaysSo(t *testing.T) {
	cmd, log := process(t, "--listen=127.0.0.1:0", "--admin=", "--drain-delay=1h")
	waitFor(t, log, "serving")
	_ = cmd.Process.Signal(syscall.SIGTERM)
	waitFor(t, log, "draining")
	_ = cmd.Process.Signal(syscall.SIGINT)
	var last string
	for log.Scan() {
		last = log.Text()
	}
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != exitFailure {
		t.Errorf("got exit %d, want %d", got, exitFailure)
	}
	if want := "dotsd: second signal (interrupt): exiting now; remaining connections are closed without a code"; last != want {
		t.Errorf("the last line is %q, want %q", last, want)
	}
}

func TestAUsageMistakeExitsWithTwo(t *testing.T) {
	cmd, log := process(t, "--loops=many")
	for log.Scan() {
	}
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != exitUsage {
		t.Errorf("got exit %d, want %d", got, exitUsage)
	}
}

func TestTheLimitOfOpenFilesIsRaised(t *testing.T) {
	if err := raiseFileLimit(); err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < limit.Max-1 {
		t.Errorf("got %d of %d", limit.Cur, limit.Max)
	}
}

func TestLoopsLeaveAProcessorFree(t *testing.T) {
	before := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(before)
	if got := useProcessors(5, []string{"GOMAXPROCS=2"}); got != 5 || runtime.GOMAXPROCS(0) != 2 {
		t.Errorf("set by hand: got %d loops and %d processors, want 5 and 2", got, runtime.GOMAXPROCS(0))
	}
	if got := useProcessors(0, nil); got != min(2, runtime.NumCPU()) || runtime.GOMAXPROCS(0) <= got {
		t.Errorf("by default: got %d loops and %d processors", got, runtime.GOMAXPROCS(0))
	}
	if got := useProcessors(7, nil); got != 7 || runtime.GOMAXPROCS(0) != 8 {
		t.Errorf("seven loops: got %d loops and %d processors, want 7 and 8", got, runtime.GOMAXPROCS(0))
	}
}

func TestTheLogIsSampledAndWithoutStacks(t *testing.T) {
	var out bytes.Buffer
	log, err := newLogger(server.Default(), &out)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for range 500 {
		log.Error("refused", zap.Error(errors.New("cause")))
	}
	_ = log.out.Sync()
	// A new second may begin between the lines, so the log may have ten lines for each of two
	// seconds.
	if n := strings.Count(out.String(), "\n"); n < 10 || n > 20 {
		t.Errorf("got %d lines of 500", n)
	}
	if strings.Contains(out.String(), "stack") || !strings.Contains(out.String(), `"error":"cause"`) {
		t.Errorf("got %s, want the error as a field and no stack", out.String()[:200])
	}
	log.DPanic("a bug of ours")
	_ = log.out.Sync()
	if !strings.Contains(out.String(), "stacktrace") {
		t.Error("a bug of ours is logged without its stack")
	}
}

func TestALogThatNobodyReadsHoldsNobodyUp(t *testing.T) {
	read, write := io.Pipe() // a write blocks until the other side reads
	log, err := newLogger(server.Default(), write)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxLogLines {
		log.Info(fmt.Sprintf("line %d", i)) // different texts, so that the lines are not sampled
	}
	if n := log.out.dropped.Load(); n == 0 {
		t.Error("nothing was dropped, so nothing was shown")
	}
	_ = read.Close()
	log.Close()
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 19900: "19,900", 1048576: "1,048,576"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
	for address, want := range map[string]string{
		"[::]:8000": "localhost:8000", "0.0.0.0:80": "localhost:80", "[::1]:8000": "[::1]:8000", "192.0.2.1:1": "192.0.2.1:1", "odd": "odd",
	} {
		if got := reachable(address); got != want {
			t.Errorf("%q: got %q, want %q", address, got, want)
		}
	}
}
