package fleet

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"dotsconnect/bench/internal/stub"
	"dotsconnect/bench/load"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// serve makes the host listen until the test ends.
func serve(t *testing.T, h *host) (addr string, ended <-chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- h.serve(ln) }()
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String(), done
}

// connect connects to a worker at addr, with the test as its coordinator.
func connect(t *testing.T, addr string) *worker {
	t.Helper()
	w, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.end.Close() })
	return w
}

func TestASilentConnectionKeepsNobodyOutAndIsClosed(t *testing.T) {
	hub := &stub.Hub{}
	url := stub.Start(t, hub.Serve)
	h := newHost("", false, io.Discard)
	addr, _ := serve(t, h)
	_ = connect(t, addr)
	if r := mustRun(t, config(url, nil), 1, addr); r.Traffic.Sent != 200 {
		t.Errorf("got %+v", r.Traffic)
	}

	h = newHost("", false, io.Discard)
	h.silence = 20 * time.Millisecond
	addr, _ = serve(t, h)
	for name, say := range map[string]func(w *worker) error{
		"no hello":         func(*worker) error { return nil },
		"no job":           func(w *worker) error { return w.greet("") },
		"half a hello":     func(w *worker) error { _, err := io.WriteString(w.conn, `{"tok`); return err },
		"an endless hello": func(w *worker) error { return w.write(hello{strings.Repeat("x", 2*maxHello)}) },
	} {
		w := connect(t, addr)
		if err := say(w); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// This read returns because the worker closes the connection. Otherwise
		// the test would hang.
		if err := w.read(&said{}); err == nil {
			t.Errorf("%s: got an answer", name)
		}
	}
}

func TestOneJobAtATimeAndTheOthersHearThatTheWorkerIsBusy(t *testing.T) {
	working, finish := make(chan struct{}), make(chan struct{})
	h := newHost("", false, io.Discard)
	h.wait = 20 * time.Millisecond
	h.run = func(load.Config) (*result.Result, error) {
		working <- struct{}{}
		<-finish
		return &result.Result{}, nil
	}
	addr, _ := serve(t, h)
	first := connect(t, addr)
	if err := first.greet(""); err != nil {
		t.Fatal(err)
	}
	if err := first.write(jobOf(nil)); err != nil {
		t.Fatal(err)
	}
	<-working
	if err := connect(t, addr).greet(""); err == nil || !strings.Contains(err.Error(), "worker "+addr+": the worker is busy") {
		t.Errorf("got %v", err)
	}
	close(finish)
	if err := first.hear(""); err != nil {
		t.Errorf("the first: %v", err)
	}
	if err := connect(t, addr).greet(""); err != nil {
		t.Errorf("the next: %v", err)
	}
}

// jobOf returns a valid job, after change has changed it.
func jobOf(change func(j *job)) job {
	s := scenario.Default()
	s.Duration = time.Second
	j := job{Name: "small", Fields: map[string]string{}, URL: "ws://127.0.0.1:1", RunID: 7, Parts: 1}
	for _, f := range scenario.Fields() {
		j.Fields[f.Name] = f.Get(&s)
	}
	if change != nil {
		change(&j)
	}
	return j
}

func TestABadJobIsRefusedAndTheWorkerLivesOn(t *testing.T) {
	h := newHost("", false, io.Discard)
	h.run = func(cfg load.Config) (*result.Result, error) {
		if cfg.RunID == 13 {
			panic("nobody thought of this")
		}
		return &result.Result{}, nil
	}
	addr, _ := serve(t, h)
	for want, change := range map[string]func(j *job){
		"rooms: 0":                        func(j *job) { j.Fields["rooms"] = "0" },
		"part 0 of 0":                     func(j *job) { j.Parts = 0 },
		"part 2 of 2":                     func(j *job) { j.Part, j.Parts = 2, 2 },
		"part -1 of 2":                    func(j *job) { j.Part, j.Parts = -1, 2 },
		"number of generators (1000000)":  func(j *job) { j.Parts = 1000000 },
		"different versions of dotsbench": func(j *job) { j.Fields["colour"] = "red" },
		"nobody thought of this":          func(j *job) { j.RunID = 13 },
		"--source":                        func(j *job) { j.Source = "home" },
	} {
		w := connect(t, addr)
		if err := w.greet(""); err != nil {
			t.Fatal(err)
		}
		if err := w.write(jobOf(change)); err != nil {
			t.Fatal(err)
		}
		if err := w.hear(""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	w := connect(t, addr)
	if err := w.greet(""); err != nil {
		t.Fatal(err)
	}
	if err := w.write(jobOf(nil)); err != nil {
		t.Fatal(err)
	}
	if err := w.hear(""); err != nil {
		t.Errorf("a good job after them: %v", err)
	}
}

func TestAJobWithoutEndIsCutOff(t *testing.T) {
	addr, _ := serve(t, newHost("", false, io.Discard))
	w := connect(t, addr)
	if err := w.greet(""); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w.conn, `{"name":"`); err != nil {
		t.Fatal(err)
	}
	for chunk := make([]byte, 64<<10); ; {
		for i := range chunk {
			chunk[i] = 'x'
		}
		if _, err := w.conn.Write(chunk); err != nil {
			return
		}
	}
}
