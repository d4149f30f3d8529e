// Package fleet makes one run with several generators: processes on this
// machine, each with its own descriptors and CPU, and workers on other
// machines.
//
// The coordinator gives each generator a part of the members. At each step it
// waits until all generators have come to that step (package load,
// together.go). All generators choose senders with the same seed, so they keep
// one schedule without communication. At the end the coordinator merges the
// histograms bucket by bucket, without loss, and the ledgers: a room with
// members in several processes is judged by the messages that all these
// processes sent and saw.
//
// Clocks: processes on one machine share CLOCK_MONOTONIC, so a latency between
// two processes is valid. Different machines do not share this clock, so all
// members of a room are on one machine.
//
// Both sides write JSON objects, one per line. First the coordinator sends a
// hello with the token. Then the worker answers that it is free, and the
// coordinator sends the job. Then, for each step, the worker reports that it
// has come to the step, and the coordinator answers when all workers have come
// to the step.
package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/HdrHistogram/hdrhistogram-go"

	"dotsconnect/bench/load"
	"dotsconnect/bench/proof"
	"dotsconnect/bench/result"
)

// stepHello is the step in the answer of a worker that is free to do a job.
const stepHello = "hello"

// hello is the first line that a coordinator sends.
type hello struct {
	Token string `json:"token"` // empty for a process that the coordinator started
}

// job is the part of a run that a worker has to do.
type job struct {
	Name   string            `json:"name"`
	Fields map[string]string `json:"scenario"`
	URL    string            `json:"url"`
	Source string            `json:"source,omitempty"`
	Pids   []int             `json:"pids,omitempty"`
	Admin  string            `json:"admin,omitempty"`
	Frames load.Frames       `json:"frames"`
	Pinned bool              `json:"pinned,omitempty"`
	Fresh  bool              `json:"started,omitempty"`
	RunID  uint32            `json:"run_id"`
	Part   int               `json:"part"`
	Parts  int               `json:"parts"`
}

// met is the coordinator's message that all generators have come to a step.
type met struct {
	Step   string        `json:"step"`
	Start  int64         `json:"start_ns,omitempty"` // for generators on this machine: time of CLOCK_MONOTONIC
	Delay  int64         `json:"delay_ns,omitempty"` // for generators on other machines: time from the arrival of this message to the start
	Totals []proof.Total `json:"totals,omitempty"`
}

// said is a message of a worker: it came to a step, it failed, or it finished
// with a result.
type said struct {
	Step    string       `json:"step,omitempty"`
	Brought load.Brought `json:"brought"`
	Error   string       `json:"error,omitempty"`
	Code    int          `json:"code,omitempty"`
	Found   *found       `json:"found,omitempty"`
}

// found is a result with its histograms in HdrHistogram's V2 encoding.
type found struct {
	Result     *result.Result    `json:"result"`
	Histograms map[string]string `json:"histograms"`
	Intervals  []interval        `json:"intervals"`

	delivered int64 // the generator's own deliveries; merge changes those in Result
	conns     int
}

type interval struct {
	StartMs   int64  `json:"start_ms"`
	Histogram string `json:"histogram"`
}

const v2 = hdrhistogram.V2CompressedEncodingCookieBase

func encode(h *hdrhistogram.Histogram) (string, error) {
	b, err := h.Encode(v2)
	return string(b), err
}

func decode(text string) (*hdrhistogram.Histogram, error) {
	h, err := hdrhistogram.Decode([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("a histogram of a worker: %w", err)
	}
	return h, nil
}

// named returns pointers to the fields of h by the names that found uses.
func named(h *result.Histograms) map[string]**hdrhistogram.Histogram {
	all := map[string]**hdrhistogram.Histogram{
		"latency": &h.Latency, "from_send": &h.FromSend, "first": &h.First, "last": &h.Last, "lateness": &h.Lateness,
		"connect": &h.Connect, "reconnect": &h.Reconnect, "kick": &h.Kick,
	}
	for i, name := range result.PhaseNames() {
		all["phase "+name] = &h.Phases[i]
	}
	return all
}

func pack(r *result.Result) (*found, error) {
	f := &found{Result: r, Histograms: map[string]string{}}
	var err error
	for name, h := range named(&r.Histograms) {
		if *h == nil {
			continue
		}
		if f.Histograms[name], err = encode(*h); err != nil {
			return nil, err
		}
	}
	for _, i := range r.Histograms.Interval {
		text, err := encode(i.Latency)
		if err != nil {
			return nil, err
		}
		f.Intervals = append(f.Intervals, interval{i.Start.UnixMilli(), text})
	}
	return f, nil
}

// line reads and writes JSON objects on a connection or on pipes. Only one
// goroutine may read; any goroutine may write.
type line struct {
	dec *json.Decoder
	end io.Closer

	mu  *sync.Mutex // guards enc
	enc *json.Encoder
}

func newLine(r io.Reader, w io.Writer, end io.Closer) line {
	return line{json.NewDecoder(r), end, &sync.Mutex{}, json.NewEncoder(w)}
}

func (l line) write(what any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.enc.Encode(what)
}

func (l line) read(into any) error {
	err := l.dec.Decode(into)
	if errors.Is(err, io.EOF) {
		return errGone
	}
	return err
}

var errGone = errors.New("the other side has ended")
