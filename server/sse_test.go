package server

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/loop"
)

// reader is a client of Server-Sent Events. It reads a stream as an EventSource does.
type reader struct {
	*wire
	response *http.Response
	lines    *bufio.Scanner
	lastID   string
	retry    string
	comments int
}

// request returns a request without a body, with additional header lines.
func requestFor(method, path string, lines ...string) string {
	head := method + " " + path + " HTTP/1.1\r\nHost: localhost\r\n"
	for _, line := range lines {
		head += line + "\r\n"
	}
	return head + "\r\n"
}

// follow opens a stream and reads the event open.
func (s *testServer) follow(t *testing.T, path string, lines ...string) (*reader, string) {
	t.Helper()
	r := s.followOn(t, s.dial(t), path, lines...)
	return r, r.event()
}

func (s *testServer) followOn(t *testing.T, w *wire, path string, lines ...string) *reader {
	t.Helper()
	w.write(requestFor("GET", path, lines...))
	r := &reader{wire: w, response: w.response()}
	if r.response.StatusCode != http.StatusOK || r.response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s: HTTP %d, %s, want a stream of events", path, r.response.StatusCode, r.response.Header.Get("Content-Type"))
	}
	r.lines = bufio.NewScanner(r.response.Body)
	r.lines.Buffer(nil, 1<<20)
	return r
}

// event reads the next event, and returns its data.
func (r *reader) event() string {
	r.t.Helper()
	data, ok := r.next()
	if !ok {
		r.t.Fatalf("the stream ended: %v", r.lines.Err())
	}
	return data
}

// next reads the next event. ok is false at the end of the stream.
func (r *reader) next() (data string, ok bool) {
	var got []string
	id := r.lastID // of the event; it counts when the event is whole
	for r.lines.Scan() {
		switch field, value, _ := strings.Cut(r.lines.Text(), ": "); {
		case r.lines.Text() == "" && len(got) > 0:
			r.lastID = id
			return strings.Join(got, "\n"), true
		case field == "id":
			id = value
		case field == "data":
			got = append(got, value)
		case field == "retry":
			r.retry = value
		case strings.HasPrefix(r.lines.Text(), ":"):
			r.comments++
		}
	}
	return "", false
}

// hears checks the message of the next event.
func (r *reader) hears(text string) {
	r.t.Helper()
	if got, want := r.event(), fmt.Sprintf(`"message":%q}`, text); !strings.HasSuffix(got, want) || !strings.HasPrefix(got, `{"id":"`+r.lastID+`"`) {
		r.t.Fatalf("got %.200s behind the id %q, want a message that ends with %s", got, r.lastID, want)
	}
}

var (
	someID    = regexp.MustCompile(`(id: |"id":")[-0-9A-Z_a-z]{16}`)
	someRetry = regexp.MustCompile(`retry: \d+`)
)

