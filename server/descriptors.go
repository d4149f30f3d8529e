package server

import (
	"fmt"
	"syscall"

	"go.uber.org/zap"
)

// fileShares says how the limit of open files is shared out. Every connection is an open file; what the process needs for
// itself comes first, and the admin address and refusals get a share that shrinks with the limit, so that a small one leaves
// most of its places to clients.
type fileShares struct {
	clients  int // connections of clients
	admin    int // connections of the admin address
	refusals int // connections that were refused and wait to be closed
}

const (
	// processDescriptors are standard input, output and error, Go's own poller and what it reads of cgroups, two listeners, two
	// spares, a connection that is being taken over (two for a moment), and a file that is read or written now and then. An
	// idle process with one loop has 19 open, one with two 25.
	processDescriptors = 18
	descriptorsPerLoop = 6 // its epolls, eventfds and their duplicates

	leastShare, mostShare = 4, 32 // of admin connections, and of refusals
	sharePart             = 16    // each gets a sixteenth, between these
)

// shareDescriptors shares out a limit of open files. backend is how many the connection to other nodes takes.
func shareDescriptors(limit uint64, loops, backend int) (fileShares, error) {
	need := processDescriptors + descriptorsPerLoop*loops + backend
	rest := int(min(limit, mostOfAnything)) - need
	share := min(max(rest/sharePart, leastShare), mostShare)
	d := fileShares{clients: rest - 2*share, admin: share, refusals: share}
	if d.clients < 1 {
		return d, fmt.Errorf("the limit of open files is %d, and with %d loops the process needs %d before the first connection: raise it with ulimit -n %d, or LimitNOFILE= in the systemd unit",
			limit, loops, need+2*share+1, nextLimit(limit))
	}
	return d, nil
}

// openFiles is the limit of open files of this process.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return limit.Cur
}

func nextLimit(cur uint64) uint64 {
	if cur < 1<<20 {
		return 1 << 20
	}
	return 2 * cur
}

// shareFiles shares out the limit of this process.
func (s *Server) shareFiles() (err error) {
	backend := 0
	if s.backend != nil {
		backend = s.backend.Descriptors
	}
	s.files, err = shareDescriptors(openFiles(), s.cfg.Loops, backend)
	return err
}

// warnOfLimit says that fewer connections are taken than the setting says.
func (s *Server) warnOfLimit(r *rules) {
	if r.cfg.MaxConns > r.maxOpen {
		s.log.Warn("--max-conns is more than the limit of open files allows", zap.Int("max-conns", r.cfg.MaxConns), zap.Int("allowed", r.maxOpen), zap.String("hint", r.hint))
	}
}

// connections is how many of clients there may be, if the setting (0: any number) says so many, and how to get more.
func (f fileShares) connections(setting int) (n int, hint string) {
	if setting > 0 && setting <= f.clients {
		return setting, "raise --max-conns for more"
	}
	return f.clients, fmt.Sprintf("raise the limit of open files for more: ulimit -n %d, or LimitNOFILE= in the systemd unit", nextLimit(openFiles()))
}

// MaxConnections is how many connections this node can hold, and how to get more. Any goroutine.
func (s *Server) MaxConnections() (n int, hint string) {
	r := s.rules.Load()
	return r.maxOpen, r.hint
}
