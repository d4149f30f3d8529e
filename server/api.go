package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

// The API of the admin address can list rooms and connections, publish, kick, and check the ledger. All its answers are about
// this node, except the number of members of a single room.
//
// Most requests ask the directory, which any goroutine may do. The list of a room's connections and the ledger have to ask the
// loops, and each loop then stops to visit all its connections. These visits are too expensive for many requests, so only one
// such request runs at a time. A request that waits for longer than its patience gets a 503.
type api struct {
	srv      *Server
	patience time.Duration
	listed   int           // maximum number of a room's connections in an answer
	walking  chan struct{} // holds a value while a request visits the loops
}

const (
	loopPatience = 2 * time.Second
	defaultTop   = 20
	maxTop       = 1000
	maxListed    = 1000
)

func newAPI(s *Server) *api {
	return &api{srv: s, patience: loopPatience, listed: maxListed, walking: make(chan struct{}, 1)}
}

// apiError is the refusal of a request, as the client receives it.
type apiError struct {
	Status int    `json:"status"` // HTTP status
	Text   string `json:"text"`
}

// call answers a request: with a status and a body to be written as JSON (nil: no body), or with an error.
type call func(r *http.Request) (status int, body any, e *apiError)

// ServeHTTP implements http.Handler.
func (c call) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, body, e := c(r)
	switch {
	case e != nil:
		refuseRequest(w, r, e)
	case body == nil:
		w.WriteHeader(status)
	default:
		writeJSON(w, status, body)
	}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(body) // our types can always be encoded; an error means that the peer has gone
}

func (a *api) routes() []route {
	return []route{
		{"GET /api/rooms", "the rooms with the most members (?top=20)", call(a.rooms)},
		{"GET /api/rooms/{space}/{room}", "the members of one room on all nodes; ?connections lists its connections to this node", call(a.room)},
		{"POST /api/rooms/{space}/{room}/messages", "publish the body as a message, in the same form as a client sends it", call(a.publish)},
		{"DELETE /api/connections/{id}", "close a connection with 4503 (?reason=TEXT)", call(a.kick)},
		{"GET /api/ledger", "check that no frame was lost; this visits every connection", call(a.ledger)},
	}
}

// roomInfo is a room as the API shows it.
type roomInfo struct {
	Room        string           `json:"room"` // the name with its name space: "chat/lobby"
	Members     int              `json:"members"`
	Here        *int             `json:"here,omitempty"`       // members on this node; absent if there are no other nodes
	Connections []connectionInfo `json:"connections,omitzero"` // connections of this node
	Truncated   bool             `json:"truncated,omitempty"`  // the room has more connections than the list
}

// compareRooms orders by members, most first, and then by name.
func compareRooms(a, b roomInfo) int {
	return cmp.Or(cmp.Compare(b.Members, a.Members), cmp.Compare(a.Room, b.Room))
}

// rooms answers with the rooms that have the most members, and the total number of rooms.
func (a *api) rooms(r *http.Request) (int, any, *apiError) {
	limit := defaultTop
	if text := r.URL.Query().Get("top"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxTop {
			return 0, nil, &apiError{http.StatusBadRequest, fmt.Sprintf("top must be a number from 1 to %d", maxTop)}
		}
		limit = n
	}
	largest := newTop(limit, compareRooms)
	a.srv.node.Directory().Each(func(e *loop.Entry) {
		if members := e.Members(); members > 0 { // 0: the first member of the room is just joining
			largest.offer(roomInfo{Room: e.Name, Members: members})
		}
	})
	return http.StatusOK, struct {
		Rooms []roomInfo `json:"rooms"`
		Total int        `json:"total"`
	}{largest.sorted(), largest.offered}, nil
}

// room answers with the figures of one room.
func (a *api) room(r *http.Request) (int, any, *apiError) {
	target, e := targetOf(r)
	if e != nil {
		return 0, nil, e
	}
	list, e := asked(r, "connections")
	if e != nil {
		return 0, nil, e
	}
	info, e := a.roomInfo(r.Context(), target.Key())
	if e != nil {
		return 0, nil, e
	}
	if list {
		if info.Connections, info.Truncated, e = a.connections(r.Context(), info.Room); e != nil {
			return 0, nil, e
		}
	}
	return http.StatusOK, info, nil
}

