package command

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/stub"
)

// hurting returns the arguments for a run with a fault. The scenario needs two
// servers that are one system, so the URL of the same server is given twice.
func hurting(url, hurt, heal string) []string {
	return []string{"run", "redis-outage", "--url", url + "," + url, "--conns", "16", "--rooms", "4", "--rate", "50/s", "--duration", "3s",
		"--warmup", "0s", "--settle", "1s", "--hurt", "200ms", "--heal", "600ms", "--hurt-cmd", hurt, "--heal-cmd", heal}
}

func TestAHurtOrAHealThatFailsMakesTheRunAnError(t *testing.T) {
	t.Parallel()
	hub := &stub.Hub{}
	url := stub.Start(t, hub.Serve)
	healed := filepath.Join(t.TempDir(), "healed")
	for _, c := range []struct{ hurt, heal, want string }{
		{"echo first; no-such-program", "touch " + healed, `--hurt-cmd "echo first; no-such-program" failed, exit status 127: `},
		{"true", "echo oh no >&2; exit 7", `--heal-cmd "echo oh no >&2; exit 7" failed, exit status 7: oh no`},
	} {
		args := append(hurting(url, c.hurt, c.heal), "--duration", "1s")
		code, stdout, stderr := dotsbench(args...)
		if code != cli.Usage || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.want) {
			t.Errorf("exit %d, stdout %q, stderr %q, want %q", code, stdout, stderr, c.want)
		}
	}
	if _, err := os.Stat(healed); err != nil {
		t.Errorf("the heal command did not run after a failed hurt command: %v", err)
	}
}

// interrupt starts dotsbench in a process and waits until the file exists. Then
// it sends the signal s to that process and waits for its end.
func interrupt(t *testing.T, s syscall.Signal, file string, args ...string) (code int, stderr string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			break
		}
		if time.Now().After(end) {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("%s was not made: %s", file, &errs)
		}
	}
	if err := cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Fatalf("got %v, %s", err, &errs)
	}
	return exit.ExitCode(), errs.String()
}

func TestASignalHealsAndLeavesNoFolder(t *testing.T) {
	hub := &stub.Hub{}
	dir := t.TempDir()
	hurt, healed, out := filepath.Join(dir, "hurt"), filepath.Join(dir, "healed"), filepath.Join(dir, "new", "out")
	args := append(hurting(stub.Start(t, hub.Serve), "touch "+hurt, "touch "+healed), "--heal", "2900ms", "--out", out)
	code, stderr := interrupt(t, syscall.SIGTERM, hurt, args...)
	if code != 143 || stderr != "dotsbench: ended by SIGTERM\n" {
		t.Errorf("exit %d, %q", code, stderr)
	}
	if _, err := os.Stat(healed); err != nil {
		t.Error("the heal command did not run")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 2 {
		t.Errorf("left %q", left)
	}
}

func TestASignalEndsWhatAWrapperAndABuildHaveStarted(t *testing.T) {
	dir := t.TempDir()
	pids, file := filepath.Join(dir, "pids"), filepath.Join(dir, "a.yaml")
	text := "peers:\n  - {name: x, build: 'sleep 60 & echo $! > " + pids + ".new; mv " + pids + ".new " + pids + "; wait', start: 'false {port}', ready: tcp, " +
		"url: 'ws://h:{port}/{room}', frames: {send: '{payload}', receive: '{payload}', heartbeat: b}}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	wrapper := `sh -c "sleep 60 & echo \$! > ` + pids + `.new; mv ` + pids + `.new ` + pids + `; wait; : {port}"`
	for name, args := range map[string][]string{
		"wrapper": {"run", "echo", "--server-cmd", wrapper},
		"build":   {"run", "echo", "--adapter", file},
		"peers":   {"peers", "--file", file, "--quick", "--ours", "x {port}"},
	} {
		code, stderr := interrupt(t, syscall.SIGINT, pids, args...)
		if code != 130 || stderr != "dotsbench: ended by SIGINT\n" {
			t.Errorf("%s: exit %d, %q", name, code, stderr)
		}
		text, err := os.ReadFile(pids)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(2 * time.Second); lives(pid); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("%s: process %d is left", name, pid)
				_ = syscall.Kill(pid, syscall.SIGKILL)
				break
			}
		}
		if err := os.Remove(pids); err != nil {
			t.Fatal(err)
		}
	}
}

// lives reports whether a process runs. A zombie, whose end process 1 has not
// yet noticed, does not count.
func lives(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func TestOutIsTriedBeforeTheRun(t *testing.T) {
	if os.Getuid() == 0 {
		// This test needs a folder in which it may not create files. root may
		// create files in all folders, except in file systems such as /proc.
		code, _, stderr := dotsbench("run", "rooms", "--url", "ws://127.0.0.1:1", "--out", "/proc/new/out")
		if code != cli.Usage || !strings.Contains(stderr, "--out: ") {
			t.Errorf("exit %d, %s", code, stderr)
		}
	}
	parent := filepath.Join(t.TempDir(), "new")
	code, _, stderr := dotsbench("run", "rooms", "--url", "ws://127.0.0.1:1", "--out", filepath.Join(parent, "deep", "out"))
	if _, err := os.Stat(parent); code != cli.Usage || err == nil || !strings.Contains(stderr, "no server") {
		t.Errorf("exit %d, %s; the folder: %v", code, stderr, err)
	}
}
