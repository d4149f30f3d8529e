package load

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"runtime/debug"
	"time"

	"dotsconnect/bench/client"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/probe"
	"dotsconnect/bench/result"
)

// window is the number of concurrent handshakes. It is smaller than the listen
// backlog of any server.
const window = 256

// joins has the messages with which a member joins its room after the
// handshake.
type joins struct {
	texts  []string
	answer *regexp.Regexp // matches the server's answer; nil: there is no answer
	in     map[int32]bool // members that got the answer
}

func newJoins(f Frames) (joins, error) {
	j := joins{texts: f.Join, in: map[int32]bool{}}
	if f.Joined == "" {
		return j, nil
	}
	var err error
	if j.answer, err = regexp.Compile(f.Joined); err != nil {
		return j, cli.Failf(cli.Usage, "frames.joined: %w", err)
	}
	return j, nil
}

// open opens the connections of all members. It also measures the CPU time and
// the memory that the connections cost the server, and the memory that the
// connections cost this process.
func (r *run) open() error {
	var err error
	r.e, err = client.New(client.Config{
		Target: r.targets[0], Others: r.targets[1:], MaxConns: len(r.memberOf), SourceNet: r.cfg.SourceNet,
		Sources: r.churn.sources(), BeatEvery: r.s.Beat, BeatText: r.cfg.Frames.Heartbeat, MaxBacklog: 4 << 20, Spin: r.cfg.Spin,
		Gather: r.closed && r.s.Burst > 1,
	}, client.Handlers{OnOpen: r.onOpen,
		OnMessage: func(id int32, payload []byte, at int64) { r.onMessage(id, client.OpText, payload, at) },
		OnBinary:  func(id int32, payload []byte, at int64) { r.onMessage(id, client.OpBinary, payload, at) },
		OnClose:   r.onClose, OnBeat: r.onBeat, OnCut: r.churn.cut(r)})
	if err != nil {
		return cli.Failf(cli.Usage, "%w", err)
	}
	if err := r.openAll(); err != nil {
		_ = r.e.Close()
		return err
	}
	r.out.Generator.BytesPerConn = float64(ownMemory()-r.bare) / float64(r.size)
	return nil
}

func (r *run) openAll() error {
	notFresh(r)
	if err := r.prelude(); err != nil {
		return err
	}
	var err error
	if r.before, err = r.look("before"); err != nil {
		return err
	}
	if _, err := r.meet(StepReady, Brought{}); err != nil {
		return err
	}
	cpu := r.now.readServers(r.cfg.Pids)
	r.failures.opening = true
	err = r.dialAll()
	if err == nil {
		// Wait, so that work which a server still does for new connections does
		// not count for the run.
		_, err = r.e.Run(r.e.Now()+int64(200*time.Millisecond), nil)
	}
	r.failures.opening = false
	if err != nil || r.died() != "" {
		return notOpen(r, err)
	}
	if err := r.failures.check(r); err != nil {
		return err
	}
	if _, err := r.meet(StepOpen, Brought{}); err != nil {
		return err
	}
	if s := r.out.Server; s != nil {
		s.CPUPerConnect = float64(r.now.readServers(r.cfg.Pids)-cpu) / 1000 / float64(max(1, r.s.Conns-r.failures.count))
	}
	r.opened, err = r.look("open")
	return err
}

// dialAll opens the connections of the members: by the schedule of s.Open or,
// without one, as fast as possible with at most window handshakes at a time.
func (r *run) dialAll() error {
	start := r.e.Now()
	r.openFrom = start
	limit := start + int64(30*time.Second) + int64(r.size)*int64(2*time.Millisecond)
	gap := 0.0
	if !r.s.Open.Max {
		gap = 1e9 / r.s.Open.PerSecond
		r.openGap = gap
		limit += int64(gap * float64(r.s.Conns))
	}
	due := func(m int32) int64 { return start + int64(gap*float64(m)) }
	for m := int32(0); int(m) < r.s.Conns || r.joined+r.failures.count < r.size; {
		now := r.e.Now()
		for ; int(m) < r.s.Conns && due(m) <= now && (gap > 0 || r.e.Opening() < window); m++ {
			if r.isMine(m) {
				if err := r.dial(m); err != nil {
					return fmt.Errorf("connection %d of %d: %w", m+1, r.s.Conns, err)
				}
				r.dialLateness(due(m), gap)
			}
		}
		if now >= limit && (r.joins.answer != nil || r.e.Opening() == 0) { // handshakes have a time limit of their own
			r.failures.giveUp(r, time.Duration(now-start))
			return nil
		}
		wake := max(limit, now+int64(100*time.Millisecond))
		switch {
		case int(m) == r.s.Conns:
		case gap > 0:
			wake = min(wake, due(m))
		default: // check again soon whether a handshake of the window is done
			wake = min(wake, now+int64(time.Millisecond))
		}
		if err := r.e.Poll(wake); err != nil {
			return err
		}
	}
	return nil
}

