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

// maxLines is the number of connections that are served at once: one works,
// the others are refused or send nothing. More connections wait in the kernel.
const maxLines = 16

// host is a worker at a port to which anybody may connect. A connection uses
// one of maxLines places until it has sent the token and got the slot. Each of
// the two lines that it sends for this must arrive within the allowed silence.
// So nobody without the token can keep a coordinator out for longer than that.
//
// The worker does one job at a time. If its coordinator ends, the run goes on
// to its next step: package load cannot be interrupted, and a process that
// others wait for cannot exit as one of --procs does. A coordinator that comes
// meanwhile gets the error that the worker is busy.
type host struct {
	token   string
	once    bool
	silence time.Duration // limit for the token, and for the job
	wait    time.Duration // limit for the end of the previous job
	run     func(load.Config) (*result.Result, error)
	slot    chan struct{} // has room for the connection that works

	mu  sync.Mutex // guards log
	log io.Writer
}

func newHost(token string, once bool, log io.Writer) *host {
	return &host{token: token, once: once, silence: 5 * time.Second, wait: 2 * time.Second, run: load.Run,
		slot: make(chan struct{}, 1), log: log}
}

// Serve does the jobs that arrive at a listener, one at a time, until it is
// closed, or with once until the first is done. Coordinators must know the
// token.
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
			// The current job has all connections; closing must not end it.
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

// hear serves one connection, and reports whether it had a job.
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
