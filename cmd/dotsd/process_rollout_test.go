package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	rolloutMembers = flag.Int("rollout.members", 300, "members of the node that goes out of service, in TestNodesOnRedis/a_node_goes")
	rolloutRooms   = flag.Int("rollout.rooms", 10, "rooms that they are in")
	rolloutRate    = flag.Int("rollout.rate", 200, "messages per second, all rooms together")
)

// returner is a client of version 2 that comes back with its position. Its goroutine owns it.
type returner struct {
	room    int
	since   string
	next    int // the number that must come next, -1: any
	got     int
	faults  []string
	left    time.Time // when its connection ended
	back    time.Time // when it was live again
	refused bool
}

// stay joins a node and reads until the connection ends, or until the last message.
func (c *returner) stay(address string, last int) error {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(conn, "GET /ws/chat/rollout%d/?v=2&since=%s HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", c.room, c.since)
	r := bufio.NewReader(conn)
	answer, err := http.ReadResponse(r, &http.Request{Method: http.MethodGet})
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("HTTP %d", answer.StatusCode)
	}
	for {
		op, text, err := readFrame(r)
		switch {
		case err != nil:
			return err
		case op == 8:
			return io.EOF
		case op != 1:
			continue
		}
		if id := between(text, `"id":"`, `"`); id != "" {
			c.since = id
		}
		switch between(text, `"event":"`, `"`) {
		case "open":
			if bytes.Contains(text, []byte(`"resumed":false`)) {
				c.refused = true
			}
		case "live":
			c.back = time.Now()
		case "":
			n, err := strconv.Atoi(between(text, `"message":`, `}`))
			if err != nil {
				return fmt.Errorf("%s: %w", text, err)
			}
			if c.next >= 0 && n != c.next {
				c.faults = append(c.faults, fmt.Sprintf("got %d, want %d", n, c.next))
			}
			c.next = n + 1
			c.got++
			if n == last {
				return nil
			}
		default:
			c.faults = append(c.faults, string(text))
		}
	}
}

func between(text []byte, open, end string) string {
	_, rest, ok := bytes.Cut(text, []byte(open))
	if !ok {
		return ""
	}
	part, _, _ := bytes.Cut(rest, []byte(end))
	return string(part)
}

func readFrame(r *bufio.Reader) (op byte, payload []byte, err error) {
	var head [10]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1])
	switch n {
	case 126:
		_, err = io.ReadFull(r, head[:2])
		n = uint64(binary.BigEndian.Uint16(head[:]))
	case 127:
		_, err = io.ReadFull(r, head[:8])
		n = binary.BigEndian.Uint64(head[:])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	op = head[0] & 15
	_, err = io.ReadFull(r, payload)
	return op, payload, err
}

// testRollout takes one of two nodes out of service while its members listen. They come back at the other node, and each must have
// every message once and in order. Members of that node are there all the time; their latency is printed.
func (p programs) testRollout(t *testing.T) {
	redis := startRedis(t)
	args := []string{"--redis=" + redis, "--redis-hold=60s", "--drain-time=1s"}
	leaving, staying := p.serve(t, args...), p.serve(t, args...)
	rooms, messages := *rolloutRooms, 6**rolloutRate / *rolloutRooms
	sent := make([][]time.Time, rooms) // by room and number
	for i := range sent {
		sent[i] = make([]time.Time, messages)
	}
	var mu sync.Mutex
	latencies := map[string][]time.Duration{}
	phase := "before"
	var bystanders, wait sync.WaitGroup
	talkers := make([]*member, rooms)
	for i := range rooms {
		m, err := staying.dial(false)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		if status, err := m.ask(fmt.Sprint("rollout", i)); status != http.StatusSwitchingProtocols {
			t.Fatal(status, err)
		}
		talkers[i] = m
		bystanders.Go(func() {
			for n := 0; n < messages; {
				op, _, err := readFrame(m.r)
				if err != nil {
					t.Error(err)
					return
				}
				if op != 1 {
					continue
				}
				mu.Lock()
				latencies[phase] = append(latencies[phase], time.Since(sent[i][n]))
				mu.Unlock()
				n++
			}
		})
	}
	members := make([]*returner, *rolloutMembers)
	for i := range members {
		c := &returner{room: i % rooms, next: -1}
		members[i] = c
		wait.Go(func() {
			err := c.stay(leaving.start.Address, messages-1)
			if !errors.Is(err, io.EOF) {
				c.faults = append(c.faults, fmt.Sprint("on the first node: ", err))
				return
			}
			c.left = time.Now()
			pause := time.NewTimer(time.Duration(rand.IntN(1000)) * time.Millisecond) // a client spreads its attempts
			<-pause.C
			if err := c.stay(staying.start.Address, messages-1); err != nil {
				c.faults = append(c.faults, fmt.Sprint("on the second node: ", err))
			}
		})
	}
	eventually(t, "all have joined", func() bool { return leaving.metric("dots_upgraded_total") >= float64(len(members)) })
	start := time.Now()
	for n := range rooms * messages {
		due := start.Add(time.Duration(n) * time.Second / time.Duration(*rolloutRate))
		timer := time.NewTimer(time.Until(due))
		<-timer.C
		if n == rooms*messages/3 {
			mu.Lock()
			phase = "meanwhile"
			mu.Unlock()
			leaving.signal(syscall.SIGTERM)
		}
		text := fmt.Sprintf(`{"message":%d}`, n/rooms)
		mu.Lock()
		sent[n%rooms][n/rooms] = time.Now()
		mu.Unlock()
		if _, err := talkers[n%rooms].Write(append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)); err != nil {
			t.Fatal(err)
		}
	}
	wait.Wait()
	bystanders.Wait()
	var away []time.Duration
	refused, got := 0, 0
	for i, c := range members {
		if len(c.faults) > 0 {
			t.Errorf("member %d: %q", i, c.faults[:min(len(c.faults), 3)])
		}
		if c.refused {
			refused++
		}
		got += c.got
		away = append(away, c.back.Sub(c.left))
	}
	if refused > 0 {
		t.Errorf("%d of %d were not resumed", refused, len(members))
	}
	t.Logf("%d members in %d rooms, %d messages/s, %d deliveries: from the end of the old connection until live p50 %v, p99 %v, max %v",
		len(members), rooms, *rolloutRate, got, quantile(away, 0.5), quantile(away, 0.99), quantile(away, 1))
	for _, phase := range []string{"before", "meanwhile"} {
		l := latencies[phase]
		t.Logf("members of the other node %s: latency p50 %v, p99 %v, max %v", phase, quantile(l, 0.5), quantile(l, 0.99), quantile(l, 1))
	}
}

func quantile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	if len(d) == 0 {
		return 0
	}
	return d[min(int(q*float64(len(d))), len(d)-1)].Round(10 * time.Microsecond)
}
