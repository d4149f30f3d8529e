package command

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"dotsconnect/bench/fleet"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/stub"
)

func TestAWorkerListensBeyondTheLoopbackOnlyWithAToken(t *testing.T) {
	t.Setenv(fleet.Token, "")
	code, _, stderr := dotsbench("worker", "--listen", "0.0.0.0:0")
	if code != cli.Usage || !strings.Contains(stderr, "to listen on another address than the loopback, set "+fleet.Token) {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

func TestAListeningWorkerDoesAJobAndEndsIfOneIsEnough(t *testing.T) {
	t.Setenv(fleet.Token, "secret")
	errs, w := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- Main([]string{"worker", "--listen", "127.0.0.1:0", "--once"}, io.Discard, w)
		_ = w.Close()
	}()
	line, err := bufio.NewReader(errs).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr := strings.TrimSpace(strings.TrimPrefix(line, "waiting for jobs on "))
	hub := &stub.Hub{}
	code, stdout, stderr := dotsbench(short(stub.Start(t, hub.Serve), "--workers", addr, "--settle", "5s")...)
	// The run may be INVALID if the machine is busy with other tests.
	if code != cli.OK && code != cli.Invalid || !strings.Contains(stdout, "1,760 of 1,760") {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
	if code := <-ended; code != cli.OK {
		t.Errorf("the worker: exit %d", code)
	}
}
