package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"dotsconnect/server"
)

var update = flag.Bool("update", false, "write the files under testdata, and the example")

// beDotsd is the environment variable that makes this test binary act as dotsd, for tests that send signals to a process.
const beDotsd = "BE_DOTSD"

func TestMain(m *testing.M) {
	if os.Getenv(beDotsd) != "" {
		main()
	}
	flag.Parse()
	code := m.Run()
	// While go-redis dials, it checks only once a second whether its pool was closed.
	var left error
	for deadline := time.Now().Add(patience); code == exitOK; time.Sleep(10 * time.Millisecond) {
		if left = goleak.Find(); left == nil {
			break
		}
		if time.Now().After(deadline) {
			fmt.Fprintln(os.Stderr, left)
			code = exitFailure
		}
	}
	_ = os.RemoveAll(built)
	os.Exit(code)
}

// call runs the program once, with a command that ends by itself.
func call(t *testing.T, args, env []string) (code int, stdout, stderr string) {
	t.Helper()
	t.Setenv("COLUMNS", "")
	var out, err bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // if the call starts a server by mistake, the server ends at once
	code = run(ctx, program{args: args, env: env, stdout: &out, stderr: &err})
	return code, out.String(), err.String()
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (- want, + got); if that is meant, make docs writes it:\n%s", path, diff)
	}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dotsd.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHelpNamesEverySettingAndExitsWithZero(t *testing.T) {
	code, stdout, stderr := call(t, []string{"--help"}, []string{"DOTS_NONSENSE=1"})
	if code != exitOK || stderr != "" {
		t.Errorf("got exit %d and %q on stderr, want 0 and nothing", code, stderr)
	}
	for _, s := range server.Settings() {
		if !strings.Contains(stdout, s.Flag+"=") && !strings.Contains(stdout, s.Flag+" ") {
			t.Errorf("the help does not name %s", s.Flag)
		}
	}
	golden(t, "testdata/help.txt", stdout)
}

