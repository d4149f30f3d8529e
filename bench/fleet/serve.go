package fleet

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/load"
	"dotsconnect/bench/result"
)

// maxLines is the number of connections that are served at once: one connection
// has a job, and the other connections are silent or wait until the worker is
// free. Further connections wait in the kernel.
const maxLines = 16

// host is a worker that listens at a port to which anybody may connect. A
// coordinator's first two lines are the hello with the token, and the job. Each
// of these two lines must arrive within the time silence. So a connection
// without the token occupies one of the maxLines places for at most the time
// silence. It never gets the slot, which a job needs.
//
// The worker does one job at a time. If the coordinator of the job ends, the
// run goes on to its next step, because package load cannot be interrupted. (A
// process of --procs exits instead, but a worker with a port has to serve other
// coordinators.) A coordinator that connects during a job gets the error that
// the worker is busy.
type host struct {
	token   string
	once    bool
	silence time.Duration // how long the host waits for the hello, and for the job
	wait    time.Duration // how long a coordinator waits for the end of another coordinator's job
	run     func(load.Config) (*result.Result, error)
	slot    chan struct{} // has a value while a connection has a job

	mu  sync.Mutex // guards log
	log io.Writer
}

func newHost(token string, once bool, log io.Writer) *host {
	return &host{token: token, once: once, silence: 5 * time.Second, wait: 2 * time.Second, run: load.Run,
		slot: make(chan struct{}, 1), log: log}
}

// Serve does the jobs that arrive at a listener, one at a time. It returns when
// the listener is closed or, if once is set, after the first job. Coordinators
// must know the token.
func Serve(ln net.Listener, token string, once bool, log io.Writer) error {
	return newHost(token, once, log).serve(ln)
}

func (h *host) serve(ln net.Listener) error {
	lines := make(chan struct{}, maxLines)
	for {
		lines <- struct{}{}
		c, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
			// The connections of the current job have used up the file
			// descriptors. A return here could end the current job, so try
			// again later.
			time.Sleep(100 * time.Millisecond)
			<-lines
			continue
		case err != nil:
			return err
		}
		go func() {
			defer func() { <-lines }()
			worked, err := h.hear(c)
			_ = c.Close()
			if err != nil {
				h.say("%s: %v\n", c.RemoteAddr(), err)
			}
			if worked && h.once {
				_ = ln.Close()
			}
		}()
	}
}

// hear serves one connection. worked tells whether it had a job.
func (h *host) hear(c net.Conn) (worked bool, err error) {
	d := newDesk(c, c, c, h.token, h.run)
	if err := c.SetReadDeadline(time.Now().Add(h.silence)); err != nil {
		return false, err
	}
	if err := d.hello(); err != nil {
		return false, err
	}
	select {
	case h.slot <- struct{}{}:
		defer func() { <-h.slot }()
	case <-time.After(h.wait):
		return false, d.refuse(cli.Failf(cli.Usage, "the worker is busy with the job of another coordinator"))
	}
	if err := c.SetReadDeadline(time.Now().Add(h.silence)); err != nil {
		return false, err
	}
	j, err := d.job()
	if err != nil {
		return false, err
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return false, err
	}
	return true, d.work(j)
}

func (h *host) say(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, _ = fmt.Fprintf(h.log, format, args...)
}
