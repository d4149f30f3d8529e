package server

import (
	"crypto/sha256"
	"errors"
	"reflect"

	"dotsconnect/server/websocket"
)

// rules holds the settings that may change while the server runs, and values derived from them. A rules value is immutable.
// Reload replaces it, and work in progress continues with the value that it has read.
type rules struct {
	cfg     Config // may differ from Server.cfg only in settings with the tag reload
	origins *websocket.OriginPolicy
	heads   *websocket.HeadScanner
	limits  websocket.Limits
	maxOpen int                // maximum number of connections
	hint    string             // how an operator can allow more connections
	token   *[sha256.Size]byte // hash of the admin token; nil if none is required
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

// Reload applies the settings of cfg that a running server can change. taken has the names of the settings that it applied.
// restart has the names of the settings that differ but need a restart. After an error, which has the form of Validate's
// errors, no setting has changed.
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
		tokenComesOrGoes := setting.Name == "admin-token" && (now.AdminToken == "" || cfg.AdminToken == "") // it changes the places at the admin address
		if !setting.Reload || tokenComesOrGoes {
			restart = append(restart, setting.Name)
			continue
		}
		setting.copy(&next, &cfg)
		taken = append(taken, setting.Name)
	}
	if err := next.Validate(); err != nil { // cfg may be valid only together with a setting that needs a restart
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