// asked reads a boolean parameter: true if it has no value, false if it is absent.
func asked(r *http.Request, name string) (bool, *apiError) {
	query := r.URL.Query()
	switch query.Get(name) {
	case "":
		return query.Has(name), nil
	case "1", "true":
		return true, nil
	case "0", "false":
		return false, nil
	}
	return false, &apiError{http.StatusBadRequest, name + " must be 1, true, 0 or false; without a value it counts as true"}
}

// roomInfo returns the number of members of a room.
func (a *api) roomInfo(ctx context.Context, key string) (roomInfo, *apiError) {
	members, here, err := a.everywhere(ctx, key, a.members(key))
	switch {
	case err != nil:
		return roomInfo{}, &apiError{http.StatusServiceUnavailable, "the members on other nodes cannot be counted now: " + err.Error()}
	case members == 0 && here == nil:
		return roomInfo{}, &apiError{http.StatusNotFound, "this room has no members on this node"}
	case members == 0:
		return roomInfo{}, &apiError{http.StatusNotFound, "this room has no members"}
	}
	return roomInfo{Room: key, Members: members, Here: here}, nil
}

// members returns the number of members that a room has on this node.
func (a *api) members(key string) int {
	if e := a.srv.node.Directory().Lookup(key); e != nil {
		return e.Members()
	}
	return 0
}

// everywhere returns the number of members of a room on all nodes. ours is the number on this node, or nil if there are no
// other nodes. After an error, members has only the members on this node.
func (a *api) everywhere(ctx context.Context, key string, here int) (members int, ours *int, err error) {
	if a.srv.backend == nil {
		return here, nil, nil
	}
	total, err := a.srv.membersEverywhere(ctx, key)
	return max(total, here), &here, err // the bus may not know the number of this node yet
}

// publish accepts a message for all members of a room, as if a member had sent the body.
func (a *api) publish(r *http.Request) (int, any, *apiError) {
	target, e := targetOf(r)
	if e != nil {
		return 0, nil, e
	}
	decode, variant := chatMessage, variantV1
	if target.Space == protocol.Raw {
		decode, variant = rawMessage, variantRaw
	}
	body, e := a.body(r)
	if e != nil {
		return 0, nil, e
	}
	kind, value, e := decode(r, body)
	if e != nil {
		return 0, nil, e
	}
	if b := a.srv.backend; b != nil && b.Refuses(target.Key()) {
		return 0, nil, &apiError{http.StatusServiceUnavailable, "Redis is away, and this node refuses messages until it is back (--redis-down=reject)"}
	}
	answer := struct {
		Accepted bool `json:"accepted"`
		Members  *int `json:"members,omitempty"`
		Here     *int `json:"here,omitempty"`
	}{Accepted: true}
	here := a.members(target.Key())
	if !a.srv.node.Offer(target.Key(), variant, kind, value) { // under load no connection is read either
		return 0, nil, &apiError{http.StatusServiceUnavailable, "the room or the node is still busy delivering earlier messages; try again"}
	}
	members, ours, err := a.everywhere(r.Context(), target.Key(), here)
	if answer.Here = ours; err == nil { // the message is accepted even if the members cannot be counted
		answer.Members = &members
	}
	return http.StatusAccepted, answer, nil
}

// body reads the whole body. Its size is limited in admin.ServeHTTP.
func (a *api) body(r *http.Request) ([]byte, *apiError) {
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &apiError{http.StatusRequestEntityTooLarge, fmt.Sprintf("a message may have at most %d bytes (see --max-message)", tooLarge.Limit)}
	case err != nil:
		return nil, &apiError{http.StatusBadRequest, "the body is incomplete"}
	}
	return body, nil
}

// chatMessage reads {"message":X}. It ignores the Content-Type of the body.
func chatMessage(_ *http.Request, body []byte) (loop.Kind, []byte, *apiError) {
	input, value, err := protocol.NewDecoder(protocol.MaxDepth).DecodeV1(body)
	switch {
	case err != nil:
		return 0, nil, &apiError{http.StatusBadRequest, "the body is not a message: " + err.Error()}
	case input == protocol.Heartbeat:
		return 0, nil, &apiError{http.StatusBadRequest, "a heartbeat cannot be published: it is a sign of life, not a message"}
	}
	return loop.KindText, value, nil
}

