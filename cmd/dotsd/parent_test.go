package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// withParent watches the parent process. The thread that started this process may end before the
// parent process ends.
func TestTheEndOfAThreadIsNotTheEndOfTheParent(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "--listen=127.0.0.1:0", "--admin=", "--drain-time=0s", "--with-parent")
	cmd.Env = []string{beDotsd + "=1"}
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	type started struct {
		thread int
		err    error
	}
	result, end := make(chan started), make(chan bool)
	var start func()
	start = func() {
		runtime.LockOSThread() // never unlocked, so the thread ends with the goroutine, unless it is the main thread
		if thread := syscall.Gettid(); thread != os.Getpid() {
			result <- started{thread, cmd.Start()}
			<-end
			return
		}
		go start()
		<-end
		runtime.UnlockOSThread()
	}
	go start()
	r := <-result
	if r.err != nil {
		t.Fatal(r.err)
	}
	log := bufio.NewScanner(pipe)
	waitFor(t, log, "serving")
	close(end)
	eventually(t, "the thread has ended", func() bool {
		_, err := os.Stat(filepath.Join("/proc/self/task", strconv.Itoa(r.thread)))
		return os.IsNotExist(err)
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if line := waitFor(t, log, "draining"); line.Cause != "signal: interrupt" {
		t.Errorf("drained because of %q, want our interrupt", line.Cause)
	}
	for log.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v, want exit 0", err)
	}
}

func TestServeEndsWithItsParent(t *testing.T) {
	defer func(was int) { parent = was }(parent)
	parent = -1 // as if the parent had ended, so that another process is our parent now
	var log bytes.Buffer
	args := []string{"--listen=127.0.0.1:0", "--admin=", "--drain-time=0s", "--loops=1", "--with-parent"}
	if code := run(t.Context(), program{args: args, stdout: io.Discard, stderr: &log}); code != exitOK || !strings.Contains(log.String(), "the process that started this one has ended") {
		t.Errorf("exit %d, %s; want 0, and why", code, log.String())
	}
}
