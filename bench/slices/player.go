package slices

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/adapter"
	"dotsconnect/bench/client"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/load"
)

// player is a server of a sitting. play makes it work for one slice.
type player interface {
	play(length time.Duration) (sample, error)
	close() error
}

func newPlayer(a *adapter.Adapter, row Row, servers int, cpus *unix.CPUSet) (player, error) {
	server, err := a.Launch(1, cpus)
	if err != nil {
		return nil, cli.Failf(cli.Usage, "%w", err)
	}
	died := func() string {
		if server.Died() {
			return "its last output: " + server.LastWords()
		}
		return ""
	}
	cfg := load.Config{Scenario: row.Scenario, URL: server.URL, Pids: []int{server.Pid}, Died: died, Frames: a.Protocol(), Spin: cpus != nil}
	if row.Connects > 0 {
		target, err := client.ParseTarget(server.URL)
		if err != nil {
			return nil, errors.Join(err, stop(server))
		}
		return &opener{server, target, row.Connects, cpus != nil}, nil
	}
	session, err := load.OpenSession(cfg)
	if err != nil {
		return nil, errors.Join(err, stop(server))
	}
	return &talker{server, session, len(row.Figures)}, nil
}

func stop(s *adapter.Server) error {
	s.Stop()
	return nil
}

// talker is a player that sends messages on connections that stay open.
type talker struct {
	server  *adapter.Server
	session *load.Session
	figures int
}

// warm is the time at the start of a slice that is not measured. In this time the server fills its
// caches again, because other servers have used them, and gets the heartbeats that are due.
const warm = 30 * time.Millisecond

func (p *talker) play(length time.Duration) (sample, error) {
	if err := p.session.Rest(2 * time.Millisecond); err != nil {
		return sample{}, err
	}
	if _, err := p.session.Slice(warm); err != nil {
		return sample{}, err
	}
	found, err := p.session.Slice(length)
	if err != nil {
		return sample{}, err
	}
	values := []float64{found.CPUPerDelivery(), float64(found.P50) / 1000}
	return sample{values[:p.figures], found.Foreign}, nil
}

func (p *talker) close() error {
	verdict, err := p.session.Close()
	if verdict.Sum() > 0 {
		err = errors.Join(err, cli.Failf(cli.Violated, "delivery violation: %s", verdict.Notes[0]))
	}
	p.server.Stop()
	return err
}

// opener is a player whose work is to open connections, which are then reset.
type opener struct {
	server *adapter.Server
	target client.Target
	conns  int
	spin   bool
}

func (p *opener) play(time.Duration) (sample, error) {
	m := load.StartMeter(p.server.Pid)
	e, err := client.New(client.Config{Target: p.target, MaxConns: p.conns, Spin: p.spin}, client.Handlers{})
	if err != nil {
		return sample{}, err
	}
	const window = 64
	err = e.OpenAll(p.conns, window, func(i int) string { return p.target.Room(fmt.Sprintf("slices-%d", i/8)) }, time.Minute)
	if err == nil {
		_, err = e.Run(e.Now()+int64(10*time.Millisecond), nil)
	}
	cpu, foreign := m.Stop()
	if err := errors.Join(err, e.Close()); err != nil {
		return sample{}, err
	}
	time.Sleep(50 * time.Millisecond) // so that the server notices the resets
	return sample{[]float64{float64(cpu) / 1000 / float64(p.conns)}, foreign}, nil
}

func (p *opener) close() error { return stop(p.server) }
