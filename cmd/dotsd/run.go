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

// Exit codes of the process.
const (
	exitOK      = 0
	exitFailure = 1 // an error of the machine or its environment, such as an address in use or a drain that took too long
	exitUsage   = 2 // a mistake in a flag, a variable or the file; no server was started
)

const description = `Serves rooms to WebSocket clients: a message from one member goes to all members of the room.

Every setting below can be a flag, an environment variable (DOTS_ and the name in
capitals: DOTS_MAX_AGE=30s) or a line of a YAML file (max-age: 30s). A flag overrides
a variable, a variable overrides the file. The values shown here are the defaults.

Examples:
  dotsd                                     serve on port 8000
  dotsd --listen=:9000 --max-age=30s        serve on another port; close silent connections after 30 s
  dotsd --config=dotsd.yaml                 serve with a configuration file
  dotsd config --config=dotsd.yaml          show every setting and its source
  dotsd config --yaml >dotsd.yaml           write a configuration file to start from
  dotsd health                              ask the server on this machine whether it is alive
  DOTS_LOG_LEVEL=debug dotsd                serve, and log more`

// cli is the grammar of the command line. Every command has the settings of the server as flags. So "dotsd --listen :9000"
// serves, and "dotsd --listen :9000 config" shows the settings that the server would use.
type cli struct {
	File       string `name:"config" placeholder:"FILE" help:"Configuration file in YAML. Its keys are the names of the flags. The environment variable DOTS_CONFIG can name the file too. On SIGHUP the server reads the file again."`
	WithParent bool   `name:"with-parent" help:"Drain and exit when the parent process ends, even if it crashes."`

	Serve   struct{}  `cmd:"" default:"1" help:"Serve rooms until SIGTERM (the default command)."`
	Config  configCmd `cmd:"" help:"Show the configuration that serve would use, with the source of each setting."`
	Health  healthCmd `cmd:"" help:"Ask the server on this machine whether it is alive, for health checks. The exit code is 0 if the server is alive, otherwise 1."`
	Version struct{}  `cmd:"" help:"Show the version."`
}

type healthCmd struct {
	Ready bool `name:"ready" help:"Ask whether the server is ready for new clients, instead of whether it is alive."`
}

type configCmd struct {
	YAML     bool `name:"yaml" xor:"form" help:"Print the configuration as a YAML file for --config."`
	Markdown bool `name:"markdown" xor:"form" help:"Print all settings with their defaults, as a table for the documentation."`
}

// invocation is one call of the program: its command, and the configuration that results from all sources.
type invocation struct {
	cli     cli
	config  server.Config
	sources *sources
	command string // empty if only the help text was asked for
}

// program holds the inputs and outputs of a process.
type program struct {
	args, env      []string
	stdout, stderr io.Writer
	hups           <-chan os.Signal // each signal makes the server read its configuration again
}

// run runs the program and returns its exit code. It returns when the command is done; the command serve is done when ctx is
// done, or when it fails.
func run(ctx context.Context, p program) int {
	inv, err := parse(p.args, p.env, p.stdout, p.stderr)
	if errors.Is(err, syscall.EPIPE) { // the reader stopped reading while the help text was written
		return exitOK
	}
	if err != nil {
		report(p.stderr, err)
		fmt.Fprintln(p.stderr, `Run "dotsd --help" for the settings.`)
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
	case err == nil, errors.Is(err, syscall.EPIPE): // EPIPE: the reader has stopped reading, as in: dotsd config | head
		return exitOK
	case errors.Is(err, redisbridge.ErrDiffers):
		report(p.stderr, err)
		return exitUsage
	default:
		report(p.stderr, err)
		return exitFailure
	}
}

// parse reads the flags, the environment and the file, and validates the resulting configuration.
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

// BeforeResolve runs after kong has read the flags, and before kong asks the resolver. So "dotsd version" works even if the
// environment has mistakes.
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

// prepareFlags removes the names of variables from kong's flags. Kong would read the variables from the process, where a test
// cannot replace them, and the configuration file would override them. Instead sources reads the variables and the file. The help
// text explains the names of variables once.
func prepareFlags(k *kong.Kong) error {
	for _, flag := range k.Model.Flags {
		flag.Envs, flag.Tag.Envs = nil, nil
		if flag.Group != nil {
			flag.Group.Title = flag.Group.Key + ":"
		}
	}
	return nil
}

// report prints an error as one line that begins with the name of the program. For joined errors it prints one such line each.
func report(w io.Writer, err error) {
	for _, e := range flatten(err) {
		fmt.Fprintf(w, "dotsd: %s\n", oneLine(e))
	}
}

// oneLine returns the text of an error, which may contain joined errors, as one line.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// flatten splits joined errors. It does not split an error that adds its own text to several errors, because these mean little
// without that text.
func flatten(err error) (all []error) {
	if inner := errors.Unwrap(err); inner != nil && inner.Error() == err.Error() { // a wrapper of kong that adds no text
		return flatten(inner)
	}
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // must not look inside an error with its own text
	if !ok || errors.Join(joined.Unwrap()...).Error() != err.Error() {
		return []error{err}
	}
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}
