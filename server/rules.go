package server

import (
	"crypto/sha256"
	"errors"
	"reflect"

	"dotsconnect/server/websocket"
)

// rules are the settings that may change while the server runs, with what is made of them. A rules is immutable; Reload puts
// another one in its place, and what is under way goes on by the one that it looked at.
type rules struct {
	cfg     Config // of which only the settings with the tag reload may differ from Server.cfg
	origins *websocket.OriginPolicy
	heads   *websocket.HeadScanner
	limits  websocket.Limits
	maxOpen int                // connections
	hint    string             // how to get more of them
	token   *[sha256.Size]byte // of the admin token; nil if none is asked for
}

func newRules(cfg Config, files fileShares) (*rules, error) {
	origins, err := websocket.NewOriginPolicy(cfg.Origins, hostNames()...)
	if err != nil {
		return nil, &SettingError{Name: "origins", Text: err.Error()}
	}
	r := &rules{
		cfg: cfg, origins: origins, heads: websocket.NewHeadScanner(int(cfg.MaxHeader)),
		limits: websocket.Limits{MaxMessage: int(cfg.MaxMessage), MaxFragments: cfg.MaxFragments},
	}
	r.maxOpen, r.hint = files.connections(cfg.MaxConns)
	if cfg.AdminToken != "" {
		sum := sha256.Sum256([]byte(cfg.AdminToken))
		r.token = &sum
	}
	return r, nil
}

// Reload takes over what may change in a running server from cfg. It returns the names of the settings that it took, and of
// those that differ too but need a restart. After an error, which is as those of Validate, nothing has changed.
func (s *Server) Reload(cfg Config) (taken, restart []string, err error) {
	if err := errors.Join(cfg.Validate(), cfg.LoadAdminToken()); err != nil {
		return nil, nil, err
	}
	now := s.rules.Load().cfg
	next := now
	for _, setting := range Settings() {
		if reflect.DeepEqual(setting.Get(now), setting.Get(cfg)) {
			continue
		}
		tokenComesOrGoes := setting.Name == "admin-token" && (now.AdminToken == "" || cfg.AdminToken == "") // it changes who gets a place
		if !setting.Reload || tokenComesOrGoes {
			restart = append(restart, setting.Name)
			continue
		}
		setting.copy(&next, &cfg)
		taken = append(taken, setting.Name)
	}
	if err := next.Validate(); err != nil { // what waits for a restart may be what would make it right
		return nil, restart, err
	}
	r, err := newRules(next, s.files)
	if err != nil {
		return nil, restart, err
	}
	s.rules.Store(r)
	s.warnOfLimit(r)
	s.node.LimitRooms(next.RoomMembers, next.MaxRooms)
	return taken, restart, nil
}
