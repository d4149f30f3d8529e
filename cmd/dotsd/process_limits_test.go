package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func itoa(n int) string { return strconv.Itoa(n) }

func atoi(b []byte) int {
	n, err := strconv.Atoi(string(b))
	if err != nil {
		panic(err) // cannot happen: proc(5) has a number here
	}
	return n
}

func contains(part string) func(string) bool {
	return func(s string) bool { return strings.Contains(s, part) }
}

// member is a client that writes bytes and reads the server's answers.
type member struct {
	net.Conn
	r *bufio.Reader
}

const request = "GET /ws/chat/%s/ HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// dial connects to the server. If narrow is true, the client has the smallest possible receive buffer.
func (d *daemon) dial(narrow bool) (*member, error) {
	dialer := net.Dialer{Timeout: patience, Control: func(_, _ string, c syscall.RawConn) (err error) {
		cerr := c.Control(func(fd uintptr) {
			if narrow {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 2048)
			}
		})
		return errors.Join(cerr, err)
	}}
	conn, err := dialer.DialContext(context.Background(), "tcp", d.start.Address)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(2 * patience))
	return &member{conn, bufio.NewReader(conn)}, nil
}

// ask asks for a room and returns the HTTP status, or 0 if the connection ended without an answer.
func (m *member) ask(room string) (status int, err error) {
	_, _ = fmt.Fprintf(m, request, room) // if the write fails, the read fails too
	r, err := http.ReadResponse(m.r, &http.Request{Method: http.MethodGet})
	var timeout net.Error
	switch {
	case err == nil:
		return r.StatusCode, nil
	case errors.As(err, &timeout) && timeout.Timeout():
		return 0, err
	default:
		return 0, nil
	}
}

