package server

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"go.uber.org/zap"

	"dotsconnect/loop"
)

// This part of the API is about single connections: it lists the connections of a room, and kicks one of them.

// connectionInfo is a connection as the API shows it.
type connectionInfo struct {
	ID           string  `json:"id"`
	Protocol     string  `json:"protocol"`         // v1, v2, raw or sse
	Remote       string  `json:"remote,omitempty"` // absent if the socket was closed before the server could read the address
	AgeSeconds   float64 `json:"age_seconds"`      // seconds since the connection was accepted
	BacklogBytes int     `json:"backlog_bytes"`    // bytes that wait for this client in the memory of the server
}

// connections returns connections of a room, those with the largest backlogs first, and reports whether the room has more. It
// searches the tables of all loops: a room does not know the ids of its members, because storing them would cost memory for each
// member. The addresses are not stored either: each socket knows its own.
func (a *api) connections(ctx context.Context, key string) (list []connectionInfo, truncated bool, e *apiError) {
	type part struct {
		infos []connectionInfo
		total int
	}
	parts, e := walk(ctx, a, func(l *loop.Loop) part {
		slowest := newTop(a.listed, compareConns)
		l.Each(func(c *loop.Conn) bool {
			if c.Open() && c.In(key) {
				slowest.offer(c)
			}
			return true
		})
		infos := make([]connectionInfo, len(slowest.kept))
		for i, c := range slowest.kept {
			member := c.Peer().(*session)
			infos[i] = connectionInfo{formatID(c.ID()), member.speaks.String(), member.remoteAddr(), c.Age().Seconds(), c.Backlog()}
		}
		return part{infos, slowest.offered}
	})
	if e != nil {
		return nil, false, e
	}
	total, list := 0, []connectionInfo{}
	for _, p := range parts {
		total += p.total
		list = append(list, p.infos...)
	}
	slices.SortFunc(list, func(a, b connectionInfo) int {
		return cmp.Or(cmp.Compare(b.BacklogBytes, a.BacklogBytes), cmp.Compare(a.ID, b.ID))
	})
	list = list[:min(len(list), a.listed)]
	return list, len(list) < total, nil
}

// compareConns orders connections by backlog, largest first, and then by id. It runs on the loop's goroutine.
func compareConns(a, b *loop.Conn) int {
	return cmp.Or(cmp.Compare(b.Backlog(), a.Backlog()), cmp.Compare(a.ID(), b.ID()))
}

// kick closes one connection for an operator.
func (a *api) kick(r *http.Request) (int, any, *apiError) {
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return 0, nil, &apiError{http.StatusBadRequest, err.Error()}
	}
	reason := r.URL.Query().Get("reason")
	loops, line := a.srv.node.Loops(), []zap.Field(nil)
	if i := id.Loop(); i < len(loops) {
		answer, e := ask(r.Context(), a.patience, loops[i:i+1], func(l *loop.Loop) []zap.Field {
			c := l.Conn(id)
			if c == nil || !c.Open() {
				return nil
			}
			s := c.Peer().(*session)
			said := []zap.Field{zap.String("connection", formatID(id)), zap.String("room", c.Room()), zap.String("remote", s.remoteAddr())}
			s.kick(reason) // last, because afterwards the session no longer knows its room and address
			return said
		})
		if e != nil {
			return 0, nil, e
		}
		line = answer[0]
	}
	if line == nil {
		return 0, nil, &apiError{http.StatusNotFound, "no connection has this id now"}
	}
	a.srv.log.Info("kicked by an operator", append(line, zap.String("reason", brief(reason)), zap.String("caller", r.RemoteAddr))...)
	return http.StatusNoContent, nil, nil
}

// parseID accepts only texts that formatID writes.
func parseID(text string) (loop.ConnID, error) {
	n, err := strconv.ParseUint(text, 16, 64)
	if id := loop.ConnID(n); err == nil && formatID(id) == text {
		return id, nil
	}
	return 0, errors.New("the id of a connection must have 16 hexadecimal digits, in lower case")
}
