package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"dotsconnect/redisbridge"
	"dotsconnect/server"
)

// drainSlack is added to the time that the settings allow for a drain. After that time the drain is aborted.
const drainSlack = 2 * time.Second

// serve runs a node until ctx is done, and then drains it.
func serve(ctx context.Context, inv *invocation, p program) error {
	c := inv.config
	if inv.cli.WithParent {
		ctx = withParent(ctx)
	}
	log, err := newLogger(c, p.stderr)
	if err != nil {
		return err
	}
	defer log.Close()
	if err := raiseFileLimit(); err != nil {
		log.Warn("the limit of open files could not be raised", zap.Error(err))
	}
	asked := c.Loops
	c.Loops = useProcessors(asked, p.env)

	build := readBuild()
	r, err := start(ctx, c, log.Logger, build)
	if errors.Is(err, errEnded) {
		log.Info("the node ended before it was ready", zap.NamedError("cause", context.Cause(ctx)), zap.String("reason", oneLine(err)))
		return nil
	}
	if err != nil {
		return err
	}
	announce(c, r.node, build, log, forPeople(c, p.stderr))

	reloads := &reloader{args: p.args, env: p.env, askedLoops: asked, loops: c.Loops, node: r.node, log: log}
	go reloads.run(p.hups, ctx.Done()) // serve does not wait for this goroutine, because reading the file may block
	var failure, cause error
	select {
	case <-ctx.Done():
		cause = context.Cause(ctx)
	case err := <-r.lost: // the other nodes no longer receive the messages of this node, so a drain would be useless
		failure, cause = &lostError{err}, err
		c.DrainDelay = 0
	}
	log.Info("draining", zap.NamedError("cause", cause), zap.Duration("delay", c.DrainDelay), zap.Duration("time", c.DrainTime))
	return errors.Join(failure, drain(r.node, c), r.leave())
}

// running is a node that serves.
type running struct {
	node  *server.Server
	lost  <-chan error // from others.lost; nil without other nodes
	leave func() error // ends the connection to the other nodes
}

// start makes a node serve: at once, or, if it uses Redis, when Redis is available.
func start(ctx context.Context, c server.Config, log *zap.Logger, build build) (*running, error) {
	if c.Redis == "" {
		node, err := server.New(c, log, build.version)
		if err != nil {
			return nil, err
		}
		if err := node.Start(); err != nil {
			return nil, errors.Join(explainListen(err, c), node.Close())
		}
		return &running{node: node, leave: node.Close}, nil
	}
	waiting, err := server.NewWaiting(c, log, build.version, "Redis")
	if err != nil {
		return nil, explainListen(err, c)
	}
	o, err := awaitRedis(ctx, c, log, waiting)
	if err != nil {
		return nil, errors.Join(err, waiting.Close())
	}
	node, err := server.NewConnected(c, log, build.version, o.backend)
	if err != nil {
		return nil, errors.Join(err, o.stop(), waiting.Close())
	}
	leave := func() error { return errors.Join(node.Close(), o.stop(), waiting.Close()) }
	if err := node.TakeOver(waiting); err != nil {
		return nil, errors.Join(err, leave())
	}
	return &running{node, o.lost, leave}, nil
}

// lostError ends a node that no longer has the same agreement as the other nodes. It does not unwrap to redisbridge.ErrDiffers.
// That error would mean that the settings are wrong, but after a restart this node has the right agreement.
type lostError struct{ err error }

func (e *lostError) Error() string { return "--redis: " + e.err.Error() }

