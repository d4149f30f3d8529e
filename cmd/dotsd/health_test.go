package main

import (
	"io"
	"strings"
	"testing"
)

func TestHealthAsksTheServerOfTheSameConfiguration(t *testing.T) {
	start, stop := startServe(t, "--public-readyz")
	withAdmin := []string{"--admin=" + start.Admin, "--listen=" + start.Address}
	withoutAdmin := []string{"--admin=", "--listen=" + start.Address}
	for _, row := range []struct {
		args   []string
		env    []string
		code   int
		stdout string
		stderr string
	}{
		{args: append([]string{"health"}, withAdmin...), stdout: "ok\n"},
		{args: append([]string{"health", "--ready"}, withAdmin...), stdout: "ready\n"},
		{args: []string{"health"}, env: []string{"DOTS_ADMIN=" + start.Admin}, stdout: "ok\n"},
		{args: append([]string{"health"}, withoutAdmin...), stdout: "ok\n"},
		{args: append([]string{"health", "--ready", "--public-readyz"}, withoutAdmin...), stdout: "ready\n"},
		{args: append([]string{"health", "--ready"}, withoutAdmin...), code: exitFailure, stderr: "--public-readyz"},
		{args: []string{"health", "--admin=127.0.0.1:0"}, code: exitFailure, stderr: "free port"},
	} {
		var out, errs strings.Builder
		code := run(t.Context(), program{args: row.args, env: row.env, stdout: &out, stderr: &errs})
		stdout, stderr := out.String(), errs.String()
		if code != row.code || stdout != row.stdout || !strings.Contains(stderr, row.stderr) {
			t.Errorf("%q %q: exit %d, %q, %q, want %d, %q, %q", row.args, row.env, code, stdout, stderr, row.code, row.stdout, row.stderr)
		}
	}
	stop()
	var errs strings.Builder
	code := run(t.Context(), program{args: append([]string{"health"}, withAdmin...), stdout: io.Discard, stderr: &errs})
	if code != exitFailure || !strings.Contains(errs.String(), "connection refused") || !strings.Contains(errs.String(), "its --admin") {
		t.Errorf("no server: exit %d, %q, want 1 and the reason", code, errs.String())
	}
}
