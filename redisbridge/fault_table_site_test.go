package redisbridge

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"dotsconnect/loop"
	"dotsconnect/server"
)

// site is a node with its clients' address: a whole server in this process, or a separate program.
type site struct {
	t           testing.TB
	index       int
	addr, admin string
	bridge      *Bridge   // nil: the node is a separate program
	cmd         *exec.Cmd // nil: the node is in this process
	stop        func()

	mu      sync.Mutex
	gaps    []told          // guarded by mu
	lines   []string        // lines of the node's log; guarded by mu
	refused map[string]bool // messages returned to their senders as not taken; guarded by mu
	doubted map[string]bool // messages returned as possibly lost; guarded by mu
	dead    bool            // guarded by mu
}

// siteConfig is Default, but the first node does not wait for others.
func siteConfig(url string, down Policy, hold time.Duration) Config {
	cfg := Default()
	cfg.URL, cfg.Down, cfg.Hold, cfg.Alone = url, down, hold, 0
	return cfg
}

// startSite starts a node in this process.
func startSite(t testing.TB, cfg Config) *site {
	t.Helper()
	s, err := trySite(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func trySite(t testing.TB, cfg Config) (*site, error) {
	t.Helper()
	s := &site{t: t, refused: map[string]bool{}, doubted: map[string]bool{}}
	core, logs := observer.New(zap.InfoLevel)
	cfg.OnGap = func(g Gap) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.gaps = append(s.gaps, told{[]int{g.Lane}, g.Rooms, time.Now(), g.Reason})
	}
	s.tellAtTheEnd(func() []string {
		var lines []string
		for _, e := range logs.All() {
			lines = append(lines, fmt.Sprint(e.Time.Format("05.000 "), e.Level, " ", e.Message, " ", e.ContextMap()))
		}
		return lines
	})
	b, err := Connect(t.Context(), cfg, zap.New(core, zap.IncreaseLevel(zapcore.InfoLevel)))
	if err != nil {
		return nil, err
	}
	sc := server.Default()
	sc.Listen, sc.Admin, sc.Loops = "127.0.0.1:0", "127.0.0.1:0", 1
	node, err := server.NewConnected(sc, zap.NewNop(), "test", &server.Backend{
		Bus: b, Lanes: b.Lanes(), Descriptors: b.Descriptors(), LaneOf: b.LaneOf, Yield: b.Yield, Fill: b.Fill, Flush: b.Flush, Ready: b.Ready, Refuses: b.Refuses,
		Members: b.Members, Alone: b.Alone, Warning: b.Warning,
		Start: func(node *loop.Node, _ func(lane int, rooms []string)) { // gaps go to the checker, not to the members
			b.attach(node)
			b.loops = &siteLoops{b.loops, s}
			b.run()
		},
	})
	if err == nil {
		err = node.Start()
	}
	if err != nil {
		_ = b.Close() // the caller gets err, which has the reason
		return nil, err
	}
	s.bridge, s.addr, s.admin = b, node.Addr(), node.AdminAddr()
	s.stop = sync.OnceFunc(func() {
		s.mu.Lock()
		s.dead = true
		s.mu.Unlock()
		if err := node.Close(); err != nil {
			t.Error(err)
		}
		_ = b.Close() // may fail: its Redis may be gone
	})
	t.Cleanup(s.stop)
	return s, nil
}

// siteLoops passes calls to the loops, and notes the messages that are returned to their senders.
type siteLoops struct {
	loops
	site *site
}

func (o *siteLoops) Refuse(p *loop.Publication) {
	o.site.mu.Lock()
	o.site.refused[string(p.Value)] = true
	o.site.mu.Unlock()
	o.loops.Refuse(p)
}

func (o *siteLoops) Doubt(p *loop.Publication) {
	o.site.mu.Lock()
	o.site.doubted[string(p.Value)] = true
	o.site.mu.Unlock()
	o.loops.Doubt(p)
}

// tellAtTheEnd shows the log of the site if the test has failed.
func (s *site) tellAtTheEnd(lines func() []string) {
	s.t.Cleanup(func() {
		if all := lines(); s.t.Failed() {
			s.t.Logf("site %d said last:\n%s", s.index, strings.Join(all[max(0, len(all)-40):], "\n"))
		}
	})
}

// buildServer builds the program from a source folder.
func buildServer(t testing.TB, source string) (path string) {
	t.Helper()
	path = t.TempDir() + "/dotsd"
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "./cmd/dotsd")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// siteLine is a line of the log of a program.
type siteLine struct {
	Message string `json:"msg"`
	Address string `json:"address"`
	Admin   string `json:"admin"`
	Which   string `json:"which"`
	Reason  string `json:"reason"`
}

// startProgram starts a node as a separate program. args are its settings for Redis.
func startProgram(t testing.TB, path string, args ...string) *site {
	t.Helper()
	s, serves := launch(t, path, args...)
	eventually(t, "the program serves", func() bool { return serves() || !s.alive() })
	if !s.alive() {
		t.Fatalf("dotsd ended at once: %s", strings.Join(s.log(), "\n"))
	}
	return s
}

func launch(t testing.TB, path string, args ...string) (s *site, serves func() bool) {
	t.Helper()
	s = &site{t: t}
	s.tellAtTheEnd(s.log)
	args = append([]string{"--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--log-format=json", "--loops=1", "--drain-time=0s"}, args...)
	s.cmd = exec.Command(path, args...)
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // no variable that could change its settings
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	pipe, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.read(pipe)
		_ = s.cmd.Wait() // ProcessState says how it ended
		s.mu.Lock()
		s.dead = true
		s.mu.Unlock()
	}()
	s.stop = func() {
		_ = s.cmd.Process.Kill()
		<-ended
	}
	t.Cleanup(s.stop)
	return s, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.addr != ""
	}
}