// drain takes the node out of service without losing messages, within a time limit.
func drain(node *server.Server, c server.Config) error {
	limit := c.DrainDelay + c.DrainTime + c.CloseTimeout + drainSlack
	if c.Redis != "" {
		limit += c.RedisHold // time for messages that Redis has not accepted yet
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := node.Drain(ctx, c.DrainDelay); err != nil {
		return fmt.Errorf("drain: some connections were still open after %v and were closed without a code: %w", limit, err)
	}
	return nil
}

// useProcessors determines the number of loops (one per CPU by default), and gives Go one processor more. Loops spend their time
// in system calls, and other goroutines must be able to run beside them. If the user has set GOMAXPROCS, useProcessors does not
// change it.
func useProcessors(loops int, env []string) int {
	if loops == 0 {
		loops = min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) // GOMAXPROCS respects the limits of a container
	}
	byHand := slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "GOMAXPROCS=") })
	if !byHand && runtime.GOMAXPROCS(0) <= loops {
		runtime.GOMAXPROCS(loops + 1)
	}
	return loops
}

// announce reports the node's address and capacity: as one line for a person, or as fields for a program.
func announce(c server.Config, node *server.Server, build build, log *serverLog, person bool) {
	connections, hint := node.MaxConnections()
	if !person {
		fields := []zap.Field{
			zap.String("version", build.version), zap.String("commit", build.commit), zap.String("address", node.Addr()), zap.String("admin", node.AdminAddr()),
			zap.Int("loops", c.Loops), zap.Int("connections", connections), zap.String("hint", hint),
		}
		log.Info("serving", append(fields, busFields(c, node)...)...)
		return
	}
	admin := "admin off"
	if a := node.AdminAddr(); a != "" {
		admin = "admin http://" + reachable(a)
	}
	if hint != "" {
		hint = " (" + hint + ")"
	}
	fmt.Fprintf(log.out, "dotsconnect %s  http://%s/  %s  %s  %s  up to %s connections%s\n",
		build.version, reachable(node.Addr()), admin, count(c.Loops, "loop"), busText(c, node), thousands(connections), hint)
}

// busFields returns log fields about the connection to the other nodes, without passwords.
func busFields(c server.Config, node *server.Server) []zap.Field {
	if c.Redis == "" {
		return []zap.Field{zap.String("bus", "embedded")}
	}
	return []zap.Field{zap.String("bus", redisAt(c)), zap.String("prefix", c.RedisPrefix), zap.Int("lanes", node.Lanes()), zap.Duration("hold", c.RedisHold), zap.String("down", c.RedisDown)}
}

func busText(c server.Config, node *server.Server) string {
	if c.Redis == "" {
		return "embedded bus"
	}
	return fmt.Sprintf("%s (%s, hold %v, then %s)", redisAt(c), count(node.Lanes(), "lane"), c.RedisHold, c.RedisDown)
}

// redisAt returns the address of Redis for the log, without users and passwords.
func redisAt(c server.Config) string {
	a, err := redisbridge.ParseAddress(c.Redis)
	if err != nil { // cannot happen: the address was parsed before
		return "redis"
	}
	return "redis at " + a.String()
}

// reachable turns an address into one that a browser on this machine can open.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if net.ParseIP(host).IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// thousands writes a number with separators, such as 19,900.
func thousands(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// explainListen adds to an error of the start the name of the setting that caused it, and advice what to do.
func explainListen(err error, c server.Config) error {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "listen" {
		return err
	}
	flag, address, other := "--listen", c.Listen, ":8002"
	if op.Addr != nil && portOf(op.Addr.String()) == portOf(c.Admin) && portOf(c.Admin) != portOf(c.Listen) {
		flag, address, other = "--admin", c.Admin, "127.0.0.1:8003"
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s: %s is in use by another program; choose another address, for example %s=%s, or find that program with: ss -ltnp 'sport = :%s'",
			flag, address, flag, other, portOf(address))
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s: this user may not listen on %s; choose a port above 1023, for example %s=%s", flag, address, flag, other)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s: %s is not an address of this machine; choose an address of this machine, for example %s=%s", flag, address, flag, other)
	default:
		return fmt.Errorf("%s: %s: %w", flag, address, err)
	}
}

func portOf(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	return port
}
