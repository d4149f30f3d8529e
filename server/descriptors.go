package server

import (
	"fmt"
	"syscall"

	"go.uber.org/zap"
)

// fileShares divides the limit of open files, because every connection is an open file. The files of the process itself come
// first. The shares of the admin address and of refused connections are smaller if the limit is smaller, so that most places
// are always for clients.
type fileShares struct {
	clients  int // connections of clients
	admin    int // connections of the admin address
	refusals int // refused connections that wait to be closed
}

const (
	// processDescriptors is the number of files that the process needs, apart from loops: standard input, output and error, Go's
	// own poller and the cgroup files that it reads, two listeners, two spares, a connection that is being refused, and one file
	// for occasional reading or writing. An idle process with one loop has 18 files open, and with two loops 22.
	processDescriptors = 17
	descriptorsPerLoop = 4 // epoll and eventfd descriptors of a loop, two of each

	leastShare, mostShare = 4, 32 // bounds for the share of admin connections, and for that of refused connections
	sharePart             = 16    // each of the two shares is a sixteenth of the limit, but within leastShare and mostShare
)

// shareDescriptors divides a limit of open files. backend is the number of files that the connection to other nodes needs.
func shareDescriptors(limit uint64, loops, backend int) (fileShares, error) {
	need := processDescriptors + descriptorsPerLoop*loops + backend
	rest := int(min(limit, mostOfAnything)) - need
	share := min(max(rest/sharePart, leastShare), mostShare)
	d := fileShares{clients: rest - 2*share, admin: share, refusals: share}
	if d.clients < 1 {
		return d, fmt.Errorf("the limit of open files is %d, but a process with %d loops needs %d open files before the first connection: raise the limit with ulimit -n %d, or with LimitNOFILE= in the systemd unit",
			limit, loops, need+2*share+1, nextLimit(limit))
	}
	return d, nil
}

// openFiles returns the limit of open files of this process.
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

// shareFiles divides the limit of open files of this process.
func (s *Server) shareFiles() (err error) {
	backend := 0
	if s.backend != nil {
		backend = s.backend.Descriptors
	}
	s.files, err = shareDescriptors(openFiles(), s.cfg.Loops, backend)
	return err
}

// warnOfLimit logs a warning if the limit of open files allows fewer connections than the setting max-connections.
func (s *Server) warnOfLimit(r *rules) {
	if r.cfg.MaxConns > r.maxOpen {
		s.log.Warn("--max-conns is more than the limit of open files allows", zap.Int("max-conns", r.cfg.MaxConns), zap.Int("allowed", r.maxOpen), zap.String("hint", r.hint))
	}
}

// connections returns how many clients there may be with the given setting (0: as many as possible), and a hint how to allow
// more.
func (f fileShares) connections(setting int) (n int, hint string) {
	if setting > 0 && setting <= f.clients {
		return setting, "raise --max-conns to allow more connections"
	}
	return f.clients, fmt.Sprintf("raise the limit of open files to allow more connections: ulimit -n %d, or LimitNOFILE= in the systemd unit", nextLimit(openFiles()))
}

// MaxConnections returns how many connections this node can hold, and a hint how to allow more. Any goroutine.
func (s *Server) MaxConnections() (n int, hint string) {
	r := s.rules.Load()
	return r.maxOpen, r.hint
}
