package server

import (
	"cmp"
	"context"
	"errors"
	"time"

	"dotsconnect/loop"
)

// Backend connects this node with other nodes. It holds the functions that the server needs from a bus that reaches beyond this
// process. The program that starts the server fills it in; without a Backend the node runs alone with loop.Embedded. All
// functions may be called from any goroutine.
type Backend struct {
	Bus   loop.Bus
	Lanes int
	// Descriptors is the maximum number of files that the backend opens.
	Descriptors int
	LaneOf      func(room string) int
	// Start begins to deliver to the node. The backend calls gap when members of the rooms may have missed messages; if rooms
	// is nil, members of all rooms of the lane may have. gap may be called from any goroutine and does not block.
	Start func(node *loop.Node, gap func(lane int, rooms []string))
	// Yield is called by the goroutine of a loop after it has read and before it waits.
	Yield func()
	// Fill gives to the node's histories what the backend still has (loop.Fill). It is called once, and does not block.
	Fill func()
	// Flush waits until all messages published here have come back or failed. The server calls it when the last connection has
	// left.
	Flush func(ctx context.Context) error
	// Ready returns the reason why the node must get no new clients, or nil if it may.
	Ready func() error
	// Alone returns the reason why messages of this node reach only its own members although it is ready, or "" if they reach
	// all nodes.
	Alone func() string
	// Warning returns a text that the operator must see although the node is ready, or "" if there is none.
	Warning func() string
	// Refuses reports whether a message for the room would be refused now.
	Refuses func(room string) bool
	// Members is the number of members of a room on all nodes.
	Members func(ctx context.Context, room string) (int, error)
	// Metrics are metrics of the backend, which /metrics shows together with those of the node.
	Metrics []BackendMetric
}

// bus returns the bus of the backend, or a bus for this process alone.
func (s *Server) bus() loop.Bus {
	if s.backend != nil {
		return s.backend.Bus
	}
	return loop.NewEmbedded(s.node.Directory(), randomEpoch())
}

// backendReady returns the reason why the backend is not ready, or nil if it is ready or there is no backend.
func (s *Server) backendReady() error {
	if s.backend == nil {
		return nil
	}
	return s.backend.Ready()
}

// readyText is the text of /readyz on a ready node.
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

// backendAlone returns the reason why messages of this node reach only its own members, or "" if they reach all nodes or if
// there is no backend.
func (s *Server) backendAlone() string {
	if s.backend == nil {
		return ""
	}
	return s.backend.Alone()
}

// yield lets the backend send the publications of this turn.
func (s *Server) yield() {
	if s.backend != nil {
		s.backend.Yield()
	}
}

// flushBackend waits until all publications of this node's connections have come back or failed.
func (s *Server) flushBackend(ctx context.Context) error {
	if s.backend == nil {
		return nil
	}
	return s.backend.Flush(ctx)
}

// membersPatience is how long a request waits for the member counts of the other nodes.
const membersPatience = 2 * time.Second

var errNoBackend = errors.New("this node runs without Redis")

// membersEverywhere returns the number of members of a room on all nodes.
func (s *Server) membersEverywhere(ctx context.Context, room string) (int, error) {
	if s.backend == nil {
		return 0, errNoBackend
	}
	ctx, cancel := context.WithTimeout(ctx, membersPatience)
	defer cancel()
	return s.backend.Members(ctx, room)
}

// keepHistory makes the node keep the latest messages, for the clients of version 2.
func (s *Server) keepHistory() {
	if s.node.KeepHistory(s.backend != nil) && s.backend != nil {
		s.backend.Fill()
	}
}