// dialLateness records how late a connection was opened, if the scenario has a
// schedule for opening.
func (r *run) dialLateness(due int64, gap float64) {
	if gap > 0 {
		result.Record(r.lateness, r.e.Now()-due)
	}
}

func (r *run) dial(m int32) error {
	id, err := r.e.DialTo(r.serverOf(m), r.targets[r.serverOf(m)].Room(r.roomName(r.roomOf[m])))
	if err == nil {
		r.connOf[m], r.memberOf[id] = id, m
	}
	return err
}

func (r *run) onOpen(id int32, o client.Open) {
	m := r.memberOf[id]
	if m < 0 {
		r.churn.opened(r, id)
		return
	}
	if r.restart.back(r, m, o.Stamp) {
		result.Record(r.reconnect, o.Stamp-r.restart.since(m))
	} else {
		from := o.Dialed
		if r.openGap > 0 { // opened by a schedule: count from the time at which the connection was due
			from = r.openFrom + int64(r.openGap*float64(m))
		}
		result.Record(r.connect, o.Stamp-from)
		r.cfg.Progress.Show("%s of %s connections open", cli.Count(r.e.Opened()), cli.Count(r.size))
	}
	r.silent.opened(m, o)
	r.e.Beat(id, !r.silent.is(m))
	for _, text := range r.joins.texts {
		// After an error the connection ends, and onClose handles that.
		_, _ = r.e.Send(id, []byte(expandRoom(text, r.roomName(r.roomOf[m]))))
	}
	if r.joins.answer == nil {
		r.joined++
	}
}

// onClose is called when a connection has ended and this generator did not end
// it.
func (r *run) onClose(id int32, c client.Close) {
	m := r.memberOf[id]
	if m < 0 {
		r.churn.closed(r, id, c)
		return
	}
	if r.restart.closed(r, m, c) {
		return
	}
	if r.failures.opening && !(c.Opened && r.silent.lives != nil) {
		r.failures.failed(r, m, c)
		return
	}
	expected := r.silent.closed(r, m, c) || r.slow.closed(m, c)
	r.leave(m)
	if expected {
		return
	}
	if r.ends++; r.ends == 1 {
		r.ended = fmt.Sprintf("room %d: member %d: %s", r.roomOf[m], m, c)
	}
}

// leave ends the judgment of a member: the ledger no longer expects deliveries
// to it.
func (r *run) leave(m int32) {
	if r.state[m] != gone {
		r.state[m] = gone
		r.left++
		r.ledger.Left(m)
	}
}

func (r *run) onBeat(id int32, before, after int64) {
	r.now.beats++
	if m := r.memberOf[id]; m >= 0 {
		r.silent.beat(m, before, after)
	}
}

// notFresh checks whether a server that was not started for this run was used
// before. Then it may already have memory for connections, so the memory per
// connection of this run would be too small.
func notFresh(r *run) {
	const (
		cpu  = 500 * time.Millisecond // an idle server needs less to start
		grew = 1 << 20
	)
	if r.cfg.Started || r.out.Server == nil {
		return
	}
	for _, pid := range r.cfg.Pids {
		spent, peak, now := processTime(pid), probe.PeakRSS(pid), rss(pid)
		if spent > cpu || peak > now+grew {
			r.out.Server.NotFresh = fmt.Sprintf("the server was used before (%v of CPU time, at most %.1f MB): memory per connection may be too small; start it again",
				spent.Round(10*time.Millisecond), float64(peak)/1e6)
		}
	}
}

// prelude opens connections to each server and resets them again, before the
// memory is read for the first time.
func (r *run) prelude() error {
	if r.s.Prelude == 0 || r.cfg.Together != nil && len(r.cfg.Pids) == 0 {
		return nil
	}
	for i, t := range r.targets {
		e, err := client.New(client.Config{Target: t, MaxConns: r.s.Prelude}, client.Handlers{})
		if err != nil {
			return err
		}
		path := t.Room(fmt.Sprintf("db-prelude-%d", i))
		err = e.OpenAll(r.s.Prelude, window, func(int) string { return path }, time.Minute)
		_ = e.Close()
		if err != nil {
			return notOpen(r, fmt.Errorf("the prelude: %w", err))
		}
	}
	return nil
}

// ownMemory returns the resident memory of this process: without garbage, and
// without the pages that are mapped from the program's file.
func ownMemory() int64 {
	debug.FreeOSMemory()
	return probe.Anonymous(os.Getpid())
}

// never stands for a time that never comes.
const never = math.MaxInt64
