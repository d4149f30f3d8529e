package versus

import (
	"fmt"
	"net"
	"os"
	"testing"

	"dotsconnect/bench/adapter"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/stub"
	"dotsconnect/bench/runner"
)

// stubAt is where this program serves rooms, in place of its tests.
const stubAt = "VERSUS_STUB"

func TestMain(m *testing.M) {
	if addr := os.Getenv(stubAt); addr != "" {
		serveStub(addr)
		return
	}
	os.Exit(m.Run())
}

func serveStub(addr string) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Println(err)
		return
	}
	hub := &stub.Hub{}
	fmt.Println("ready")
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go stub.ServeIf(c.(*net.TCPConn), hub.Serve, func(string) bool { return true })
	}
}

// One real run: a process is started by its adapter, kept on its CPU and measured.
func TestARunOfAServerThatAnAdapterDescribes(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	a := adapter.Adapter{
		Name: "stub", Start: "env " + stubAt + "=127.0.0.1:{port} '" + self + "'", Ready: "^ready$", URL: "ws://127.0.0.1:{port}/ws/chat/{room}/",
		Frames: adapter.Frames{Send: `{"message":"{payload}"}`, Receive: `{"message":"{payload}"}`, Heartbeat: `"heartbeat"`},
	}
	x := experiments(true, 1)[0]
	x.scenario.Conns, x.scenario.Rooms, x.scenario.Rate = 16, 2, rate(100)
	c := &Config{Progress: cli.NewProgress(nil), Run: runner.Spec.Run}
	_, err = runner.NewPin()
	run := c.one(&x, &a, err == nil)
	if run.Error != "" || run.Violation != "" || run.CPUPerDelivery <= 0 || run.P50 <= 0 || run.DeliveredRate < 700 || run.CPUs <= 0 {
		t.Errorf("got %+v", run)
	}
}
