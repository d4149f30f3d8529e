package load

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/client"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/result"
)

// failures counts the members that could not connect or join their rooms. The
// run goes on without them; a threshold limits their share.
type failures struct {
	opening bool // connections are being opened, so an end is a failure to connect
	causes  map[string]int
	count   int
}

// failed records that a member could not connect, because of the end c.
func (f *failures) failed(r *run, m int32, c client.Close) {
	if r.joins.in[m] || r.joins.answer == nil && c.Opened {
		r.joined--
	}
	f.because(r, m, cause(c))
}

func (f *failures) because(r *run, m int32, why string) {
	if r.state[m] == gone {
		return
	}
	f.count++
	f.causes[why]++
	r.leave(m)
}

// cause names why a connection could not be opened. Connections with the same
// cause have the same name.
func cause(c client.Close) string {
	switch {
	case c.How == client.TimedOut:
		return fmt.Sprintf("no answer to the handshake within %v", client.DefaultDialTimeout)
	case c.How == client.Refused:
		return "connection refused"
	case c.How == client.ByReset:
		return "connection reset"
	case c.How == client.ByEOF:
		return "closed without a close frame"
	}
	return c.String()
}

// giveUp records the members that have not joined their rooms in time.
func (f *failures) giveUp(r *run, after time.Duration) {
	why := fmt.Sprintf("no answer within %v", after.Round(time.Second))
	if r.joins.answer != nil { // otherwise only members that were not dialed are left
		why = fmt.Sprintf("no answer that matches frames.joined (%s) within %v", r.joins.answer, after.Round(time.Second))
	}
	for m, id := range r.connOf {
		if !r.isMine(int32(m)) || r.state[m] == gone || r.joins.in[int32(m)] || id >= 0 && r.joins.answer == nil {
			continue
		}
		f.because(r, int32(m), why)
		if id >= 0 {
			r.e.Reset(id)
		}
	}
}

// check returns an error if no member could connect. One server may be down,
// but with no connection at all there is nothing to measure.
func (f *failures) check(r *run) error {
	if f.count < r.size {
		return nil
	}
	return cli.Failf(cli.Usage, "none of %s connections could be opened: %s", cli.Count(r.size), result.Causes(f.causes))
}

// notOpen explains an error of this machine while connections were opened.
func notOpen(r *run, err error) error {
	if why := r.died(); why != "" {
		return cli.Failf(cli.ServerDied, "the server died while connections were opened: %s", why)
	}
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return cli.Failf(cli.Usage, "opening connections: %w; give --source a network whose addresses belong to this machine, or a larger network", err)
	}
	return cli.Failf(cli.Invalid, "opening connections: %w", err)
}
