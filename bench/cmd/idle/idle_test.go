package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	_ "net/http/pprof" // the admin pages of the server under test
	"os"
	"strconv"
	"strings"
	"testing"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/stub"
)

// idle measures this process, which is the stub's.
func idle(t *testing.T, hub *stub.Hub, more ...string) (int, string, string) {
	admin := httptest.NewServer(http.DefaultServeMux)
	t.Cleanup(admin.Close)
	args := append([]string{"--url", stub.Start(t, hub.Serve), "--server-pid", strconv.Itoa(os.Getpid()), "--admin", admin.URL,
		"--conns", "50", "--rooms", "7", "--settle", "10ms", "--warmup", "10"}, more...)
	var out, errs bytes.Buffer
	code := cli.Exit(&errs, "idle", run(args, &out, &errs))
	return code, out.String(), errs.String()
}

func TestTableHasAllFigures(t *testing.T) {
	code, out, errs := idle(t, &stub.Hub{})
	for _, want := range []string{"50 connections in 7 rooms", "358 deliveries", "RSS kB", "private kB", "Go heap in use kB",
		"goroutines", "threads", "descriptors"} {
		if code != cli.OK || !strings.Contains(out, want) {
			t.Fatalf("exit %d, want %q in\n%s%s", code, want, out, errs)
		}
	}
}

func TestJSONIsOneObjectAndThresholdsAreKept(t *testing.T) {
	code, out, errs := idle(t, &stub.Hub{}, "--json", "--max-goroutines", "3", "--max-idle", "1e9", "--max-active", "1e9")
	var r result
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	// A goroutine per connection is what the stub has, so one check must fail.
	if code != cli.Missed || len(r.Missed) != 1 || r.Idle.Go.Goroutines < 50 || r.Idle.RSS < r.Before.RSS/2 {
		t.Errorf("exit %d, %s\n%s", code, errs, out)
	}
	if !strings.Contains(errs, "missed: goroutines") || !strings.Contains(errs, "per connection, bytes") {
		t.Errorf("got %s", errs)
	}
}

func TestWrongDeliveriesAreNoMeasurement(t *testing.T) {
	once := func(frames func(message []byte) [][]byte) *stub.Hub {
		done := false
		return &stub.Hub{Tamper: func(_ string, _, n int, message []byte) [][]byte {
			if done || n < 3 {
				return [][]byte{stub.Frame(stub.Text, message)}
			}
			done = true
			return frames(message)
		}}
	}
	double := func(m []byte) [][]byte { f := stub.Frame(stub.Text, m); return [][]byte{f, f} }
	if code, _, errs := idle(t, once(double)); code != cli.Violated || !strings.Contains(errs, "instead of the") {
		t.Errorf("doubled: exit %d, %s", code, errs)
	}
	kick := func([]byte) [][]byte { return [][]byte{stub.CloseFrame(4101, "slow_consumer")} }
	if code, _, errs := idle(t, once(kick)); code != cli.Invalid || !strings.Contains(errs, "closed with 4101") {
		t.Errorf("kicked: exit %d, %s", code, errs)
	}
}

func TestUselessSettingsAreRefused(t *testing.T) {
	for _, args := range [][]string{{}, {"--url", "ws://127.0.0.1:1"}, {"--server-cmd", "x", "--server-pid", "1"},
		{"--server-cmd", "x"}, {"--server-cmd", "x {port}"}, {"--server-cmd", "x {port}", "--rooms", "0"}} {
		var out, errs bytes.Buffer
		if code := cli.Exit(&errs, "idle", run(args, &out, &errs)); code != cli.Usage || strings.Count(errs.String(), "\n") != 1 {
			t.Errorf("%v: exit %d, %q", args, code, &errs)
		}
	}
}
