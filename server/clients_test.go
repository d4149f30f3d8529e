package server

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dotsconnect/server/internal/browsertest"
	"dotsconnect/server/internal/doctable"
)

const shortClient = "../examples/clients/browser.js"

// The README and the protocol must show the short browser client as it is.
func TestTheDocumentsShowTheShortClient(t *testing.T) {
	source, err := os.ReadFile(shortClient)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"../README.md", "PROTOCOL.md"} {
		doctable.Check(t, file, "client", "```js\n"+string(source)+"```")
	}
}

// exampleClient is a running client that joined the room lobby.
type exampleClient interface {
	// printed returns the lines with messages, as JSON, and the line "some messages were missed" where the client said so.
	printed() []string
	// ended reports whether the client has ended, and has said these words about its connection.
	ended(words ...string) bool
}

// Each example client must get each message once and in order, although its connection is cut while others send; must say that
// messages are missing if the server was replaced; and must end when the server says so.
func TestTheExampleClients(t *testing.T) {
	for _, c := range []struct {
		name  string
		start func(t *testing.T, room, origin string) exampleClient
		hello bool
	}{
		{"short browser client", startShort, false},
		{"Python", startPython, true},
		{"Go", startGo, true},
		{"Node", startNode, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startServer(t, func(cfg *Config) { cfg.MaxAge = 10 * time.Minute })
			p := startProxy(t, s.Addr())
			listener := s.join(t, "/ws/chat/lobby/")
			client := c.start(t, "ws://"+p.Addr()+"/ws/chat/lobby/", "http://"+p.Addr())
			var want []string
			if c.hello {
				listener.hears("hello from " + c.name)
				want = append(want, strconv.Quote("hello from "+c.name))
			}
			s.hasMembers(t, 2)
			_ = listener.Close()
			s.hasMembers(t, 1)

			want = append(want, talkThroughCuts(t, s, p, client)...)
			eventually(t, "the client prints all messages", func() bool { return len(client.printed()) >= len(want) })
			if got := client.printed(); !slices.Equal(got, want) {
				t.Fatalf("the client printed %q, want %q", got, want)
			}

			other := startServer(t, nil)
			p.cut()
			p.connect(other.Addr())
			want = append(want, "some messages were missed")
			eventually(t, "the client says that it missed messages", func() bool { return slices.Equal(client.printed(), want) })
			other.hasMembers(t, 1)
			other.request(t, "DELETE", "/api/connections/"+other.listed(t, "chat/lobby").Connections[0].ID+"?reason=the+test+is+over", "")
			eventually(t, "the client ends", func() bool { return client.ended("4503", "kicked: the test is over") })
		})
	}
}

// talkThroughCuts sends messages to the room, and cuts the connections of the client meanwhile. It returns the messages, as JSON.
// In the last cut, messages are sent while the client cannot come back.
func talkThroughCuts(t *testing.T, s *testServer, p *proxy, client exampleClient) (sent []string) {
	t.Helper()
	const each, rounds = 200, 2
	talker := newTalker(s.join(t, "/ws/chat/lobby/"), 0)
	seen := len(client.printed())
	_ = talker.SetDeadline(noDeadline) // it waits for a client that waits before it reconnects
	talked := make(chan error, 1)
	go func() { talked <- talker.talk(each, 10, each) }()
	for range rounds {
		before := len(client.printed())
		eventually(t, "the client prints more", func() bool { return len(client.printed()) > min(before, seen+each-1) })
		p.cut()
		p.connect(s.Addr())
	}
	if err := <-talked; err != nil {
		t.Fatal(err)
	}
	s.hasMembers(t, 2)
	p.cut()
	s.hasMembers(t, 1)
	if err := talker.talk(each+50, 10, each+50); err != nil {
		t.Fatal(err)
	}
	p.connect(s.Addr())
	for n := range each + 50 {
		sent = append(sent, fmt.Sprintf(`"%d "`, n))
	}
	return sent
}

