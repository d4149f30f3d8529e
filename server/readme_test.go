package server

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dotsconnect/server/internal/browsertest"
)

// The clients in the README must be the files of examples/clients, and each of them must work with a server: members receive its
// message, and it prints their messages. When the server closes the connection, each client must print the code and the reason,
// and end without a stack trace.
func TestTheClientsOfTheREADMEWork(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, file string
		run        func(t *testing.T, file, origin string) (printed func(words string) bool)
		ends       []string // texts that the client must print at its end
	}{
		{"JavaScript", "client.js", runInBrowser, []string{"closed: 4503 kicked: the test is over"}},
		{"Python", "client.py", runPython, []string{"closed: 4503 kicked: the test is over", "exit status 0"}},
		{"Go", "go/main.go", runGo, []string{"4503", "kicked: the test is over", "exit status 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			source, err := os.ReadFile(filepath.Join("../examples/clients", c.file))
			if err != nil {
				t.Fatal(err)
			}
			shown := string(source)
			if c.name == "Go" { // without the comment at the top of the file
				_, shown, _ = strings.Cut(shown, "\npackage main\n")
				shown = "package main\n" + shown
			}
			if !strings.Contains(string(readme), "\n"+shown+"```\n") {
				t.Errorf("the README does not show examples/clients/%s as it is", c.file)
			}
			s := startServer(t, nil)
			_, port, err := net.SplitHostPort(s.Addr())
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), filepath.Base(c.file))
			if err := os.WriteFile(file, []byte(strings.Replace(string(source), "localhost:8000", "127.0.0.1:"+port, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			listener := s.join(t, "/ws/chat/lobby/")
			printed := c.run(t, file, "http://127.0.0.1:"+port)
			listener.hears("hello from " + c.name)
			listener.say("hello to " + c.name)
			listener.hears("hello to " + c.name)
			eventually(t, "the client prints what it hears", func() bool { return printed("hello to " + c.name) })
			eventually(t, "a heartbeat", func() bool { return s.counts.heartbeats.Load() > 0 || c.name == "JavaScript" }) // its first comes after 10 s

			for _, member := range s.listed(t, "chat/lobby").Connections {
				if member.Remote != listener.LocalAddr().String() {
					s.request(t, "DELETE", "/api/connections/"+member.ID+"?reason=the+test+is+over", "")
				}
			}
			for _, words := range c.ends {
				eventually(t, "the client ends with "+words, func() bool { return printed(words) })
			}
			if printed("Traceback") || printed("goroutine ") || printed("Error") {
				t.Error("the client printed more than that")
			}
		})
	}
}

func runInBrowser(t *testing.T, file, origin string) func(string) bool {
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	page := browsertest.Start(t).Open(t, origin+"/healthz") // a page of another origin may not connect
	browsertest.Eval[bool](page, "window.printed = [], console.log = (...words) => printed.push(words.join(' ')), true")
	browsertest.Eval[bool](page, "(() => {"+string(source)+"; return true })()")
	return func(words string) bool {
		return browsertest.Eval[bool](page, "printed.some(line => line.includes("+strconv.Quote(words)+"))")
	}
}

func runPython(t *testing.T, file, _ string) func(string) bool {
	python := "/usr/bin/python3" // the distribution's, which has its packages
	if out, err := exec.Command(python, "-c", "import websockets").CombinedOutput(); err != nil {
		missing := "no Python with the package websockets: apt-get install python3-websockets, or make test, which does it: " + string(out)
		if all, err := strconv.ParseBool(os.Getenv("DOTS_TEST_ALL")); err == nil && all {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	return runCommand(t, exec.Command(python, file))
}

func runGo(t *testing.T, file, _ string) func(string) bool {
	program := filepath.Join(t.TempDir(), "client")
	if out, err := exec.Command("go", "build", "-o", program, file).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return runCommand(t, exec.Command(program))
}

// runCommand starts a client, which ends with the test. The exit state is appended to the lines that the client printed.
func runCommand(t *testing.T, cmd *exec.Cmd) func(string) bool {
	t.Helper()
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, done := make(chan string, 1000), make(chan struct{})
	go func() {
		defer close(done)
		for out := bufio.NewScanner(pipe); out.Scan(); {
			lines <- out.Text()
		}
		_ = cmd.Wait() // the state of the process has the error
		lines <- cmd.ProcessState.String()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
	})
	var seen []string
	return func(words string) bool {
		for {
			select {
			case l := <-lines:
				seen = append(seen, l)
			default:
				return slices.ContainsFunc(seen, func(line string) bool { return strings.Contains(line, words) })
			}
		}
	}
}

// Every file to which the README links must exist.
func TestTheREADMELinksToWhatIsThere(t *testing.T) {
	for _, file := range []string{"../README.md", "../CONTRIBUTING.md", "../CHANGELOG.md", "../bench/README.md", "../SECURITY.md", "PROTOCOL.md", "SETTINGS.md", "ATTACKS.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		links := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllStringSubmatch(string(text), -1)
		if len(links) == 0 && file == "../README.md" {
			t.Errorf("%s has no links", file)
		}
		for _, link := range links {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), link[1])); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}