func TestVersionNeedsNoConfiguration(t *testing.T) {
	code, stdout, stderr := call(t, []string{"version"}, []string{"DOTS_NONSENSE=1", "DOTS_MAX_AGE=soon", "DOTS_CONFIG=/nowhere"})
	if code != exitOK || stderr != "" || !strings.HasPrefix(stdout, "dotsd ") || !strings.Contains(stdout, "linux/") {
		t.Errorf("got exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

// TestMistakesAreNamedWithTheirPlace compares the program's answers to every kind of mistake with a transcript.
func TestMistakesAreNamedWithTheirPlace(t *testing.T) {
	cases := []struct {
		args, env, file string
	}{
		{args: "--max-agee=5s"},
		{args: "--port=9000"},
		{args: "--port 9000"},
		{args: "--bind=0.0.0.0"},
		{args: "--redis-url=redis://localhost"},
		{args: "--max-age"},
		{args: "--max-age=60"},
		{args: "--max-age=soon"},
		{args: "--max-age=50ms"},
		{args: "--max-message=64K"},
		{args: "--max-message=lots"},
		{args: "--max-message=17MiB"},
		{args: "--loops=many"},
		{args: "--loops=-1"},
		{args: "--listen=8000"},
		{args: "--listen=:80000 --admin=127.0.0.1:65536"},
		{args: "--origins=https://b/x,https://b"},
		{args: "--subprotocols=dots.v3"},
		{args: "--admin=0.0.0.0:8001"},
		{args: "--admin=127.0.0.1:8000"},
		{args: "--admin-token=a --admin-token-file=b"},
		{args: "--admin-token=a\tb"},
		{args: "--admin-token-file=/nowhere"},
		{args: "--backlog-soft=512KiB"},
		{args: "--max-message=1MiB"},
		{args: "--log-format=xml --log-level=loud"},
		{args: "--redis=localhost:6379"},
		{args: "--redis=redis://user@localhost"},
		{args: "--redis=redis://:secret@localhost:port"},
		{args: "--redis=redis://:secret@localhost:80000"},
		{args: "--redis=redis://a:1,b:2"},
		{args: "--redis=redis+sentinel://localhost:26379"},
		{args: "--redis=redis+sentinel://a/m?sentinel_pasword=secret"},
		{args: "--redis=redis+sentinel://a/m?sentinel_password=s@cret"},
		{args: "--redis=redis+sentinel://a/m?sentinel_user=secret"},
		{args: "--redis=redis://a?sentinel_password=secret"},
		{args: "--redis=redis+cluster://localhost:7000/1"},
		{args: "--redis-prefix={a}"},
		{args: "--lanes=5000"},
		{args: "--redis-batch=0"},
		{args: "--redis-hold=11m"},
		{args: "--redis-down=wait"},
		{args: "--redis-wait=25h --redis=redis://a"},
		{args: "--redis-wait=never --redis=redis://a"},
		{args: "--redis-wait=5s"},
		{args: "srve"},
		{args: "serve now"},
		{args: "config --yaml --markdown"},
		{args: "--config=/nowhere/dotsd.yaml"},
		{env: "DOTS_MAX_AGEE=5s"},
		{env: "DOTS_PORT=9000"},
		{env: "DOTS_REDIS_URL=redis://localhost"},
		{env: "DOTS_MAX_AGE=60"},
		{env: "DOTS_LOOPS="},
		{env: "DOTS_BACKLOG_SOFT=512KiB"},
		{env: "DOTS_CONFIG=/nowhere/dotsd.yaml"},
		{file: "max_age: 60s\nmaxage: 60s\nunheard-of: 1\n"},
		{file: "port: 9000\nredis_url: redis://localhost\n"},
		{file: "max-age: 60s\nloops: 2\nmax-age: 30s\n"},
		{file: "max-age: 60\n"},
		{file: "max-age: [60s]\n"},
		{file: "max-age: {seconds: 60}\n"},
		{file: "max-age:\n"},
		{file: "max-message: true\nloops: 1.5\nmax-rooms: 0x10\n"},
		{file: "origins: [https://a.example.org, [b]]\n"},
		{file: "max-age: &a 60s\nframe-timeout: *a\n"},
		{file: "origins: *.example.org\n"},
		{file: "listen: [::1]:8000\n"},
		{file: "just words\n"},
		{file: "- max-age\n"},
		{file: "max-age: 60s\nloops: [1\n"},
		{file: "backlog-hard: 32KiB\n"},
		{file: "max-age: soon\n", args: "--max-age=60s"},
		{file: "max-agee: 60s\n", env: "DOTS_LOOPS=many"},
	}
	var transcript strings.Builder
	for _, c := range cases {
		var env []string
		line := "dotsd"
		if c.env != "" {
			env, line = []string{c.env}, c.env+" "+line
		}
		args := strings.Split(c.args, " ")
		if c.args == "" {
			args = nil
		} else {
			line += " " + c.args
		}
		if c.file != "" {
			for i, text := range strings.Split(strings.TrimSuffix(c.file, "\n"), "\n") {
				transcript.WriteString(strings.Repeat(" ", 4) + string(rune('1'+i)) + " | " + text + "\n")
			}
			t.Chdir(filepath.Dir(writeFile(t, c.file)))
			args, line = append(args, "--config=dotsd.yaml"), line+" --config=dotsd.yaml"
		}
		code, stdout, stderr := call(t, args, env)
		if code != exitUsage || stdout != "" {
			t.Errorf("%s: got exit %d and %q on stdout, want %d and nothing", line, code, stdout, exitUsage)
		}
		lines, found := strings.CutSuffix(stderr, "Run \"dotsd --help\" for the settings.\n")
		if !found {
			t.Errorf("%s: the last line of %q does not lead to the help", line, stderr)
		}
		transcript.WriteString("$ " + line + "\n" + lines + "\n")
	}
	t.Chdir(packageDir)
	golden(t, "testdata/mistakes.txt", transcript.String())
}

// packageDir is the directory in which the tests start, before one of them changes the directory.
var packageDir, _ = os.Getwd()

func TestAFlagWinsOverAVariableOverTheFile(t *testing.T) {
	file := writeFile(t, "max-age: 11s\nframe-timeout: 12s\nclose-timeout: 13s\n")
	env := []string{"DOTS_CONFIG=" + file, "DOTS_MAX_AGE=21s", "DOTS_FRAME_TIMEOUT=22s", "HOME=/"}
	for _, args := range [][]string{{"--max-age=31s", "config"}, {"config", "--max-age", "31s"}} {
		code, stdout, stderr := call(t, args, env)
		if code != exitOK {
			t.Fatalf("got exit %d: %s", code, stderr)
		}
		got := map[string][]string{}
		for line := range strings.Lines(stdout) {
			f := strings.Fields(line)
			got[f[0]] = f[1:]
		}
		for name, want := range map[string][]string{
			"max-age":           {"31s", "flag"},
			"frame-timeout":     {"22s", "DOTS_FRAME_TIMEOUT"},
			"close-timeout":     {"13s", file + ":3"},
			"handshake-timeout": {"5s", "default"},
		} {
			if diff := cmp.Diff(want, got[name]); diff != "" {
				t.Errorf("%v: %s (- want, + got):\n%s", args, name, diff)
			}
		}
	}
}

func TestTheFileOfAFlagReplacesTheFileOfTheVariable(t *testing.T) {
	file := writeFile(t, "loops: 3\n")
	code, stdout, stderr := call(t, []string{"config", "--config", file}, []string{"DOTS_CONFIG=/nowhere"})
	if code != exitOK || !strings.Contains(stdout, file+":1") {
		t.Errorf("got exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestDefaultsOfTheFlagsAreTheDefaultsOfTheServer(t *testing.T) {
	inv, err := parse(nil, nil, &bytes.Buffer{}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(server.Default(), inv.config); diff != "" {
		t.Errorf("(- server.Default, + flags):\n%s", diff)
	}
	if inv.command != "serve" {
		t.Errorf("the default command is %q, want serve", inv.command)
	}
}

func TestEveryWayToWriteAList(t *testing.T) {
	want := []string{"https://a.example.org", "https://b.example.org"}
	for name, given := range map[string]struct{ args, env []string }{
		"flag with commas": {args: []string{"--origins=https://a.example.org,https://b.example.org"}},
		"flag twice":       {args: []string{"--origins=https://a.example.org", "--origins=https://b.example.org"}},
		"variable":         {env: []string{"DOTS_ORIGINS=https://a.example.org,https://b.example.org"}},
		"file, flow":       {args: []string{"--config=" + writeFile(t, "origins: [https://a.example.org, \"https://b.example.org\"]\n")}},
		"file, block":      {args: []string{"--config=" + writeFile(t, "origins:\n  - https://a.example.org\n  - https://b.example.org\n")}},
	} {
		inv, err := parse(given.args, given.env, &bytes.Buffer{}, &bytes.Buffer{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, inv.config.Origins); diff != "" {
			t.Errorf("%s (- want, + got):\n%s", name, diff)
		}
	}
}

func TestAnEmptyVariableEmptiesATextSetting(t *testing.T) {
	inv, err := parse(nil, []string{"DOTS_ADMIN=", "DOTS_ORIGINS="}, &bytes.Buffer{}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if inv.config.Admin != "" || len(inv.config.Origins) != 0 {
		t.Errorf("got admin %q and origins %q, want both empty", inv.config.Admin, inv.config.Origins)
	}
}

func TestTheTokenIsReadFromItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	inv, err := parse([]string{"--admin=:8001", "--admin-token-file", file}, nil, &bytes.Buffer{}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if inv.config.AdminToken != "from-a-file" {
		t.Errorf("got token %q", inv.config.AdminToken)
	}
}

func TestVariablesOfOthersAreNotOurs(t *testing.T) {
	for entry, foreign := range map[string]bool{
		"DOTS_SERVICE_HOST=10.0.0.1":             true,
		"DOTS_SERVICE_PORT=8000":                 true,
		"DOTS_SERVICE_PORT_HTTP=8000":            true,
		"DOTS_PORT=tcp://10.0.0.1:8000":          true,
		"DOTS_PORT_8000_TCP=tcp://10.0.0.1:8000": true,
		"DOTS_PORT_8000_TCP_ADDR=10.0.0.1":       true,
		"DOTS_PORT_8000_TCP_PORT=8000":           true,
		"DOTS_ADMIN_PORT_8001_TCP_PROTO=tcp":     true,
		"DOTS_ADMIN_SERVICE_PORT=8001":           true,
		"DOTS_TEST_ALL=1":                        true,
		"DOTS_PORT=9000":                         false,
		"DOTS_ADMIN_PORT=8001":                   false,
		"DOTS_MAX_AGEE=60s":                      false,
	} {
		variable, value, _ := strings.Cut(entry, "=")
		if got := isForeign(variable, value); got != foreign {
			t.Errorf("%s: got foreign %v, want %v", entry, got, foreign)
		}
	}
}

// If a setting has a name that other programs use, the answer must give our name for the setting, in the syntax of the place with
// the other name.
func TestTheSettingIsNamedThatAnotherNameStandsFor(t *testing.T) {
	for _, row := range []struct{ args, env, file, want string }{
		{args: "--port=9000", want: "unknown flag --port; use --listen=:PORT"},
		{args: "--host=::1 --loops=2", want: "unknown flag --host; use --listen=HOST:PORT"},
		{args: "config --redis_url=redis://a", want: "unknown flag --redis_url; use --redis=redis://HOST:PORT"},
		{args: "--max-agee=1s", want: `unknown flag --max-agee; did you mean --max-age?`},
		{env: "DOTS_PORT=9000", want: "DOTS_PORT: unknown setting; use DOTS_LISTEN=:PORT"},
		{file: "bind: 0.0.0.0\n", want: `bind: unknown setting; use listen: "HOST:PORT"`},
	} {
		args, env := strings.Fields(row.args), strings.Fields(row.env)
		if row.file != "" {
			args = append(args, "--config="+writeFile(t, row.file))
		}
		if _, _, stderr := call(t, args, env); !strings.Contains(stderr, row.want+"\n") {
			t.Errorf("%+v: got %s", row, stderr)
		}
	}
}

func TestAnErrorOfSeveralPartsIsOneLine(t *testing.T) {
	several := errors.Join(errors.New("a"), errors.New("b"))
	for want, err := range map[string]error{
		"dotsd: a\ndotsd: b\n":                  several,
		"dotsd: a\ndotsd: b\ndotsd: c\n":        errors.Join(several, errors.New("c")),
		"dotsd: --redis: no sentinel: a; b\n":   fmt.Errorf("--redis: %w", fmt.Errorf("no sentinel: %w", several)),
		"dotsd: x: a, for the second time: b\n": fmt.Errorf("x: %w, for the second time: %w", errors.New("a"), errors.New("b")),
		"dotsd: x: a; b\ndotsd: c\n":            errors.Join(fmt.Errorf("x: %w", several), errors.New("c")),
	} {
		var out bytes.Buffer
		report(&out, err)
		if out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	known := []string{"max-age", "max-rooms", "loops", "backlog-soft", "backlog-hard"}
	for name, want := range map[string]string{
		"max_age": "max-age", "MAX-AGE": "max-age", "maxage": "max-age", "loop": "loops", "max-room": "max-rooms",
		"backlogsoft": "backlog-soft", "something-else": "", "": "",
	} {
		if want != "" {
			want = "; did you mean " + want + "?"
		}
		if got := didYouMean(name, known); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