// The bytes of a stream, except ids, which depend on the process, and the random times of retry.
func TestTheBytesOfAStream(t *testing.T) {
	s := startServer(t, func(c *Config) { c.Loops = 1 })
	w := s.dial(t)
	w.write(requestFor("GET", "/sse/chat/lobby/?since=what"))
	begin := ""
	for strings.Count(begin, "\n\n")+strings.Count(begin, "\r\n\r\n") < 3 { // the head, open and live
		line, err := w.r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		begin += line
	}
	two, one := s.join2(t, ""), s.join(t, "/ws/chat/lobby/")
	two.text("{\"message\":[1,\r\n\t2,\n\"a\\nb\"],\"ref\":7}")
	two.hearOne()
	one.message()
	one.say("end")
	one.hears("end")
	stats, err := onLoop(t, s.node.Loops()[0], func(l *loop.Loop) (n int, err error) {
		l.Each(func(c *loop.Conn) bool {
			if m := c.Peer().(*session); m.speaks == speaksSSE {
				m.kick("for the test")
			}
			n++
			return true
		})
		return n, nil
	})
	if err != nil || stats != 3 {
		t.Fatalf("%d connections, %v", stats, err)
	}
	all, err := io.ReadAll(w.r)
	if err != nil {
		t.Fatal(err)
	}
	got := someRetry.ReplaceAllString(someID.ReplaceAllString(strings.ReplaceAll(begin+string(all), two.open.Me, "TAG"), "${1}ID"), "retry: N")
	want := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Accel-Buffering: no\r\n" +
		"X-Content-Type-Options: nosniff\r\nConnection: close\r\nVary: Origin\r\n\r\n" +
		"retry: N\nid: ID\ndata: {\"event\":\"open\",\"v\":2,\"id\":\"ID\",\"resumed\":false,\"count\":1}\n\n" +
		"id: ID\ndata: {\"event\":\"live\",\"id\":\"ID\"}\n\n" +
		"id: ID\ndata: {\"id\":\"ID\",\"from\":\"TAG\",\"ref\":7,\"message\":[1,  \t2, \"a\\nb\"]}\n\n" +
		"id: ID\ndata: {\"id\":\"ID\",\"message\":\"end\"}\n\n" +
		"id: end-4503\ndata: {\"error\":{\"code\":4503,\"name\":\"kicked\",\"text\":\"kicked: for the test\"}}\n\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// hearOne reads a message of any value.
func (c *client2) hearOne() {
	c.t.Helper()
	if o := c.read(); o.Message == nil {
		c.t.Fatalf("got %+v, want a message", o)
	}
}

func TestAReaderGoesOnBehindItsLastEvent(t *testing.T) {
	s := startServer(t, nil)
	talker := s.join2(t, "")
	say := func(texts ...string) {
		for _, text := range texts {
			talker.say(text)
		}
		talker.hear(len(texts))
	}
	r, open := s.follow(t, "/sse/chat/lobby/")
	if !strings.HasPrefix(open, `{"event":"open","v":2,"id":"`) || strings.Contains(open, "resumed") || !strings.HasSuffix(open, `"count":2}`) {
		t.Errorf("opened with %s", open)
	}
	say("a", "b")
	r.hears("a")
	r.hears("b")
	_ = r.Close()
	say("c", "d")
	for _, way := range [][]string{
		{"/sse/chat/lobby/?since=" + r.lastID},
		{"/sse/chat/lobby", "Last-Event-ID: " + r.lastID},
		{"/sse/chat/lobby/?since=zzzzzzzzzzzzzzzz&last=1&v=2", "Last-Event-ID: " + r.lastID}, // an EventSource sends both
	} {
		back, open := s.follow(t, way[0], way[1:]...)
		if !strings.Contains(open, `"resumed":true`) || !strings.Contains(open, r.lastID) {
			t.Errorf("%q: opened with %s, want it resumed at %s", way, open, r.lastID)
		}
		back.hears("c")
		back.hears("d")
		if live := back.event(); live != `{"event":"live","id":"`+talker.since+`"}` || back.lastID != talker.since {
			t.Errorf("%q: got %s behind the id %s, want live at %s", way, live, back.lastID, talker.since)
		}
	}
	lost, open := s.follow(t, "/sse/chat/lobby/?last=1", "Last-Event-ID: what")
	if !strings.Contains(open, `"resumed":false`) {
		t.Errorf("opened with %s, want it not resumed", open)
	}
	lost.hears("d")
	if live := lost.event(); !strings.Contains(live, "live") {
		t.Errorf("got %s, want live", live)
	}
	say("e")
	lost.hears("e")
}

// A reader is a member in each respect: it counts, it is listed, and an operator can kick it. After a kick it must not come back.
func TestAReaderThatWasKickedIsAnsweredWith204(t *testing.T) {
	s := startServer(t, nil)
	r, _ := s.follow(t, "/sse/chat/lobby/")
	members := s.listed(t, "chat/lobby").Connections
	if len(members) != 1 || members[0].Protocol != "sse" || members[0].Remote != r.LocalAddr().String() {
		t.Fatalf("listed %+v, want one reader", members)
	}
	s.request(t, "DELETE", "/api/connections/"+members[0].ID, "")
	if got := r.event(); !strings.Contains(got, `"code":4503`) {
		t.Errorf("got %s, want the error 4503", got)
	}
	if data, ok := r.next(); ok {
		t.Errorf("got %s behind the error", data)
	}
	if head, body := s.exchange(t, requestFor("GET", "/sse/chat/lobby/", "Last-Event-ID: "+r.lastID)); head.StatusCode != http.StatusNoContent || body != "" {
		t.Errorf("it came back: HTTP %d %q, want 204", head.StatusCode, body)
	}
	if n := s.closes(4503); n != 1 {
		t.Errorf("counted %d closes with 4503, want 1", n)
	}
	s.follow(t, "/sse/chat/lobby/") // a new EventSource is another matter
}

func TestAFullRoomIsAStreamThatEndsSoThatItsReaderComesBack(t *testing.T) {
	s := startServer(t, func(c *Config) { c.RoomMembers, c.MaxRooms = 1, 1 })
	s.follow(t, "/sse/chat/lobby/")
	for path, text := range map[string]string{"/sse/chat/lobby/": "1 member", "/sse/chat/other/": "1 room"} {
		r, end := s.follow(t, path)
		if !strings.Contains(end, `"code":4103`) || !strings.Contains(end, text) || r.retry == "" || r.lastID != "" {
			t.Errorf("%s: got %s with retry %q and id %q, want the error 4103", path, end, r.retry, r.lastID)
		}
		if data, ok := r.next(); ok {
			t.Errorf("%s: got %s behind the error", path, data)
		}
	}
}

func TestADrainTellsReadersWhenToComeBack(t *testing.T) {
	s := startServer(t, nil)
	var readers []*reader
	for range 10 {
		r, _ := s.follow(t, "/sse/chat/lobby/")
		readers = append(readers, r)
	}
	if err := s.Drain(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	times := map[string]bool{}
	for _, r := range readers {
		if data, ok := r.next(); ok || r.comments != 1 {
			t.Errorf("got %q and %d comments, want the end with one comment", data, r.comments)
		}
		times[r.retry] = true
	}
	if len(times) < 2 {
		t.Errorf("all readers come back after %v ms", times)
	}
}

func TestAStreamThatHasNothingToSayGetsComments(t *testing.T) {
	s := startServer(t, func(c *Config) { c.MaxAge = 400 * time.Millisecond })
	r, _ := s.follow(t, "/sse/chat/lobby/")
	silent := s.join(t, "/ws/chat/lobby/")
	silent.endsWith(4100) // the same time, many times over, does not end a reader
	for r.comments < 12 && r.lines.Scan() {
		if strings.HasPrefix(r.lines.Text(), ":") {
			r.comments++
		}
	}
	if r.comments < 12 {
		t.Errorf("the stream ended after %d comments: %v", r.comments, r.lines.Err())
	}
}

// The defaults are those that PROTOCOL.md promises.
func TestTheTimesOfReaders(t *testing.T) {
	for _, row := range []struct{ maxAge, every, taken time.Duration }{
		{Default().MaxAge, 15 * time.Second, 60 * time.Second},
		{time.Hour, 15 * time.Second, 60 * time.Second},
		{20 * time.Second, 5 * time.Second, 20 * time.Second},
	} {
		if every, taken := readerTimes(row.maxAge); every != row.every || taken != row.taken {
			t.Errorf("--max-age=%v: %v and %v, want %v and %v", row.maxAge, every, taken, row.every, row.taken)
		}
	}
}

// The kernel takes comments for a dead path for minutes. So it must end the connection itself if nothing is acknowledged.
func TestTheKernelGivesUpAReaderThatAcknowledgesNothing(t *testing.T) {
	s := startServer(t, nil)
	s.follow(t, "/sse/chat/lobby/")
	found := 0
	for _, l := range s.node.Loops() {
		timeout, err := onLoop(t, l, func(l *loop.Loop) (ms int, err error) {
			l.Each(func(c *loop.Conn) bool {
				ms, err = unix.GetsockoptInt(c.Peer().(*session).fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
				return true
			})
			return ms, err
		})
		if err != nil {
			t.Fatal(err)
		}
		if timeout == 60_000 {
			found++
		}
	}
	if found != 1 {
		t.Errorf("%d connections have a limit of 60 s, want 1", found)
	}
}

// A reader that takes nothing gets its end as other members do, and comes back with its last event.
func TestAReaderThatIsTooSlowComesBackWithItsLastEvent(t *testing.T) {
	s := startServer(t, nil)
	talker := s.join2(t, "")
	slow := s.followOn(t, s.narrow(t), "/sse/chat/lobby/")
	opened := slow.event()
	sent := 0
	long := strings.Repeat("x", 1000)
	for s.closes(4101) == 0 {
		talker.say(fmt.Sprint(sent) + long)
		talker.hear(1)
		sent++
	}
	got := 0
	for {
		data, ok := slow.next()
		if !ok {
			break
		}
		if strings.Contains(data, `"error"`) {
			if !strings.Contains(data, `"code":4101`) {
				t.Errorf("got %s, want the error 4101", data)
			}
			continue
		}
		if !strings.Contains(data, fmt.Sprintf(`"message":"%d%s"`, got, long)) {
			t.Fatalf("message %d is %.80s", got, data)
		}
		got++
	}
	if got == sent || slow.lastID == "" {
		t.Fatalf("it got all %d messages (%s)", sent, opened)
	}
	back, open := s.follow(t, "/sse/chat/lobby/", "Last-Event-ID: "+slow.lastID)
	if !strings.Contains(open, `"resumed":true`) {
		t.Fatalf("opened with %s", open)
	}
	for ; got < sent; got++ {
		back.hears(fmt.Sprint(got) + long)
	}
	if live := back.event(); !strings.Contains(live, "live") {
		t.Errorf("got %.80s, want live", live)
	}
}

// narrow dials with the smallest possible receive buffer.
func (s *testServer) narrow(t *testing.T) *wire {
	t.Helper()
	w := s.dial(t)
	w.control(func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 2048) })
	return w
}

func TestAReaderCostsNoGoroutineAndLittleMemory(t *testing.T) {
	const readers = 1000
	s := startServer(t, nil)
	s.follow(t, "/sse/chat/lobby/")
	wires := make([]*wire, readers)
	for i := range wires {
		wires[i] = s.dial(t)
	}
	_ = heapInUse() // the first collection leaves what had finalizers
	goroutines, memory := runtime.NumGoroutine(), heapInUse()
	for _, w := range wires {
		w.write(requestFor("GET", "/sse/chat/lobby/"))
		if _, err := w.r.ReadString('}'); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all have joined", func() bool { return s.counts.streams.Load() == readers+1 })
	eventually(t, "there are no more goroutines than without readers", func() bool { return runtime.NumGoroutine() <= goroutines })
	grown := heapInUse() - memory
	runtime.KeepAlive(wires)
	t.Logf("%d readers: %d bytes of heap for each, with its connection", readers, grown/readers)
	if grown > readers*1000 {
		t.Errorf("%d bytes of heap for each reader", grown/readers)
	}
}

// HTTP/1.0, an absolute target and the methods that are not served.
func TestStreamsAreServedInEachFormOfARequest(t *testing.T) {
	s := startServer(t, nil)
	for _, request := range []string{
		"GET /sse/chat/lobby/ HTTP/1.0\r\n\r\n",
		"GET http://localhost/sse/chat/lobby HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		requestFor("GET", "/sse/chat/l%6Fbby", "Accept: text/event-stream", "Content-Length: 0"),
	} {
		w := s.dial(t)
		w.write(request)
		if r := w.response(); r.StatusCode != 200 || !r.Close || slices.Contains(r.TransferEncoding, "chunked") || r.ContentLength != -1 {
			t.Errorf("%q: HTTP %d, close %v, %q", request, r.StatusCode, r.Close, r.TransferEncoding)
		}
		talker := s.join(t, "/ws/chat/lobby/")
		talker.say("x")
		if _, err := w.r.ReadString('}'); err != nil {
			t.Error(err)
		}
		if line, err := w.r.ReadString('}'); err != nil || !strings.HasSuffix(line, `"message":"x"}`) {
			t.Errorf("%q: %q, %v", request, line, err)
		}
		_ = talker.Close()
		_ = w.Close()
	}
	for _, row := range []struct {
		request string
		status  int
		text    string
	}{
		{requestFor("HEAD", "/sse/chat/lobby/"), 405, ""},
		{requestFor("POST", "/sse/chat/lobby/"), 405, "takes only GET"},
		{requestFor("PUT", "/sse/chat/lobby/"), 405, "takes only GET"},
		{requestFor("GET", "/sse/chat/"), 400, "empty"},
		{requestFor("GET", "/sse/chat/%00/"), 400, "control"},
		{requestFor("GET", "/sse/chat/lobby/?presence=1"), 400, "presence"},
		{requestFor("GET", "/sse/chat/lobby/?last=x"), 400, "last"},
		{requestFor("GET", "/sse/chat/lobby/?v=1"), 400, "v must be 2"},
		{requestFor("GET", "/sse/raw/lobby/"), 404, ""},
		{requestFor("GET", "/sse/"), 404, ""},
		{requestFor("GET", "/sse/chat/a/b"), 404, ""},
	} {
		r, body := s.exchange(t, row.request)
		if r.StatusCode != row.status || !strings.Contains(body, row.text) || (row.status == 405) != (r.Header.Get("Allow") == "GET, OPTIONS") {
			t.Errorf("%q: HTTP %d %q, Allow %q, want %d with %q", row.request, r.StatusCode, body, r.Header.Get("Allow"), row.status, row.text)
		}
	}
}

// While the node waits for Redis it must not send an EventSource away for good.
func TestAReaderComesBackToANodeThatWaits(t *testing.T) {
	w := startWaiting(t, func(c *Config) { c.Origins = []string{"https://app.example.org"} })
	for _, row := range []struct {
		request string
		status  int
	}{
		{requestFor("GET", "/sse/chat/lobby/"), 200},
		{requestFor("GET", "/sse/chat/lobby?since=x", "Origin: https://app.example.org"), 200},
		{requestFor("GET", "/sse/chat/lobby/", "Origin: https://evil.example"), 503},
		{requestFor("POST", "/sse/chat/lobby/"), 503},
		{requestFor("GET", "/sse/chat//"), 503},
		{requestFor("POST", "/chat/lobby/"), 503},
	} {
		r, body, err := say(t, w.Addr(), row.request)
		if err != nil || r.StatusCode != row.status {
			t.Errorf("%q: HTTP %d, %v, want %d", row.request, r.StatusCode, err, row.status)
			continue
		}
		if row.status == 200 && (!strings.HasPrefix(body, "retry: ") || !strings.Contains(body, `"code":4104`) || !strings.Contains(body, "waiting for Redis")) {
			t.Errorf("%q: got %q, want when to come back, and why", row.request, body)
		}
	}
}
