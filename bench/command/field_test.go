package command

import (
	"os"
	"strings"
	"testing"

	"dotsconnect/bench/internal/cli"
)

func TestMistakesOfAFieldAreOneLineWithExit2(t *testing.T) {
	t.Chdir(t.TempDir())
	const peer = "peers:\n  - {name: x, start: 'false {port}', ready: tcp, url: 'ws://h:{port}/{room}', frames: {send: '{payload}', " +
		"receive: '{payload}', heartbeat: b}}\n"
	for name, text := range map[string]string{
		"none.yaml": peer,
		"bad.yaml":  peer + "tables:\n  - {title: t, servers: [y]}\n",
		"ok.yaml":   peer + "tables:\n  - {title: t, set: {conns: 2, rooms: 1}, servers: [x]}\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ args, want string }{
		{"field", "name one adapter file with tables, not 0 arguments"},
		{"field nowhere.yaml", "nowhere.yaml: no such file"},
		{"field none.yaml", "it has no tables"},
		{"field bad.yaml", `bad.yaml:4: servers: there is no server "y"`},
		{"field ok.yaml --rounds 0", "--rounds 0: write a value from 1 to 100"},
		{"field ok.yaml --only 2", "--only 2: write numbers of tables from 1 to 1"},
		{"field ok.yaml --out .", "exists already"},
	} {
		code, stdout, stderr := dotsbench(strings.Fields(c.args)...)
		if code != cli.Usage || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: exit %d, stdout %q, stderr %q, want %q", c.args, code, stdout, stderr, c.want)
		}
	}
	code, stdout, stderr := dotsbench("field", "ok.yaml", "--quick")
	if code != cli.Invalid || !strings.Contains(stdout, "INVALID: round 1: the server ended at once") || !strings.Contains(stderr, "ended at once") {
		t.Errorf("a server that does not start: exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}
