package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// reloads starts a server in this process. The server reads its configuration again for each value sent to hups.
func reloads(t *testing.T, args ...string) (log *bufio.Scanner, hups chan os.Signal, stop func(), code chan int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	reader, writer := io.Pipe()
	hups, code = make(chan os.Signal, 1), make(chan int, 1)
	go func() {
		defer writer.Close()
		args := append([]string{"--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--drain-time=0s"}, args...)
		code <- run(ctx, program{args: args, stdout: io.Discard, stderr: writer, hups: hups})
	}()
	return bufio.NewScanner(reader), hups, cancel, code
}

// In a container the process may use fewer processors than the machine has, and serve gives Go one processor more than there are
// loops. A reload must not mistake these numbers for a change of the number of loops.
func TestTheNumberOfLoopsIsNoChange(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("needs two processors")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	log, hups, stop, code := reloads(t)
	if got := waitFor(t, log, "serving").Loops; got != 1 {
		t.Fatalf("%d loops, want 1", got)
	}
	for range 3 {
		hups <- syscall.SIGHUP
		for log.Scan() && !strings.Contains(log.Text(), "configuration read again") {
		}
		if !strings.Contains(log.Text(), "nothing has changed") {
			t.Errorf("got %s, want that nothing has changed", log.Text())
		}
		if got := runtime.GOMAXPROCS(0); got != 2 {
			t.Errorf("%d processors, want 2 as before", got)
		}
	}
	stop()
	for log.Scan() {
	}
	if got := <-code; got != exitOK {
		t.Errorf("exit %d, want 0", got)
	}
}

// Reading the configuration file may block without end: the file may be a pipe, or on a network file system whose server is gone.
// A blocked read must not hold up a drain.
func TestAFileThatCannotBeReadNowHoldsNoDrainUp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dotsd.yaml")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	log, hups, stop, code := reloads(t, "--config="+file, "--loops=1")
	if err := os.WriteFile(file, []byte("max-age: 30s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, log, "serving")
	hups <- syscall.SIGHUP
	var pipe *os.File
	eventually(t, "the file is opened again", func() (opened bool) {
		var err error
		pipe, err = os.OpenFile(file, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		return err == nil
	})
	defer pipe.Close()
	stop()
	go func() {
		for log.Scan() {
		}
	}()
	select {
	case got := <-code:
		if got != exitOK {
			t.Errorf("exit %d, want 0", got)
		}
	case <-time.After(patience):
		t.Error("the server does not end while it reads the file")
	}
}
