package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"dotsconnect/redisbridge"
	"dotsconnect/server"
)

// What the process tells its caller.
const (
	exitOK      = 0
	exitFailure = 1 // the machine did not allow it: an address in use, a drain that had to be cut short
	exitUsage   = 2 // a flag, a variable or the file is wrong; nothing was started
)

const description = `Serves rooms to WebSocket clients: what one member of a room sends, all of them receive.

Every setting below can be a flag, an environment variable (DOTS_ and the name in
capitals: DOTS_MAX_AGE=30s) or a line of a YAML file (max-age: 30s). A flag wins over
a variable, a variable over the file, and what is not set has the value shown here.

Examples:
  dotsd                                     serve on port 8000
  dotsd --listen=:9000 --max-age=30s        serve on another port, kick after 30 s
  dotsd --config=dotsd.yaml                 serve with a configuration file
  dotsd config --config=dotsd.yaml          show every setting and where it comes from
  dotsd config --yaml >dotsd.yaml           write a configuration file to start from
  dotsd health                              ask the server on this machine whether it lives
  DOTS_LOG_LEVEL=debug dotsd                serve, and log more`

// cli is the grammar of the command line. The settings of the server are flags of every command, so that
// "dotsd --listen :9000" serves and "dotsd --listen :9000 config" shows what that would serve.
type cli struct {
	File       string `name:"config" placeholder:"FILE" help:"Configuration file in YAML. Its keys are the names of the flags. Or DOTS_CONFIG. SIGHUP has it read again."`
	WithParent bool   `name:"with-parent" help:"End in good order when the process that started this one ends, however it ends."`

	Serve   struct{}  `cmd:"" default:"1" help:"Serve rooms until SIGTERM (the default command)."`
	Config  configCmd `cmd:"" help:"Show the configuration that serve would use, and where each setting comes from."`
	Health  healthCmd `cmd:"" help:"Ask the server on this machine whether it lives: exit 0 or 1. For health checks."`
	Version struct{}  `cmd:"" help:"Show the version."`
}

type healthCmd struct {
	Ready bool `name:"ready" help:"Ask whether it may get new clients instead."`
}

type configCmd struct {
	YAML     bool `name:"yaml" xor:"form" help:"As a file for --config."`
	Markdown bool `name:"markdown" xor:"form" help:"All settings with their defaults, as a table for the documentation."`
}

// invocation is one call of the program: what was asked, and the configuration that follows from everything given.
type invocation struct {
	cli     cli
	config  server.Config
	sources *sources
	command string // empty when the help text was the answer
}

// program is what a process is given.
type program struct {
	args, env      []string
	stdout, stderr io.Writer
	hups           <-chan os.Signal // each has the configuration read again
}

// run is the program. It returns when the command is done; serve is done when ctx is, or when it fails.
func run(ctx context.Context, p program) int {
	inv, err := parse(p.args, p.env, p.stdout, p.stderr)
	if errors.Is(err, syscall.EPIPE) { // while it wrote the help
		return exitOK
	}
	if err != nil {
		report(p.stderr, err)
		fmt.Fprintln(p.stderr, `Run "dotsd --help" for what can be set.`)
		return exitUsage
	}
	switch inv.command {
	case "serve":
		err = serve(ctx, inv, p)
	case "config":
		err = inv.show(p.stdout)
	case "health":
		err = health(ctx, inv.config, inv.cli.Health.Ready, p.stdout)
	case "version":
		_, err = fmt.Fprintln(p.stdout, readBuild())
	}
	switch {
	case err == nil, errors.Is(err, syscall.EPIPE): // the reader has seen enough: dotsd config | head
		return exitOK
	case errors.Is(err, redisbridge.ErrDiffers):
		report(p.stderr, err)
		return exitUsage
	default:
		report(p.stderr, err)
		return exitFailure
	}
}

// parse reads flags, environment and file, and checks what comes of them.
func parse(args, env []string, stdout, stderr io.Writer) (*invocation, error) {
	inv := &invocation{sources: newSources(env)}
	helped := false
	parser, err := kong.New(&inv.cli,
		kong.Name("dotsd"),
		kong.Description(description),
		kong.Embed(&inv.config),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 110, NoAppDescFormat: true, FlagsLast: true, Compact: true}),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }),
		kong.Bind(inv.sources),
		kong.Resolvers(inv.sources),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), inv.sources.mapper()),
		kong.TypeMapper(reflect.TypeFor[server.ByteSize](), inv.sources.mapper()),
		kong.TypeMapper(reflect.TypeFor[server.Patience](), inv.sources.mapper()),
		kong.TypeMapper(reflect.TypeFor[int](), inv.sources.mapper()),
		kong.TypeMapper(reflect.TypeFor[string](), inv.sources.mapper()),
		kong.PostBuild(prepareFlags),
	)
	if err != nil {
		return nil, err
	}
	ctx, err := parser.Parse(args)
	if helped {
		return inv, nil
	}
	if err != nil {
		return nil, explainFlag(err, inv.sources.settings)
	}
	inv.sources.noteFlags(ctx)
	inv.command = ctx.Command()
	if inv.command == "version" {
		return inv, nil
	}
	if err := errors.Join(inv.config.Validate(), checkRedis(inv.config)); err != nil {
		return nil, inv.sources.locate(err)
	}
	return inv, inv.config.LoadAdminToken()
}

// BeforeResolve is where kong has read the flags and looks for what else is set. A version can be asked for whatever the
// environment holds.
func (c *cli) BeforeResolve(ctx *kong.Context, s *sources) error {
	if ctx.Command() == "version" {
		return nil
	}
	var file string
	for _, flag := range ctx.Model.Flags {
		if flag.Name == "config" {
			file, _ = ctx.FlagValue(flag).(string)
		}
	}
	return s.load(file, ctx.Model.Flags)
}

// prepareFlags takes the variables away from kong: it would read them from the process, where no test can replace them,
// and let the file win over them. sources does both. The help text states the rule by which they are named, once.
func prepareFlags(k *kong.Kong) error {
	for _, flag := range k.Model.Flags {
		flag.Envs, flag.Tag.Envs = nil, nil
		if flag.Group != nil {
			flag.Group.Title = flag.Group.Key + ":"
		}
	}
	return nil
}

// report prints an error, or each of several joined ones, as a line that names the program.
func report(w io.Writer, err error) {
	for _, e := range flatten(err) {
		fmt.Fprintf(w, "dotsd: %s\n", oneLine(e))
	}
}

// oneLine is the text of an error, of which a part may be joined errors.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// flatten takes joined errors apart. One that adds a text to several stays whole: they say little without it.
func flatten(err error) (all []error) {
	if inner := errors.Unwrap(err); inner != nil && inner.Error() == err.Error() { // kong's, which adds nothing
		return flatten(inner)
	}
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // what is below a text is not wanted
	if !ok || errors.Join(joined.Unwrap()...).Error() != err.Error() {
		return []error{err}
	}
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}
