package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"dotsconnect/server"
)

// sources knows where the value of each setting comes from. It is the kong.Resolver for all sources except flags: for the
// environment and the configuration file, in this order of precedence.
//
// An unknown setting is an error in every source. If a misspelt timeout were silently ignored, the operator would notice the
// mistake only when the timeout was needed.
type sources struct {
	settings map[string]server.Setting // by name
	env      []string
	given    map[string]given // by name of the setting: the value with the highest precedence; values of flags are not in it
	flags    map[string]bool  // names of the settings that are given on the command line
}

// given is a value, with its place in the form shown to people: "dotsd.yaml:3", "DOTS_MAX_AGE".
type given struct {
	value any // a string, or a []any of strings
	where string
}

// found is a value with a name. The name may be unknown, because it was not yet compared with the
// names of the settings.
type found struct {
	name string
	given
}

func newSources(env []string) *sources {
	s := &sources{settings: map[string]server.Setting{}, env: env, given: map[string]given{}, flags: map[string]bool{}}
	for _, setting := range server.Settings() {
		s.settings[setting.Name] = setting
	}
	return s
}

// load reads the file, if a flag or DOTS_CONFIG names one, and then the environment, which overrides the file. It reports all
// mistakes in both, including mistakes in values that are overridden.
func (s *sources) load(file string, flags []*kong.Flag) error {
	fromEnv, problems := s.readEnv()
	namedBy := "--config"
	if file == "" {
		file, namedBy = s.lookup("DOTS_CONFIG"), "DOTS_CONFIG"
	}
	var fromFile []found
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", namedBy, err))
		}
		var errs []error
		fromFile, errs = parseFile(file, text, s.settings)
		problems = append(errs, problems...)
	}
	byName := map[string]*kong.Flag{}
	for _, flag := range flags {
		byName[flag.Name] = flag
	}
	for _, f := range append(fromFile, fromEnv...) {
		if err := tryDecode(byName[f.name], f.value); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", f.describe(), err))
		}
		s.given[f.name] = f.given
	}
	return errors.Join(problems...)
}

// describe returns the place of a value and the name of its setting. For a variable, describe returns only the name of the
// variable, which tells the place and the setting.
func (f found) describe() string {
	if strings.HasPrefix(f.where, "DOTS_") {
		return f.where
	}
	return f.where + ": " + f.name
}

// lookup returns the value of a variable, or "" if it is not set.
func (s *sources) lookup(variable string) string {
	for _, entry := range s.env {
		if value, ok := strings.CutPrefix(entry, variable+"="); ok {
			return value
		}
	}
	return ""
}

// readEnv returns the settings in the environment, sorted by name.
func (s *sources) readEnv() (settings []found, problems []error) {
	names := map[string]string{}
	candidates := []string{"DOTS_CONFIG"}
	for name, setting := range s.settings {
		names[setting.Env] = name
		candidates = append(candidates, setting.Env)
	}
	for _, entry := range slices.Sorted(slices.Values(s.env)) {
		variable, value, _ := strings.Cut(entry, "=")
		name, known := names[variable]
		switch {
		case known:
			settings = append(settings, found{name, given{value, variable}})
		case strings.HasPrefix(variable, "DOTS_") && variable != "DOTS_CONFIG" && !isForeign(variable, value):
			problems = append(problems, fmt.Errorf("%s: unknown setting%s", variable, advise(variable, candidates, func(setting, value string) string {
				return s.settings[setting].Env + "=" + value
			})))
		}
	}
	return settings, problems
}

// serviceLink matches variables that Kubernetes sets in every container for each service of the namespace. For a service called
// "dots" or "dots-…" their names look like ours.
var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// isForeign recognises variables whose names begin like the names of our settings but do not belong to a setting: variables that
// Kubernetes sets, and the switches of this project's tests.
func isForeign(variable, value string) bool {
	if strings.HasPrefix(variable, "DOTS_TEST_") {
		return true
	}
	if strings.HasSuffix(variable, "_PORT") && !strings.HasSuffix(variable, "_SERVICE_PORT") && !strings.HasSuffix(variable, "_TCP_PORT") {
		return strings.Contains(value, "://") // DOTS_PORT=tcp://10.0.0.1:80 is from Kubernetes, DOTS_PORT=9000 is a mistake
	}
	return serviceLink.MatchString(variable)
}

// Resolve implements kong.Resolver. Kong does not call it for a flag that was given.
func (s *sources) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	return s.given[flag.Name].value, nil
}

// Validate implements kong.Resolver. There is nothing to do, because load has validated the values.
func (s *sources) Validate(*kong.Application) error { return nil }

// noteFlags records which settings were given on the command line.
func (s *sources) noteFlags(ctx *kong.Context) {
	for _, p := range ctx.Path {
		if p.Flag != nil && !p.Resolved {
			s.flags[p.Flag.Name] = true
		}
	}
}

// of returns the place that the value of a setting comes from.
func (s *sources) of(name string) string {
	if s.flags[name] {
		return "flag"
	}
	if g, ok := s.given[name]; ok {
		return g.where
	}
	return "default"
}

// locate adds to each mistake of Validate the place where the setting was given, unless the place is obvious.
func (s *sources) locate(err error) error {
	var located []error
	for _, e := range flatten(err) {
		var mistake *server.SettingError
		if errors.As(e, &mistake) {
			if where := s.of(mistake.Name); where != "flag" && where != "default" {
				e = fmt.Errorf("%w (from %s)", e, where)
			}
		}
		located = append(located, e)
	}
	return errors.Join(located...)
}

// mapper makes kong parse a setting in the same way as the server does. Its errors say which values the setting takes.
func (s *sources) mapper() kong.Mapper {
	return kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		takes := "a value"
		if setting, ok := s.settings[ctx.Value.Name]; ok {
			takes = setting.Takes
		}
		token, err := ctx.Scan.PopValue("value")
		if err != nil {
			return fmt.Errorf("has no value; write %s", takes)
		}
		text, ok := token.Value.(string)
		if !ok {
			return fmt.Errorf("is a list; write %s", takes)
		}
		if err := server.Parse(text, target); err != nil {
			return fmt.Errorf("%w; write %s", err, takes)
		}
		return nil
	})
}

// tryDecode returns an error if a flag would not accept a value.
func tryDecode(flag *kong.Flag, value any) error {
	scan := kong.Scan().PushTyped(value, kong.FlagValueToken)
	return flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, reflect.New(flag.Target.Type()).Elem())
}