// echo sends a message and waits until it has come back.
func (m *member) echo(text string) error {
	payload := `{"message":"` + text + `"}`
	frame := append([]byte{0x81, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
	if _, err := m.Write(frame); err != nil {
		return err
	}
	for {
		head := make([]byte, 2)
		if _, err := io.ReadFull(m.r, head); err != nil {
			return err
		}
		got := make([]byte, head[1])
		if _, err := io.ReadFull(m.r, got); err != nil {
			return err
		}
		if string(got) == payload {
			return nil
		}
		if head[0] != 0x81 {
			return fmt.Errorf("a frame % x", head)
		}
	}
}

// joined returns n members, each in a room of its own. It fails the test if one of them cannot join.
func (d *daemon) joined(n int, name string) (members []*member) {
	d.t.Helper()
	for i := range n {
		m, err := d.dial(false)
		if err != nil {
			d.t.Fatal(err)
		}
		d.t.Cleanup(func() { _ = m.Close() })
		if status, err := m.ask(name + itoa(i)); status != http.StatusSwitchingProtocols {
			d.t.Fatalf("%s %d: HTTP %d, %v, want 101", name, i, status, err)
		}
		members = append(members, m)
	}
	return members
}

func (d *daemon) echoes(members []*member) {
	d.t.Helper()
	for i, m := range members {
		if err := m.echo("still here"); err != nil {
			d.t.Errorf("old member %d: %v", i, err)
		}
	}
}

// watch measures, over the given time, the processor time that the server uses, as a share of one core, and returns the log lines
// of that time.
func (d *daemon) watch(window time.Duration) (core float64, lines []string) {
	d.t.Helper()
	before, logged := d.cpu(), len(d.log())
	timer := time.NewTimer(window) // the time over which processor time is measured
	<-timer.C
	return float64(d.cpu()-before) / float64(window), d.log()[logged:]
}

// testSmallLimit fills a server that may have few open files, and uses the server's admin address meanwhile. A limit that is too
// low for any connection must be an error at the start.
func (p programs) testSmallLimit(t *testing.T) {
	for _, limit := range []int{60, 100} {
		d := p.serveUnder(t, "ulimit -n "+itoa(limit), "--drain-time=0s")
		if least := limit * 3 / 10; d.start.Connections < least {
			t.Errorf("under a limit of %d there is room for %d, want at least %d", limit, d.start.Connections, least)
		}
		members := d.joined(d.start.Connections, "small")
		d.echoes(members)
		if got := d.metric("dots_connections_max"); int(got) != len(members) {
			t.Errorf("the metric has %v connections, and the log %d", got, len(members))
		}
		over, err := d.dial(false)
		if err != nil {
			t.Fatal(err)
		}
		status, err := over.ask("over")
		_ = over.Close()
		if status != http.StatusServiceUnavailable {
			t.Errorf("one more than announced: HTTP %d, %v, want 503", status, err)
		}
		d.echoes(members)
		if n := d.metric("dots_accept_errors_total"); n != 0 {
			t.Errorf("%v connections could not be accepted because of the file limit", n)
		}
		t.Logf("a limit of %d open files: %d members", limit, len(members))
		d.terminate()
	}
	cmd := exec.Command("/bin/sh", "-c", `ulimit -n 30 && exec "$0" --listen=127.0.0.1:0 --admin=127.0.0.1:0`, p.path("dotsd"))
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "the limit of open files is 30") || !strings.Contains(string(out), "ulimit -n") {
		t.Errorf("under a limit of 30: %v, %s; want an error that says what to do", err, out)
	}
}

// testDescriptors: 400 clients come at once to a server that may have 200 open files. Half of them send nothing.
func (p programs) testDescriptors(t *testing.T) {
	const crowd = 400
	d := p.serveUnder(t, "ulimit -n 200")
	old := d.joined(20, "old")
	before := d.cpu()
	began := time.Now()
	type answer struct {
		*member
		status int
		err    error
		after  time.Duration
	}
	answers := make([]answer, crowd)
	var wait sync.WaitGroup
	for i := range answers {
		wait.Go(func() {
			m, err := d.dial(false)
			if err != nil {
				answers[i].err = err
				return
			}
			if i%2 == 0 { // this client sends nothing, and must still get an answer or be disconnected
				status, err := m.listen()
				answers[i] = answer{m, status, err, time.Since(began)}
				return
			}
			status, err := m.ask("new" + itoa(i))
			answers[i] = answer{m, status, err, time.Since(began)}
		})
	}
	wait.Wait()
	took := time.Since(began)
	statuses, silent := map[int]int{}, 0
	var longest time.Duration // longest wait of a client that has sent a request
	for i, a := range answers {
		statuses[a.status]++
		if i%2 == 1 {
			longest = max(longest, a.after)
		}
		if a.err != nil {
			silent++
			t.Errorf("neither an answer nor an end: %v", a.err)
		}
	}
	storm := float64(d.cpu()-before) / float64(took)
	core, lines := d.watch(2 * time.Second)
	d.echoes(old)
	if statuses[http.StatusSwitchingProtocols] == 0 {
		t.Errorf("none of the new ones was served: %v", statuses)
	}
	if core > 0.5 {
		t.Errorf("%.0f %% of a core afterwards", 100*core)
	}
	if perSecond := busiestSecond(d.log()); perSecond > 20 {
		t.Errorf("%d log lines of one kind in a second", perSecond)
	}
	for _, a := range answers { // all clients disconnect
		if a.member != nil {
			_ = a.member.Close()
		}
	}
	eventually(t, "new ones are served again", func() bool {
		m, err := d.dial(false)
		if err != nil {
			return false
		}
		t.Cleanup(func() { _ = m.Close() })
		status, _ := m.ask("again")
		return status == http.StatusSwitchingProtocols
	})
	d.echoes(old)
	for _, m := range old {
		_ = m.Close()
	}
	t.Logf("room for %d: %d came, answers by HTTP status %v (0: closed), %d none, in %v (who asked waited %v at most) with %.1f %% of a core and %d log lines, at most %d of a kind in a second; afterwards %.1f %% of a core and %d lines in 2 s",
		d.start.Connections, crowd, statuses, silent, took.Round(time.Millisecond), longest.Round(time.Millisecond), 100*storm, len(d.log()),
		busiestSecond(d.log()), 100*core, len(lines))
	d.terminate()
}

// listen waits for an answer without sending a request.
func (m *member) listen() (status int, err error) {
	r, err := http.ReadResponse(m.r, &http.Request{Method: http.MethodGet})
	var timeout net.Error
	switch {
	case err == nil:
		return r.StatusCode, nil
	case errors.As(err, &timeout) && timeout.Timeout():
		return 0, err
	}
	return 0, nil
}

// testFewerDescriptors lowers the limit below the number of open files, while clients come. With a limit of 20 files, accept
// itself fails, and clients wait until they are answered one by one. With a limit of 40 files, the server can accept a
// connection, but no loop can take the connection over.
func (p programs) testFewerDescriptors(t *testing.T) {
	for _, limit := range []uint64{20, 40} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel() // each limit has its own server, and the test of a limit mostly waits
			p.testLimit(t, limit)
		})
	}
}

