package versus

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"dotsconnect/bench/adapter"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/stub"
	"dotsconnect/bench/runner"
)

// stubAt is the name of an environment variable. If it has an address, this
// program serves rooms at that address and runs no tests.
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

func stubServer(t *testing.T) adapter.Adapter {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return adapter.Adapter{
		Name: "stub", Start: "env " + stubAt + "=127.0.0.1:{port} '" + self + "'", Ready: "^ready$", URL: "ws://127.0.0.1:{port}/ws/chat/{room}/",
		Frames: adapter.Frames{Send: `{"message":"{payload}"}`, Receive: `{"message":"{payload}"}`, Heartbeat: `"heartbeat"`},
	}
}

// The test makes a real run: a process is started as its adapter says, pinned
// to a CPU and measured.
func TestARunOfAServerThatAnAdapterDescribes(t *testing.T) {
	a := stubServer(t)
	x := experiments(true, 1)[0]
	x.scenario.Conns, x.scenario.Rooms, x.scenario.Rate = 16, 2, rate(100)
	c := &Config{Progress: cli.NewProgress(nil), Run: runner.Spec.Run}
	_, err := runner.NewPin()
	run := c.one(&x, &a, err == nil)
	if run.Error != "" || run.Violation != "" || run.CPUPerDelivery <= 0 || run.P50 <= 0 || run.DeliveredRate <= 0 || run.CPUs <= 0 {
		t.Errorf("got %+v", run)
	}
}

func TestATableCanHaveSeveralNodes(t *testing.T) {
	a := stubServer(t)
	tables, err := parseTables("f.yaml", []byte("tables: [{title: t, nodes: 2, servers: [stub], set: {conns: 16, rooms: 2, rate: 100/s, duration: 1s, warmup: 0s}}]"),
		[]adapter.Adapter{a})
	if err != nil {
		t.Fatal(err)
	}
	c := &FieldConfig{Quick: true, Run: runner.Spec.Run}
	run, found := c.one(&tables[0], &a)
	if run.Error != "" || run.Violation != "" || run.DeliveredRate <= 0 || run.CPUPerMessage <= 0 {
		t.Fatalf("got %+v", run)
	}
	if urls := strings.Split(found.URL, ","); len(urls) != 2 || urls[0] == urls[1] {
		t.Errorf("got %s, want the URLs of two servers", found.URL)
	}
}