// startShort runs the short client in an empty page.
func startShort(t *testing.T, room, origin string) exampleClient {
	source, err := os.ReadFile(shortClient)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(source), "wss://HOST/ws/chat/lobby/") {
		t.Fatal("the short client has no address to replace")
	}
	page := browsertest.Start(t).Open(t, origin+"/healthz") // a page of another origin may not connect
	browsertest.Eval[bool](page, `(window.printed = [], window.show = (value) => printed.push(JSON.stringify(value)),
		window.missed = () => printed.push("some messages were missed"), window.ends = "", Math.random = () => 0, true)`)
	// The log of ends is the test's: the short client does not say why its connection ended.
	browsertest.Eval[bool](page, `(window.WebSocket = class extends WebSocket {
		constructor(url) { super(url); this.addEventListener("close", (e) => { ends = e.code + " " + e.reason; }); }
	}, true)`)
	browsertest.Eval[bool](page, "(() => {"+strings.Replace(string(source), "wss://HOST/ws/chat/lobby/", room, 1)+"; return true })()")
	return shortInPage{page}
}

type shortInPage struct{ page *browsertest.Page }

func (c shortInPage) printed() []string { return browsertest.Eval[[]string](c.page, "printed") }

func (c shortInPage) ended(words ...string) bool {
	return browsertest.Eval[string](c.page, "ends") == strings.Join(words, " ")
}

func startPython(t *testing.T, room, _ string) exampleClient {
	python := "/usr/bin/python3" // the distribution's, which has its packages
	if out, err := exec.Command(python, "-c", "import websockets").CombinedOutput(); err != nil {
		missing := "no Python with the package websockets: apt-get install python3-websockets, or make test, which does it: " + string(out)
		if all, err := strconv.ParseBool(os.Getenv("DOTS_TEST_ALL")); err == nil && all {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	return runProgram(t, exec.Command(python, "../examples/clients/python.py", room))
}

func startGo(t *testing.T, room, _ string) exampleClient {
	program := filepath.Join(t.TempDir(), "client")
	if out, err := exec.Command("go", "build", "-o", program, "../examples/clients/go").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return runProgram(t, exec.Command(program, room))
}

// startNode runs the client of the npm package, with waits as short as they can be. make test does not install Node, so this row
// belongs to make adapters.
func startNode(t *testing.T, room, _ string) exampleClient {
	if os.Getenv("DOTS_ADAPTERS") != "all" {
		t.Skip("needs Node.js: make adapters runs it")
	}
	const noChance = "--import=data:text/javascript,Math.random=()=>0"
	for _, flags := range [][]string{{noChance}, {noChance, "--experimental-websocket", "--no-warnings"}} {
		probe := exec.Command("node", append(flags, "-e", "new WebSocket('ws://127.0.0.1:1').onerror = () => {}")...)
		if probe.Run() == nil {
			return runProgram(t, exec.Command("node", append(flags, "../examples/clients/node.mjs", room)...))
		}
	}
	t.Skip("no Node.js with a WebSocket: install Node.js 22 (20.10 is enough for the test)")
	return nil
}

// program is a client in a process of its own. Its standard output has the messages.
type program struct {
	mu       sync.Mutex
	out, err []string // lines of the standard output, and of the standard error; guarded by mu
	exit     string   // guarded by mu
}

func runProgram(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errors, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &program{}
	var readers, waiter sync.WaitGroup
	readers.Go(func() { p.read(out, &p.out) })
	readers.Go(func() { p.read(errors, &p.err) })
	waiter.Go(func() {
		readers.Wait()
		_ = cmd.Wait() // the state of the process has the error
		p.mu.Lock()
		defer p.mu.Unlock()
		p.exit = cmd.ProcessState.String()
	})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		waiter.Wait()
		if t.Failed() {
			t.Logf("the client printed %q and the errors %q, %s", p.out, p.err, p.exit)
		}
	})
	return p
}

func (p *program) read(pipe io.Reader, lines *[]string) {
	for scanner := bufio.NewScanner(pipe); scanner.Scan(); {
		p.mu.Lock()
		*lines = append(*lines, scanner.Text())
		p.mu.Unlock()
	}
}

func (p *program) printed() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.out)
}

func (p *program) ended(words ...string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := strings.Join(p.err, "\n")
	for _, w := range words {
		if !strings.Contains(all, w) {
			return false
		}
	}
	return p.exit == "exit status 1" && !strings.Contains(all, "Traceback") && !strings.Contains(all, "goroutine ")
}