func (p programs) testLimit(t *testing.T, limit uint64) {
	const clients = 50
	d := p.serve(t)
	old := d.joined(100, "old")
	was := d.limitFiles(limit)
	answers := make(chan int, clients)
	for range clients {
		m, err := d.dial(false)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		go func() {
			status, _ := m.ask("waiting")
			answers <- status
		}()
	}
	statuses := map[int]int{<-answers: 1} // one client has got an answer already
	core, lines := d.watch(2 * time.Second)
	d.echoes(old)
	if core > 0.5 {
		t.Errorf("%.0f %% of a core while there are no descriptors", 100*core)
	}
	if most := busiestSecond(d.log()); most > 20 {
		t.Errorf("%d log lines of one kind in a second", most)
	}
	d.limitFiles(was)
	for range clients - 1 {
		statuses[<-answers]++
	}
	for status := range statuses {
		if status != http.StatusSwitchingProtocols && status != http.StatusServiceUnavailable && status != 0 {
			t.Errorf("%d clients were answered with HTTP %d", statuses[status], status)
		}
	}
	d.echoes(append(old, d.joined(10, "new")...))
	t.Logf("%.1f %% of a core and %d log lines in 2 s, %d in all; answers to %d clients by HTTP status: %v (0: closed)", 100*core, len(lines),
		len(d.log()), clients, statuses)
	for _, m := range old {
		_ = m.Close()
	}
	d.terminate()
}

// limitFiles sets the number of files that the server may have open from now on, and returns the old limit.
func (d *daemon) limitFiles(n uint64) (was uint64) {
	d.t.Helper()
	var limit unix.Rlimit
	if err := unix.Prlimit(d.cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		d.t.Fatal(err)
	}
	was, limit.Cur = limit.Cur, n
	if err := unix.Prlimit(d.cmd.Process.Pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		d.t.Fatal(err)
	}
	return was
}

// busiestSecond returns the largest number of lines with the same message in one second of the log.
func busiestSecond(lines []string) (most int) {
	counts := map[string]int{}
	for _, text := range lines {
		var line logLine
		if json.Unmarshal([]byte(text), &line) != nil || len(line.Time) < 19 {
			continue
		}
		key := line.Time[:19] + line.Message
		counts[key]++
		most = max(most, counts[key])
	}
	return most
}

// testFloods does at full speed everything that a stranger can do, and makes the server kick slow consumers. The server may write
// ten lines with the same message in each second of the sampler. One second of the log may overlap two seconds of the sampler.
func (p programs) testFloods(t *testing.T) {
	const length = 2 * time.Second
	d := p.serve(t, "--max-message=4KiB", "--backlog-soft=8KiB", "--backlog-hard=16KiB", "--unsent-limit=4KiB", "--close-timeout=200ms", "--stall-budget=0s")
	upgrade := fmt.Sprintf(request, "flood")
	floods := []string{"\x00garbage\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", strings.Replace(upgrade, "Version: 13", "Version: 8", 1),
		upgrade + "\x81\x01x", upgrade + "\x83\x80\x00\x00\x00\x00", upgrade + "\x81\x83\x00\x00\x00\x00abc", upgrade[:40]}
	var wait sync.WaitGroup
	counts := make([]int, len(floods))
	end := time.Now().Add(length)
	for i, text := range floods {
		wait.Go(func() {
			for time.Now().Before(end) {
				m, err := d.dial(false)
				if err != nil {
					t.Errorf("dial: %v", err)
					return
				}
				_, _ = io.WriteString(m, text)
				_ = m.Conn.(*net.TCPConn).SetLinger(0)
				_ = m.Close()
				counts[i]++
			}
		})
	}
	wait.Wait()
	hostile := d.log()[1:] // without the line about the start
	if most := busiestSecond(hostile); most > 20 {
		t.Errorf("%d lines of one kind in a second about bad handshakes and bad frames, want at most 20", most)
	}
	const slow = 200
	for range slow {
		m, err := d.dial(true)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		if status, err := m.ask("hot"); status != http.StatusSwitchingProtocols {
			t.Fatalf("HTTP %d, %v", status, err)
		}
	}
	hot := d.joined(1, "hot")[0]
	_ = hot.Close()
	speaker, err := d.dial(false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = speaker.Close() }()
	if status, err := speaker.ask("hot"); status != http.StatusSwitchingProtocols {
		t.Fatalf("HTTP %d, %v", status, err)
	}
	for i := range 2000 {
		if err := speaker.echo(fmt.Sprintf("%04d %s", i, strings.Repeat("x", 80))); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	kicked := slices.DeleteFunc(d.log(), func(s string) bool { return !strings.Contains(s, "slow consumer") })
	most := busiestSecond(d.log())
	if len(kicked) == 0 || most > 20 {
		t.Errorf("%d lines of %d slow consumers, %d in the busiest second, want 1 to 20", len(kicked), slow, most)
	}
	t.Logf("%v hostile connections by kind in %v: %d log lines; %d slow consumers: %d lines, at most %d a second", counts, length, len(hostile), slow, len(kicked), most)
	_ = speaker.Close()
	d.terminate()
}

// eventually waits until done reports true.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); {
		if time.Now().After(end) {
			t.Fatalf("still not after %v: %s", patience, what)
		}
		time.Sleep(10 * time.Millisecond) // polls the condition
	}
}
