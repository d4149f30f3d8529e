// Package cmd_test tests rules that hold for the whole source tree.
package cmd_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	module = "dotsconnect"
	nbio   = "github.com/lesismal/nbio"
)

// importRule says which packages the files of a folder may import, as text and as code.
type importRule struct {
	text    string
	applies func(file string) bool
	allows  func(file, imported string) bool
}

// The rules for imports. The core and the codec can be understood and tested without the other packages. The server and the
// bridge share only the core. The load generators share no code with the server except through the network, so that they cannot
// share a mistake. Only one file uses the poller library, so that the library can be replaced.
var importRules = []importRule{
	{
		"loop imports the standard library only",
		in("loop"),
		func(_, imported string) bool { return isStandard(imported) || within(imported, ours("loop")) },
	},
	{
		"server/websocket imports the standard library only",
		in("server/websocket"),
		func(_, imported string) bool {
			return isStandard(imported) || within(imported, ours("server/websocket"))
		},
	},
	{
		"of our own packages, server imports loop and the packages within server",
		in("server"),
		ofOurs("loop", "server"),
	},
	{
		"of our own packages, redisbridge imports loop",
		in("redisbridge"),
		ofOurs("loop", "redisbridge"),
	},
	{
		"bench speaks the wire and imports none of our other packages",
		in("bench"),
		ofOurs("bench"),
	},
	{
		"nbio and its mempool are imported by server/poller.go, and its logging by server/poller*.go; nothing else of it is used",
		func(string) bool { return true },
		func(file, imported string) bool {
			switch {
			case imported == nbio, imported == nbio+"/mempool":
				return file == "server/poller.go"
			case imported == nbio+"/logging":
				ok, _ := path.Match("server/poller*.go", file)
				return ok
			default:
				return !within(imported, nbio)
			}
		},
	},
	{
		"loop/bustest is for tests: no program has it",
		func(file string) bool { return !within(file, "loop/bustest") },
		func(_, imported string) bool { return !within(imported, ours("loop/bustest")) },
	},
	{
		"flags and configuration files are the business of cmd",
		func(file string) bool { return !within(file, "cmd") && !within(file, "bench") },
		func(_, imported string) bool {
			return !within(imported, "github.com/alecthomas/kong") && !within(imported, "github.com/goccy/go-yaml")
		},
	},
}

func in(folder string) func(string) bool {
	return func(file string) bool { return within(file, folder) }
}

// ofOurs allows all packages that are not ours, and of our packages only those in the given folders.
func ofOurs(folders ...string) func(file, imported string) bool {
	return func(_, imported string) bool {
		return !within(imported, module) || slices.ContainsFunc(folders, func(f string) bool { return within(imported, ours(f)) })
	}
}

func ours(folder string) string { return module + "/" + folder }

func within(name, folder string) bool { return name == folder || strings.HasPrefix(name, folder+"/") }

// isStandard recognises a package of the standard library as the go command does: the first element of its path is not a domain.
func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".") && first != module && imported != "C"
}

// violations checks the imports of one file. The name of the file is relative to the module, with forward slashes.
func violations(file string, source []byte) ([]string, error) {
	syntax, err := parser.ParseFile(token.NewFileSet(), file, source, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, line := range syntax.Imports {
		imported, err := strconv.Unquote(line.Path.Value)
		if err != nil {
			return nil, err
		}
		for _, rule := range importRules {
			if rule.applies(file) && !rule.allows(file, imported) {
				found = append(found, fmt.Sprintf("%s imports %s: %s", file, imported, rule.text))
			}
		}
	}
	return found, nil
}

func TestImportRules(t *testing.T) {
	root := ".."
	files := 0
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != root && (isIgnored(entry.Name()) || isModule(name)) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		found, err := violations(filepath.ToSlash(relative), source)
		for _, v := range found {
			t.Error(v)
		}
		files++
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Errorf("only %d files were read: the test looks in the wrong place", files)
	}
}

func isIgnored(folder string) bool {
	return folder == "testdata" || folder == "vendor" || strings.HasPrefix(folder, ".") || strings.HasPrefix(folder, "_")
}

func isModule(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "go.mod"))
	return err == nil
}

func TestEachImportRuleFindsABadFile(t *testing.T) {
	const (
		core     = "loop imports the standard library only"
		codec    = "server/websocket imports the standard library only"
		serving  = "of our own packages, server imports loop and the packages within server"
		bridge   = "of our own packages, redisbridge imports loop"
		load     = "bench speaks the wire and imports none of our other packages"
		poller   = "nbio and its mempool are imported by server/poller.go, and its logging by server/poller*.go; nothing else of it is used"
		suite    = "loop/bustest is for tests: no program has it"
		settings = "flags and configuration files are the business of cmd"
	)
	for _, row := range []struct {
		file, imported string
		want           []string
	}{
		{"loop/room.go", "container/list", nil},
		{"loop/internal/x.go", "dotsconnect/loop", nil},
		{"loop/room.go", "go.uber.org/zap", []string{core}},
		{"loop/room.go", "dotsconnect/server", []string{core}},
		{"loop/room.go", "C", []string{core}},
		{"looping/room.go", "dotsconnect/server", nil},
		{"server/websocket/frame.go", "encoding/binary", nil},
		{"server/websocket/frame.go", "golang.org/x/sys/unix", []string{codec}},
		{"server/websocket/frame.go", "dotsconnect/loop", []string{codec}},
		{"server/websocket/frame.go", "dotsconnect/server", []string{codec}},
		{"server/server.go", "dotsconnect/loop", nil},
		{"server/server.go", "dotsconnect/server/websocket", nil},
		{"server/server.go", "dotsconnect/redisbridge", []string{serving}},
		{"server/web/page.go", "dotsconnect/bench/client", []string{serving}},
		{"server/server.go", "dotsconnect/cmd/dotsd", []string{serving}},
		{"server/config.go", "github.com/alecthomas/kong", []string{settings}},
		{"server/config.go", "github.com/goccy/go-yaml/ast", []string{settings}},
		{"redisbridge/lane.go", "dotsconnect/loop", nil},
		{"redisbridge/lane.go", "github.com/redis/go-redis/v9", nil},
		{"redisbridge/lane.go", "dotsconnect/server", []string{bridge}},
		{"bench/run.go", "dotsconnect/bench/client", nil},
		{"bench/run.go", "dotsconnect/loop", []string{load}},
		{"bench/run.go", "dotsconnect/server/websocket", []string{load}},
		{"server/poller.go", nbio, nil},
		{"server/poller_log.go", nbio + "/logging", nil},
		{"server/poller_log.go", nbio, []string{poller}},
		{"server/session.go", nbio, []string{poller}},
		{"server/poller.go", nbio + "/nbhttp", []string{poller}},
		{"cmd/dotsd/serve.go", nbio, []string{poller}},
		{"loop/loop.go", nbio, []string{core, poller}},
		{"cmd/dotsd/serve.go", "dotsconnect/redisbridge", nil},
		{"redisbridge/lane.go", "dotsconnect/loop/bustest", []string{suite}},
		{"cmd/dotsd/run.go", "github.com/alecthomas/kong", nil},
	} {
		source := "package x\n\nimport (\n\t\"fmt\"\n\tname \"" + row.imported + "\"\n)\n\nvar _ = fmt.Sprint(name.X)\n"
		got, err := violations(row.file, []byte(source))
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, text := range row.want {
			want = append(want, row.file+" imports "+row.imported+": "+text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s importing %s (- want, + got):\n%s", row.file, row.imported, diff)
		}
	}
}
