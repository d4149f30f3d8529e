package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dotsconnect/bench/internal/cli"
)

func TestMistakesOfAComparisonAreOneLineWithExit2(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string]string{
		"bad.yaml": "peers:\n  - name: x\n    start: x",
		"ok.yaml": "peers:\n  - {name: x, start: 'false {port}', ready: tcp, url: 'ws://h:{port}/{room}', frames: {send: '{payload}', " +
			"receive: '{payload}', heartbeat: b}}",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ args, want string }{
		{"peers", "bench/peers/peers.yaml: no such file"},
		{"peers x", "unexpected argument"},
		{"peers --file bad.yaml", `bad.yaml:3: peer "x": start must contain {port}`},
		{"peers --file ok.yaml --only y", `there is no server "y": write one of x`},
		{"peers --file ok.yaml --rounds 0", "--rounds 0: write a value from 1 to 100"},
		{"peers --file ok.yaml --ours x", "must contain {port}"},
		{"peers --file ok.yaml --out .", "exists already"},
		{"peers --file ok.yaml --quick --ours none#{port}", "ours: the server ended at once"},
		{"run rooms --adapter ok.yaml", "x: the server ended at once"},
		{"run rooms --adapter ok.yaml:z", `there is no server "z"`},
		{"run rooms --adapter ok.yaml:x --server-cmd y{port}", "--adapter excludes"},
	} {
		args := strings.Fields(c.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "#", " ")
		}
		code, stdout, stderr := dotsbench(args...)
		if code != cli.Usage || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: exit %d, stdout %q, stderr %q, want %q", c.args, code, stdout, stderr, c.want)
		}
	}
	if left, _ := filepath.Glob("*"); len(left) != 2 {
		t.Errorf("something was left behind: %q", left)
	}
}
