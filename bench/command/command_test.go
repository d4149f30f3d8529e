package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/stub"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// TestMain lets this program act as the processes that the tests start: a
// worker, two kinds of servers, or dotsbench itself.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == dying {
		os.Exit(dieOn(os.Args[2]))
	}
	if len(os.Args) == 3 && os.Args[1] == serving {
		os.Exit(serveOn(os.Args[2]))
	}
	if len(os.Args) == 2 && os.Args[1] == "worker" || os.Getenv(asProgram) != "" {
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// dying as the first argument makes this program a server that accepts three
// connections and then exits with an error message.
const dying = "server-that-dies"

func dieOn(port string) int {
	ln, err := net.Listen("tcp", "127.0.0.1:"+port)
	for range 3 { // two checks whether the server listens, and the first member
		if err == nil {
			_, err = ln.Accept()
		}
	}
	if err == nil {
		err = errors.New("had enough")
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// serving as the first argument makes this program a server, until a signal
// ends it.
const serving = "server-that-serves"

func serveOn(port string) int {
	ln, err := net.Listen("tcp", "127.0.0.1:"+port)
	hub := &stub.Hub{}
	for err == nil {
		var c net.Conn
		if c, err = ln.Accept(); err == nil {
			go func() {
				defer func() { _ = c.Close() }()
				stub.ServeIf(c.(*net.TCPConn), hub.Serve, func(string) bool { return true })
			}()
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// asProgram is an environment variable. If it is set, this program acts as
// dotsbench, in a process that a test can end by a signal.
const asProgram = "DOTSBENCH_TEST_AS_PROGRAM"

func dotsbench(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Main(args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestMistakesAreOneLineWithExit2AndLeaveNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	for _, c := range []struct{ args, want string }{
		{"", "write one of run, suite, compare, duel, max, "},
		{"bench", `unknown command "bench"`},
		{"run", "name one scenario"},
		{"run rom", `unknown scenario "rom": write one of burst, churn`},
		{"run none.yaml", "no such file"},
		{"run rooms echo", "name one scenario, not 2"},
		{"run rooms --nope 1", "not defined"},
		{"run rooms --conns many", `--conns: "many" is not a number; write a number such as 500 or 10k`},
		{"run rooms --rate 500", `--rate: "500" has no unit`},
		{"run rooms --duration 30", `--duration: "30" has no unit`},
		{"run rooms --conns 10", "rooms: 1000 is out of range; write a value from 1 to conns (10)"},
		{"run rooms --threshold latency.p99<20", `"20" is not a time`},
		{"run rooms --source home", "write a network such as 127.0.0.0/24"},
		{"run rooms --url http://x:1", "must begin with ws://"},
		{"run rooms --url ws://127.0.0.1:1", "no server at 127.0.0.1:1"},
		{"run rooms --server-cmd true", "must contain {port}"},
		{"run rooms --server-cmd false#{port}", "the server ended at once"},
		{"run rooms --server-pid 4194305 --url ws://127.0.0.1:1", "--server-pid 4194305: no such process; use the id that pgrep shows for the server, or"},
		{"run rooms --server-pid 4194305 --url ws://127.0.0.1:1 --pin", "--server-pid 4194305: no such process; use the id"},
		{"run rooms --url ws://127.0.0.1:80000", `"127.0.0.1:80000" is not an address: write host:port with a port of at most 65535`},
		{"run rooms --workers 127.0.0.1:80000", `--workers: "127.0.0.1:80000" is not an address: write host:port with a port of at most 65535`},
		{"run rooms --workers a:1,b", `--workers: "b" is not an address: write host:port`},
		{"worker --listen :80000", `--listen: ":80000" is not an address: write host:port with a port of at most 65535`},
		{"worker --listen 7000", `--listen: "7000" is not an address: write host:port`},
		{"run rooms --server-pid 1 --server-cmd x{port}", "exclude each other"},
		{"run rooms --conns 1M", "open files, and the limit is"},
		{"floor --frames 0", "--frames"},
		{"floor --size big", "--size"},
		{"floor --gap 5ms", "only with --apart"},
		{"floor --gap -5ms --apart", "must not be negative"},
		{"run rooms --servers 2 --url ws://127.0.0.1:1", "--servers 2: needs --server-cmd or --adapter"},
		{"run two-nodes --servers 2 --adapter ../peers/peers.yaml:gws", "--adapter: gws has no beside command, which 2 servers need to be one system"},
		{"run rooms --servers 0 --server-cmd x{port}", "--servers 0: must be at least 1"},
		{"run rooms --procs 0", "--procs 0: must be at least 1"},
		{"run rooms --hurt-cmd true", "--hurt-cmd: scenario rooms has no time at which to run the command"},
		{"run rooms --heal-cmd true", "--heal-cmd: scenario rooms has no time at which to run the command"},
		{"run rooms --pin --url ws://127.0.0.1:1", "--pin: the server's process is not known"},
		{"run rooms --server-pid 1,2 --url ws://127.0.0.1:1", "--server-pid names 2 processes, but --url names 1 servers"},
		{"run rooms --server-pid 1 --workers a:1", "workers cannot see that process"},
		{"run rooms --threshold rate.sent>NaN", `"NaN" is not a limit`},
		{"run rooms --threshold rate.sent<=+inf", `"+inf" is not a limit`},
		{"run restart-storm --rate 5/s --publish others --server-cmd x{port}", "goes on sending while a server is down"},
		{"run node-death --server-cmd x{port}", "goes on sending while a server is down"},
		{"selftest now", "unexpected argument"},
	} {
		args := strings.Fields(c.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "#", " ")
		}
		if len(args) > 2 && args[0] == "run" {
			args = append(args, "--out", dir)
		}
		code, stdout, stderr := dotsbench(args...)
		if code != cli.Usage || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: exit %d, stdout %q, stderr %q, want %q", c.args, code, stdout, stderr, c.want)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a folder was made")
	}
}

func TestHelpNamesWhatThereIsAndNothingElse(t *testing.T) {
	code, out, _ := dotsbench("--help")
	if code != cli.OK || !strings.Contains(out, "floor") || !strings.Contains(out, "duel A B") || strings.Contains(out, "attack") {
		t.Errorf("exit %d, %s", code, out)
	}
	code, out, _ = dotsbench("run", "--help")
	if code != cli.OK || !strings.Contains(out, "--zipf-s") || !strings.Contains(out, "Exit: 0 pass") {
		t.Errorf("exit %d, %s", code, out)
	}
	if code, out, _ = dotsbench("run", "--list"); code != cli.OK || strings.Count(out, "\n") != len(scenario.Names()) {
		t.Errorf("exit %d, %s", code, out)
	}
}

func TestAPrintedScenarioCanBeRun(t *testing.T) {
	_, text, _ := dotsbench("run", "--print", "rooms")
	file := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, stderr := dotsbench("run", file, "--url", "ws://127.0.0.1:1"); !strings.Contains(stderr, "no server at") {
		t.Errorf("got %q", stderr)
	}
}

// short returns the arguments for a run that takes little more than a second.
func short(url string, more ...string) []string {
	return append([]string{"run", "rooms", "--url", url, "--conns", "32", "--rooms", "4", "--rate", "200/s",
		"--duration", "1s", "--warmup", "100ms", "--settle", "5s"}, more...)
}

func TestARunAgainstARightServer(t *testing.T) {
	t.Parallel()
	hub := &stub.Hub{}
	dir := filepath.Join(t.TempDir(), "out")
	code, stdout, stderr := dotsbench(short(stub.Start(t, hub.Serve), "--out", dir, "--server-pid", strconv.Itoa(os.Getpid()),
		"--source", "127.0.0.0/24", "--threshold", "generator.bytes_per_connection<100M")...)
	// The run may be INVALID if the machine is busy with other tests.
	if code != cli.OK && code != cli.Invalid {
		t.Fatalf("exit %d, %s%s", code, stdout, stderr)
	}
	if !strings.Contains(stdout, "0 lost, 0 doubled, 0 reordered, 0 foreign, 0 damaged; 1,760 of 1,760") ||
		!strings.Contains(stdout, "met generator.bytes_per_connection<100M") || strings.Contains(stdout+stderr, "\x1b") {
		t.Errorf("got %s", stdout)
	}
	b, err := os.ReadFile(filepath.Join(dir, "result.json"))
	var r result.Result
	if err != nil || json.Unmarshal(b, &r) != nil {
		t.Fatal(err, string(b))
	}
	if r.Traffic.Sent != 220 || r.Latency.Count != 1600 || r.Server.CPUPerDelivery <= 0 || r.Scenario["conns"] != "32" || len(r.Seconds) < 1 {
		t.Errorf("got %s", b)
	}
}

func TestAMissedThresholdIsExit1(t *testing.T) {
	t.Parallel()
	hub := &stub.Hub{}
	code, stdout, _ := dotsbench(short(stub.Start(t, hub.Serve), "--threshold", "generator.bytes_per_connection<1")...)
	if code != cli.Missed && code != cli.Invalid || !strings.Contains(stdout, "MISSED generator.bytes_per_connection<1: got ") {
		t.Errorf("exit %d, %s", code, stdout)
	}
}

func TestALossIsExit4AndNamed(t *testing.T) {
	t.Parallel()
	// The run waits 5 s for missing messages, so a slow server does not look
	// like a loss.
	hub := &stub.Hub{Tamper: func(_ string, member, n int, message []byte) [][]byte {
		if member == 1 && n == 5 {
			return nil
		}
		return [][]byte{stub.Frame(stub.Text, message)}
	}}
	code, stdout, stderr := dotsbench(short(stub.Start(t, hub.Serve))...)
	if code != cli.Violated || !strings.Contains(stdout, "4 lost, 0 doubled") || !strings.Contains(stderr, "delivery violation: room ") {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
}

func TestTheClosedLoopSendsOnItsOwnEcho(t *testing.T) {
	hub := &stub.Hub{}
	_, stdout, _ := dotsbench(short(stub.Start(t, hub.Serve), "--rate", "max", "--conns", "4")...)
	if !strings.Contains(stdout, "0 lost, 0 doubled, 0 reordered") || strings.Contains(stdout, "send lateness") || strings.Contains(stdout, "; 4 of 4 ") {
		t.Errorf("got %s", stdout)
	}
}

// The page of a run has the command that repeats the run. It must start the server again, and must
// not name the port of this run.
func TestTheReportStartsTheServerAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "out")
	code, stdout, stderr := dotsbench("run", "echo", "--conns", "2", "--rooms", "2", "--duration", "1s", "--warmup", "0s",
		"--server-cmd", os.Args[0]+" "+serving+" {port}", "--out", dir)
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if want := " --server-cmd &#39;" + os.Args[0] + " " + serving + " {port}&#39;</pre>"; err != nil || !strings.Contains(string(page), want) || strings.Contains(string(page), "--url") {
		t.Errorf("exit %d, %s%s%v: the page does not end its command with %q, or names the address of this run", code, stdout, stderr, err, want)
	}
}

func TestAServerThatDiesIsExit5(t *testing.T) {
	code, stdout, stderr := dotsbench("run", "echo", "--conns", "2", "--rooms", "2", "--duration", "1s",
		"--server-cmd", os.Args[0]+" "+dying+" {port}")
	if code != cli.ServerDied || !strings.Contains(stderr, "had enough") {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
}
