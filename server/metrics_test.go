package server

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"dotsconnect/loop"
	"dotsconnect/redisbridge"
	"dotsconnect/server/internal/doctable"
	"dotsconnect/server/protocol"
)

// samples holds the values of one scrape by series, such as `dots_connections{loop="0"}`.
type samples map[string]string

func (s *testServer) scrape(t *testing.T) samples {
	t.Helper()
	got := samples{}
	for line := range strings.SplitSeq(s.get(t, "/metrics").body, "\n") {
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			got[line[:i]] = line[i+1:]
		}
	}
	return got
}

// series lists the series of dotsconnect itself in a scrape.
func (s samples) series() (all []string) {
	for name := range s {
		if strings.HasPrefix(name, "dots_") {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

func TestAScrapeHasTheMetricsOfTheTable(t *testing.T) {
	s := startServer(t, nil)
	var want, got []string
	for _, m := range Metrics() {
		want = append(want, m.Name+" "+m.Type)
	}
	for _, match := range regexp.MustCompile(`(?m)^# TYPE (dots_.*)$`).FindAllStringSubmatch(s.get(t, "/metrics").body, -1) {
		got = append(got, match[1])
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(- table, + scrape):\n%s", diff)
	}
	for series := range s.scrape(t) {
		if name, _, _ := strings.Cut(series, "{"); !regexp.MustCompile(`^(dots|go|process)_`).MatchString(name) {
			t.Errorf("%s has an unknown prefix", series)
		}
	}
}

func TestMetricsFollowTheConventions(t *testing.T) {
	s := startServer(t, nil)
	problems, err := promlint.New(strings.NewReader(s.get(t, "/metrics").body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "dots_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for _, m := range slices.Concat(Metrics(), bridgeMetrics()) {
		if (m.Type == "counter") != strings.HasSuffix(m.Name, "_total") || !strings.HasSuffix(m.Help, ".") {
			t.Errorf("%s: a %s with the help %q", m.Name, m.Type, m.Help)
		}
	}
}

func TestTheNumberOfSeriesDoesNotGrow(t *testing.T) {
	s := startServer(t, nil)
	before := s.scrape(t).series()
	for i := range 20 {
		w := s.join(t, fmt.Sprintf("/ws/chat/room-%d/", i))
		w.say("hello")
		w.hears("hello")
		switch i % 3 {
		case 0:
			w.write(string(frame(8, true, []byte{3, 232 + byte(i)}))) // close codes from 1000 on
		case 1:
			w.text("no JSON")
			w.endsWith(protocol.CloseBadFrame)
		}
		r := s.dial(t)
		r.write(fmt.Sprintf("GET /ws/%d HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", i))
		r.refused()
	}
	if diff := cmp.Diff(before, s.scrape(t).series()); diff != "" {
		t.Errorf("(- before, + after):\n%s", diff)
	}
	perLoop := 0
	for _, m := range Metrics() {
		if slices.Contains(m.Labels, "loop") {
			perLoop++
		}
	}
	if got, most := len(before), 2*perLoop+len(Metrics())+2*loop.NumReasons+len(protocol.Codes)+len(refusalStatuses)+len(requestErrorCodes); got > most {
		t.Errorf("%d series, want at most %d", got, most)
	}
}

func TestMetricsTellWhatHappened(t *testing.T) {
	s := startServer(t, func(cfg *Config) { cfg.Loops = 1 }) // a publication counts once for each loop
	most, _ := s.MaxConnections()
	a, b := s.join(t, "/ws/chat/lobby/"), s.join(t, "/ws/chat/lobby/")
	a.text(`"heartbeat"`)
	a.say("hello")
	a.hears("hello")
	b.hears("hello")
	b.text("no JSON")
	b.endsWith(protocol.CloseBadFrame)
	r := s.dial(t)
	r.write("GET /ws/nowhere HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	r.refused()
	want := samples{
		"dots_rooms": "1", "dots_accepted_total": "3", "dots_upgraded_total": "2", "dots_ready": "1",
		"dots_connections_max":         strconv.Itoa(most),
		"dots_messages_accepted_total": "1", "dots_publications_total": "1", "dots_expected_frames_total": "2", "dots_frames_total": "2", "dots_heartbeats_total": "1",
		"dots_writes_total": "2", "dots_written_bytes_total": "42", // two frames of {"message":"hello"}, each with a header of 2 bytes
		`dots_closes_total{code="4500",name="bad_frame"}`: "1",
		`dots_handshakes_refused_total{status="404"}`:     "1",
		`dots_dropped_total{reason="backlog_hard"}`:       "0",
		`dots_closes_total{code="other",name="other"}`:    "0",
		`dots_handshakes_refused_total{status="other"}`:   "0",
		"dots_panics_total":                               "0",
		"dots_accept_errors_total":                        "0",
		"dots_congested_loops":                            "0",
		"dots_backlog_held_bytes":                         "0",
		"dots_parked_bytes":                               "0",
	}
	var got samples
	defer func() {
		if t.Failed() {
			t.Logf("(- want, + got):\n%s", cmp.Diff(want, got))
		}
	}()
	eventually(t, "the loops have published it", func() bool {
		got = s.scrape(t)
		for name := range got {
			if _, asked := want[name]; !asked {
				delete(got, name)
			}
		}
		return cmp.Equal(got, want)
	})
}

// seeAbove scrapes until each of the metrics has been above zero in at least one scrape.
func (s *testServer) seeAbove(t *testing.T, metrics ...string) {
	t.Helper()
	seen := map[string]bool{}
	defer func() {
		if t.Failed() {
			t.Logf("above zero were only %v of %v", seen, metrics)
		}
	}()
	eventually(t, "each metric is above zero", func() bool {
		for series, value := range s.scrape(t) {
			name, _, _ := strings.Cut(series, "{")
			if n, err := strconv.ParseFloat(value, 64); err == nil && n > 0 && slices.Contains(metrics, name) {
				seen[name] = true
			}
		}
		return len(seen) == len(metrics)
	})
}

// A member that reads nothing gets a backlog, its room stalls, and the publisher is paused.
func TestMetricsShowASlowMember(t *testing.T) {
	s := startServer(t, func(cfg *Config) {
		narrow(cfg)
		cfg.SoftBacklog, cfg.HardBacklog, cfg.StallBudget = 1, 64*MiB, 10*time.Second
	})
	const path = "/ws/chat/slow/"
	publisher := newTalker(s.join(t, path), 0)
	publisher.pad = strings.Repeat("x", 1000)
	s.joinNarrow(t, path)
	var both sync.WaitGroup
	both.Go(func() {
		for publisher.hear() == nil {
		}
	})
	both.Go(func() {
		for publisher.send(1) == nil {
		}
	})
	s.seeAbove(t, "dots_lags_total", "dots_stalls_total", "dots_pauses_total", "dots_lagging_connections", "dots_paused_connections",
		"dots_backlog_bytes", "dots_backlog_held_bytes", "dots_unparsed_bytes", "dots_read_bytes_total", "dots_turns_total", "dots_timers")
	_ = publisher.Close()
	both.Wait()
}

// A client of version 2 misses a message and resumes, another names an unknown position, and a third sends a token.
func TestMetricsShowClientsOfVersion2(t *testing.T) {
	s := startServer(t, nil)
	talker, c := s.join2(t, ""), s.join2(t, "")
	_ = c.Close()
	talker.say("missed")
	talker.hear(1)
	s.join2(t, "&since="+c.since).hear(1)
	s.join2(t, "&since=zzzzzzzzzzzzzzzz")
	s.node.Loops()[0].Call(func(l *loop.Loop) { // one of them is told that it lost something
		l.Each(func(c *loop.Conn) bool {
			c.Peer().(*session).AppendGap(nil, c.Room(), loop.ID{}, 3, loop.GapSlow)
			return false
		})
	})
	talker.text(`{"token":"x"}`)
	talker.read()
	want := samples{
		`dots_resumes_total{resumed="true"}`: "1", `dots_resumes_total{resumed="false"}`: "1", "dots_repeated_frames_total": "1",
		"dots_gaps_told_total":                   "1",
		`dots_request_errors_total{code="4501"}`: "1", `dots_request_errors_total{code="4500"}`: "0",
	}
	eventually(t, "the loops have published it", func() bool {
		got := s.scrape(t)
		for series, value := range want {
			if got[series] != value {
				return false
			}
		}
		return true
	})
	s.seeAbove(t, "dots_history_bytes")
}

func TestMetricsCountTheConnectionsThatAFullServerRefuses(t *testing.T) {
	s := startServer(t, func(cfg *Config) { cfg.MaxConns = 1 })
	s.join(t, "/ws/chat/lobby/")
	second := s.dial(t)
	second.write(upgradeRequest("/ws/chat/lobby/"))
	if status, _ := second.refused(); status != http.StatusServiceUnavailable {
		t.Errorf("HTTP %d, want 503", status)
	}
	s.seeAbove(t, "dots_connections_refused_total")
}

func TestMetricsCountTheAdminConnectionsThatAreCut(t *testing.T) {
	s := startServer(t, nil)
	for range mostShare + 1 {
		s.admin.call(t, "GET /healthz HTTP/1.1\r\nX: ")
	}
	s.seeAbove(t, "dots_admin_connections_cut_total")
}

// bridgeMetrics returns the metrics that the bridge to Redis adds.
func bridgeMetrics() []Metric {
	var all []Metric
	for _, m := range new(redisbridge.Bridge).Metrics() {
		all = append(all, Metric{Name: m.Name, Type: m.Type, Help: m.Help})
	}
	return all
}

// The tables in METRICS.md must be the output of MetricsMarkdown, between two markers.
func TestTheTableOfMetricsIsThatOfTheCode(t *testing.T) {
	doctable.Check(t, "METRICS.md", "metrics", MetricsMarkdown(Metrics()))
	doctable.Check(t, "METRICS.md", "redis", MetricsMarkdown(bridgeMetrics()))
}

func TestTheTableOfCloseCodesIsThatOfTheCode(t *testing.T) {
	doctable.Check(t, "PROTOCOL.md", "codes", protocol.CodesMarkdown())
}