// rawMessage takes the body as it is. The Content-Type decides whether the message is text or binary.
func rawMessage(r *http.Request, body []byte) (loop.Kind, []byte, *apiError) {
	mediaType, parameters, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // a type that cannot be parsed is neither text nor binary
	switch charset := cmp.Or(parameters["charset"], "utf-8"); {
	case mediaType == "application/octet-stream":
		return loop.KindBinary, body, nil
	case mediaType != "text/plain" || !strings.EqualFold(charset, "utf-8"):
		return 0, nil, &apiError{http.StatusUnsupportedMediaType, "the Content-Type must be text/plain (in UTF-8) for a text message, or application/octet-stream for a binary message"}
	case !utf8.Valid(body):
		return 0, nil, &apiError{http.StatusBadRequest, "the text is not valid UTF-8"}
	}
	return loop.KindText, body, nil
}

// ledgerInfo is the ledger of one loop, or the sum for the node.
type ledgerInfo struct {
	Loop      *int     `json:"loop,omitempty"`
	Even      bool     `json:"even"`
	Differs   []string `json:"differs,omitempty"` // describes each difference
	Accepted  uint64   `json:"accepted"`          // messages from clients
	Expected  uint64   `json:"expected"`          // number of frames, as in the fields below
	Delivered uint64   `json:"delivered"`
	Dropped   uint64   `json:"dropped"`
	InFlight  uint64   `json:"in_flight"`
}

// ledger checks that every expected frame was delivered, dropped for a reason, or is on its way.
func (a *api) ledger(r *http.Request) (int, any, *apiError) {
	parts, e := walk(r.Context(), a, ledgerOf)
	if e != nil {
		return 0, nil, e
	}
	sum := ledgerInfo{Even: true}
	for _, p := range parts {
		sum.Even = sum.Even && p.Even
		sum.Differs = append(sum.Differs, p.Differs...)
		sum.Accepted += p.Accepted
		sum.Expected += p.Expected
		sum.Delivered += p.Delivered
		sum.Dropped += p.Dropped
		sum.InFlight += p.InFlight
	}
	return http.StatusOK, struct {
		ledgerInfo
		Loops []ledgerInfo `json:"loops"`
	}{sum, parts}, nil
}

// ledgerOf returns the ledger of a loop. It runs on the loop's goroutine.
func ledgerOf(l *loop.Loop) ledgerInfo {
	s, err := l.CheckLedger()
	index := l.Index()
	info := ledgerInfo{
		Loop: &index, Even: err == nil,
		Accepted: s.Accepted, Expected: s.Expected, Delivered: s.Delivered, InFlight: s.InFlight,
	}
	for _, n := range s.Dropped {
		info.Dropped += n
	}
	if err != nil {
		info.Differs = []string{err.Error()}
	}
	return info
}

// targetOf reads the room from the path of a request, by the rules for the address of a WebSocket.
func targetOf(r *http.Request) (protocol.Target, *apiError) {
	space := r.PathValue("space")
	if space != protocol.Chat.String() && space != protocol.Raw.String() {
		return protocol.Target{}, &apiError{http.StatusNotFound, "no such path: rooms are at /api/rooms/chat/ROOM and /api/rooms/raw/ROOM"}
	}
	target, err := protocol.ParseKey(space + "/" + r.PathValue("room"))
	if err != nil {
		return protocol.Target{}, &apiError{http.StatusBadRequest, err.Error()}
	}
	return target, nil
}

// walk asks every loop a question for which the loop visits all its connections. Only one such request runs at a time.
func walk[T any](ctx context.Context, a *api, f func(*loop.Loop) T) ([]T, *apiError) {
	select {
	case a.walking <- struct{}{}:
	default:
		return nil, &apiError{http.StatusServiceUnavailable, "another request is visiting all connections; try again later"}
	}
	defer func() { <-a.walking }()
	return ask(ctx, a.patience, a.srv.node.Loops(), f)
}

// ask calls f on the goroutine of each loop and waits for the answers, but not longer than the patience. A loop that did not
// answer in time still calls f later.
func ask[T any](ctx context.Context, patience time.Duration, loops []*loop.Loop, f func(*loop.Loop) T) ([]T, *apiError) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answers := make([]chan T, len(loops))
	for i, l := range loops {
		answers[i] = make(chan T, 1)
		l.Call(func(l *loop.Loop) { answers[i] <- f(l) })
	}
	all := make([]T, len(loops))
	for i, l := range loops {
		select {
		case all[i] = <-answers[i]:
		case <-ctx.Done():
			return nil, &apiError{http.StatusServiceUnavailable, fmt.Sprintf("loop %d did not answer within %v", l.Index(), patience)}
		}
	}
	return all, nil
}