// read is the goroutine that reads the log of a separate program.
func (s *site) read(pipe io.Reader) {
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line siteLine
		_ = json.Unmarshal(lines.Bytes(), &line) // may fail, because some lines are not JSON
		s.mu.Lock()
		s.lines = append(s.lines, lines.Text())
		switch line.Message {
		case "serving":
			s.addr, s.admin = line.Address, line.Admin
		case "redis: gap, members on this node may have missed messages":
			s.gaps = append(s.gaps, told{lanes: parseRanges(line.Which), at: time.Now(), reason: line.Reason})
		}
		s.mu.Unlock()
	}
}

// parseRanges reads a text that ranges has written.
func parseRanges(text string) (numbers []int) {
	for _, part := range strings.Split(text, ",") {
		first, last, more := strings.Cut(part, "-")
		if !more {
			last = first
		}
		a, err1 := strconv.Atoi(first)
		b, err2 := strconv.Atoi(last)
		for n := a; n <= b && err1 == nil && err2 == nil; n++ {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

func (s *site) log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

func (s *site) told() []told {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.gaps)
}

func (s *site) alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.dead
}

// given returns how many messages were returned to their senders: as not taken, and as possibly lost.
func (s *site) given() (refused, doubted int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.refused), len(s.doubted)
}

// givenBack returns the messages that were returned to their senders.
func (s *site) givenBack() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(slices.Collect(maps.Keys(s.refused)), slices.Collect(maps.Keys(s.doubted))...)
}

// laneOf returns a function that gives the lane of a room on this node, or nil if the node is a separate program.
func (s *site) laneOf() func(string) int {
	if s.bridge != nil {
		return s.bridge.LaneOf
	}
	return nil
}

func (s *site) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// get requests a path at the admin address.
func (s *site) get(path string) (status int, body string, err error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+s.admin+path, nil)
	if err != nil {
		return 0, "", err
	}
	answer, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

func (s *site) ready() bool {
	status, _, err := s.get("/readyz")
	return err == nil && status == http.StatusOK
}

func (s *site) awaitReady() {
	s.t.Helper()
	eventually(s.t, "the node is ready", s.ready)
}

// metric reads a metric that has no labels.
func (s *site) metric(name string) (value float64) {
	s.t.Helper()
	_, body, err := s.get("/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(body) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(text, &value); err == nil {
				return value
			}
		}
	}
	s.t.Fatalf("no %s in the metrics", name)
	return 0
}
