package server

import (
	"cmp"
	"context"
	"errors"
	"time"

	"dotsconnect/loop"
)

// Backend connects this node with others: what the server needs of a bus that reaches further than this process. Who starts
// the server fills it in; without one the node stands alone on loop.Embedded. All functions may be called from any goroutine.
type Backend struct {
	Bus   loop.Bus
	Lanes int
	// Descriptors is how many files the backend may have open, at most.
	Descriptors int
	LaneOf      func(room string) int
	// Start begins to deliver to the node; the bus is in use from then on. gap is to be told when members of the rooms, nil: of
	// all rooms of the lane, may have missed something; from any goroutine, and it does not block.
	Start func(node *loop.Node, gap func(lane int, rooms []string))
	// Yield is called by the goroutine of a loop after it has read, before it waits.
	Yield func()
	// Flush waits until what was published here is settled. It is called when the last connection has left.
	Flush func(ctx context.Context) error
	// Ready says why the node must get no new clients, nil if it may.
	Ready func() error
	// Alone says why it serves its own members alone and is ready all the same, "" if it does not.
	Alone func() string
	// Warning is what an operator should know though the node is ready, "" for nothing.
	Warning func() string
	// Refuses reports that a message into the room would be refused now.
	Refuses func(room string) bool
	// Members is the number of members of a room on all nodes.
	Members func(ctx context.Context, room string) (int, error)
	// Metrics are shown by /metrics beside those of the node.
	Metrics []BackendMetric
}

// bus is the backend's, or one for this process alone.
func (s *Server) bus() loop.Bus {
	if s.backend != nil {
		return s.backend.Bus
	}
	return loop.NewEmbedded(s.node.Directory(), randomEpoch())
}

// backendReady says why the backend is not ready, nil if it is or if there is none.
func (s *Server) backendReady() error {
	if s.backend == nil {
		return nil
	}
	return s.backend.Ready()
}

// readyText is what /readyz says of a node that is ready.
func (s *Server) readyText() string {
	text := cmp.Or(s.backendAlone(), "ready")
	if s.backend == nil {
		return text
	}
	if warning := s.backend.Warning(); warning != "" {
		text += "; but " + warning
	}
	return text
}

// backendAlone says why the node serves its own members alone, "" if it does not, or if that is what it is for.
func (s *Server) backendAlone() string {
	if s.backend == nil {
		return ""
	}
	return s.backend.Alone()
}

// yield lets the backend go on with what was published.
func (s *Server) yield() {
	if s.backend != nil {
		s.backend.Yield()
	}
}

// flushBackend waits until what the connections published is settled.
func (s *Server) flushBackend(ctx context.Context) error {
	if s.backend == nil {
		return nil
	}
	return s.backend.Flush(ctx)
}

// membersPatience is how long a request waits for the counts of the other nodes.
const membersPatience = 2 * time.Second

var errNoBackend = errors.New("this node stands alone")

// membersEverywhere is the number of members of a room on all nodes.
func (s *Server) membersEverywhere(ctx context.Context, room string) (int, error) {
	if s.backend == nil {
		return 0, errNoBackend
	}
	ctx, cancel := context.WithTimeout(ctx, membersPatience)
	defer cancel()
	return s.backend.Members(ctx, room)
}
