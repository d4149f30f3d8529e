package redisbridge

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"dotsconnect/redisbridge/internal/resp"
)

// connect opens the connection of the link and greets the server.
func (k *link) connect(ctx context.Context) error {
	s := k.bridge.store
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallMax)
	defer cancel()
	conn, err := s.address.dial(ctx, k.addr)
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.conn = conn
	over := k.over
	k.mu.Unlock()
	if over != nil {
		_ = conn.Close()
		return over
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline) // an error would show in the calls that follow
	if err := k.greet(); err != nil {
		return err
	}
	_ = conn.SetDeadline(time.Time{})
	k.slow = &slow{client: s.openServer(k.addr, slowConnections, 0), turns: make(chan struct{}, slowConnections)}
	k.heard.Store(int64(k.bridge.awake.read()))
	k.serve.Store(true)
	return nil
}

// greet sends the first commands, and learns the clock of the server.
func (k *link) greet() error {
	a := k.bridge.store.address
	hello := []string{"HELLO", "3"}
	if a.Password != "" {
		hello = append(hello, "AUTH", cmp.Or(a.Username, "default"), a.Password)
	}
	commands := [][]string{hello, {"TIME"}}
	if a.DB != 0 {
		commands = append(commands, []string{"SELECT", strconv.Itoa(a.DB)})
	}
	var out []byte
	for _, c := range commands {
		out = resp.AppendCommand(out, c...)
	}
	if _, err := k.conn.Write(out); err != nil {
		return err
	}
	k.in = resp.NewReader(&gulps{Conn: k.conn, idle: k.idle})
	for _, c := range commands {
		v, err := k.in.Read()
		if err == nil {
			err = v.Err()
		}
		if err == nil && c[0] == "TIME" {
			k.mu.Lock()
			err = k.clock.set(&v)
			k.mu.Unlock()
		}
		if err != nil {
			return err
		}
	}
	return nil
}
