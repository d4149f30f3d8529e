package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// "make run" must leave no process behind, however it ends. When a user types Ctrl-C, make must print nothing of its own.
func TestMakeRunEndsWithItsServer(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	makePath := need(t, "make")
	folder := t.TempDir()
	for name, end := range map[string]func(make *os.Process) error{
		"Ctrl-C":  func(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGINT) }, // the terminal signals the whole group
		"SIGTERM": func(p *os.Process) error { return p.Signal(syscall.SIGTERM) },
		"SIGKILL": func(p *os.Process) error { return p.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(makePath, "run", "BIN="+folder, "ARGS=--listen=127.0.0.1:0 --admin=127.0.0.1:0 --log-format=json")
			cmd.Dir = filepath.Join("..", "..")
			cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			reader, writer, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			cmd.Stdout, cmd.Stderr = writer, writer
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_ = writer.Close()
			defer func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }()
			_ = reader.SetReadDeadline(time.Now().Add(4 * patience))
			var lines []string
			serving := false
			for log := bufio.NewScanner(reader); log.Scan(); { // reads until make and the server have closed the pipe
				lines = append(lines, log.Text())
				var line logLine
				if json.Unmarshal(log.Bytes(), &line) == nil && line.Message == "serving" {
					serving = true
					if err := end(cmd.Process); err != nil {
						t.Fatal(err)
					}
				}
			}
			_ = cmd.Wait() // returns how make ended, which does not matter here
			text := strings.Join(lines, "\n")
			if !serving || !strings.Contains(text, `"drained"`) {
				t.Errorf("the server did not end in good order:\n%s", text)
			}
			if name == "Ctrl-C" && strings.Contains(text, "***") {
				t.Errorf("make complains:\n%s", text)
			}
		})
	}
}

// If a reader of the output stops reading early, this must not be reported as an error.
func TestAPipeThatEndsEarlyIsNoTrouble(t *testing.T) {
	p := buildPrograms(t)
	for _, args := range [][]string{{"config"}, {"config", "--yaml"}, {"config", "--markdown"}, {"version"}, {"--help"}} {
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		_ = reader.Close()
		var stderr strings.Builder
		cmd := exec.Command(p.path("dotsd"), args...)
		cmd.Env, cmd.Stdout, cmd.Stderr = environment(), writer, &stderr
		err = cmd.Run()
		_ = writer.Close()
		if err != nil || stderr.Len() > 0 {
			t.Errorf("%q: %v, %q, want nothing", args, err, stderr.String())
		}
	}
}
