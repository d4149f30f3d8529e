package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dotsconnect/server"
)

const examplePath = "../../examples/dotsd.yaml"

func TestTheExampleFileHoldsEverySettingWithItsDefault(t *testing.T) {
	_, stdout, _ := call(t, []string{"config", "--yaml"}, nil)
	golden(t, examplePath, stdout)
	inv, err := parse([]string{"--config=" + examplePath}, nil, &bytes.Buffer{}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(normal(server.Default()), normal(inv.config)); diff != "" {
		t.Errorf("(- default, + example):\n%s", diff)
	}
	for _, s := range server.Settings() {
		if where := inv.sources.of(s.Name); !strings.HasPrefix(where, examplePath+":") {
			t.Errorf("%s comes from %s, want a line of the example", s.Name, where)
		}
	}
}

func TestAPrintedFileGivesTheSameConfiguration(t *testing.T) {
	args := []string{
		"--listen=[::1]:9000", "--admin=", "--origins=https://*.example.org,*", "--max-message=1MB", "--loops=3",
		"--max-age=1m30s", "--drain-time=1500ms", "--unsent-limit=0", "--log-level=debug", "--backlog-hard=2000001",
		"--public-readyz", "--subprotocols=chat,*it's,#!|",
	}
	first, err := parse(args, nil, &bytes.Buffer{}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := call(t, append([]string{"config", "--yaml"}, args...), nil)
	if code != exitOK {
		t.Fatalf("got exit %d: %s", code, stderr)
	}
	second, err := parse([]string{"--config=" + writeFile(t, stdout)}, nil, &bytes.Buffer{}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(normal(first.config), normal(second.config)); diff != "" {
		t.Errorf("(- given, + read back):\n%s", diff)
	}
}

// The texts include characters that no setting accepts today.
func TestEveryTextIsReadBackFromItsLine(t *testing.T) {
	settings := newSources(nil).settings
	want := []any{`"quoted" \ back`, "a: b # c", "two\nlines", "gööd", ""}
	c := server.Config{}
	for _, text := range want {
		c.Origins = append(c.Origins, text.(string))
	}
	values, problems := parseFile("f", []byte("origins: "+yamlValue(settings["origins"], c)+"\n"), settings)
	if len(problems) > 0 || len(values) != 1 {
		t.Fatalf("got %v and %v", values, problems)
	}
	if diff := cmp.Diff(want, values[0].value); diff != "" {
		t.Errorf("(- written, + read back):\n%s", diff)
	}
}

func TestASecretIsNeverPrinted(t *testing.T) {
	tokenFile := writeFile(t, "geheim-in-a-file")
	const redis = "redis+sentinel://:geheim@a:1,b:2/master?sentinel_user=geheimer&sentinel_password=geheim2"
	for _, given := range []struct{ args, env []string }{
		{args: []string{"--admin-token=geheim"}},
		{env: []string{"DOTS_ADMIN_TOKEN=geheim"}},
		{args: []string{"--config=" + writeFile(t, "admin-token: geheim\n")}},
		{args: []string{"--admin-token-file=" + tokenFile}},
		{args: []string{"--redis=" + redis}},
		{env: []string{"DOTS_REDIS=" + redis}},
		{args: []string{"--config=" + writeFile(t, "redis: "+redis+"\n")}},
	} {
		for _, form := range [][]string{{"config"}, {"config", "--yaml"}, {"config", "--markdown"}} {
			code, stdout, stderr := call(t, append(form, given.args...), given.env)
			if code != exitOK {
				t.Errorf("got exit %d: %s", code, stderr)
			}
			if strings.Contains(stdout+stderr, "geheim") {
				t.Errorf("%v with %v prints it:\n%s", form, given, stdout+stderr)
			}
		}
	}
}

func TestMarkdownIsTheTableOfTheServer(t *testing.T) {
	_, stdout, _ := call(t, []string{"config", "--markdown"}, nil)
	if diff := cmp.Diff(server.SettingsMarkdown(), stdout); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
}

func TestAReaderThatGoesAwayIsAFailure(t *testing.T) {
	closed, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, args := range [][]string{{"config"}, {"config", "--yaml"}, {"config", "--markdown"}, {"version"}} {
		if code := run(t.Context(), program{args: args, stdout: closed, stderr: &bytes.Buffer{}}); code != exitFailure {
			t.Errorf("%v: got exit %d, want %d", args, code, exitFailure)
		}
	}
}

// normal replaces empty lists by nil, so that configurations can be compared.
func normal(c server.Config) server.Config {
	for _, list := range []*[]string{&c.Origins, &c.Subprotocols} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	return c
}
