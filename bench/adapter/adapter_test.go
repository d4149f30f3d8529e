package adapter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const good = `# A comment.
peers:
  - name: x
    start: x {port}
    ready: tcp
    url: ws://127.0.0.1:{port}/{room}
    frames:
      send: 'a{payload}'
      receive: 'b{payload}'
      heartbeat: c
`

// acceptAt is the name of an environment variable. If it has an address, this
// program accepts connections at that address and runs no tests.
const acceptAt = "ADAPTER_ACCEPT"

func TestMain(m *testing.M) {
	addr := os.Getenv(acceptAt)
	if addr == "" {
		os.Exit(m.Run())
	}
	ln, err := net.Listen("tcp", addr)
	for err == nil {
		_, err = ln.Accept()
	}
	fmt.Println(err)
}

func TestAMistakeIsNamedWithLineAndField(t *testing.T) {
	for _, row := range []struct{ old, new, want string }{
		{"start: x {port}", "start: x", `peers.yaml:4: peer "x": start must contain {port}`},
		{"    start: x {port}\n", "", `peers.yaml:3: peer "x": start must contain {port}`},
		{"ready: tcp", "ready: tcp\n    beside: y", `peers.yaml:6: peer "x": beside must contain {port}`},
		{"ready: tcp", "ready: tcp\n    beside: y {port}", `peers.yaml:4: peer "x": start must contain {beside}`},
		{"ready: tcp", "ready: tcp\n    per_call: [a]", `peers.yaml:6: peer "x": per_call must be two counters, got 1`},
		{"ready: tcp", "ready: tcp\n    per_call: [a, b]", `peers.yaml:4: peer "x": start must contain {admin}`},
		{"/{room}", "", `peers.yaml:6: peer "x": url must contain {room}, because frames.join does not`},
		{"ws://", "http://", `peers.yaml:6: peer "x": url must begin with ws://`},
		{"'a{payload}'", "a", `peers.yaml:8: peer "x": frames.send must contain {payload}`},
		{"'b{payload}'", "b", `peers.yaml:9: peer "x": frames.receive must contain {payload}`},
		{"heartbeat: c", "heartbeat: ''", `peers.yaml:10: peer "x": frames.heartbeat must not be empty`},
		{"heartbeat: c", "heartbeat: c\n      tag: two", `peers.yaml:11: peer "x": frames.tag is "two"; write one of ["one" "many"]`},
		{"heartbeat: c", "heartbeat: c\n      joined: '('", `peers.yaml:11: peer "x": frames.joined is not a regular expression`},
		{"heartbeat: c", "heartbeat: c\n      join: x", `peers.yaml:11: `},
		{"ready: tcp", "ready: '('", `peers.yaml:5: peer "x": ready is not a regular expression`},
		{"ready: tcp", "raedy: tcp", `peers.yaml:5: unknown field "raedy"`},
		{"name: x", "name: a b", `peers.yaml:3: peer "a b": name must be one word`},
		{"peers:", "pears:", `peers.yaml:2: pears: unknown field; did you mean peers?`},
		{good, good + "more: 1", `peers.yaml:11: more: unknown field; a file has peers, tables`},
		{good, "peers: 5", `peers.yaml:1: peers: must be a list`},
		{good, "", `peers.yaml:1: the list of peers is missing`},
		{good, "peers:\n  - name: 'x", `peers.yaml:2: `},
		{good, good + strings.SplitN(good, "peers:\n", 2)[1], `peers.yaml:11: peer "x": line 3 has a peer with that name`},
	} {
		text := strings.Replace(good, row.old, row.new, 1)
		if _, err := Parse("peers.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q in place of %q: got error %v, want %s", row.new, row.old, err, row.want)
		}
	}
}

func TestAFileIsReadAsItStands(t *testing.T) {
	all, err := Parse("dir/peers.yaml", []byte(strings.Replace(good, "heartbeat: c", "heartbeat: c\n      tag: many\n      join: ['j {room}']", 1)))
	if err != nil {
		t.Fatal(err)
	}
	a := all[0]
	if !strings.HasSuffix(a.Dir, "/dir") || a.URL != "ws://127.0.0.1:{port}/{room}" {
		t.Errorf("got %+v", a)
	}
	f := a.Protocol()
	if f.Send != "a{payload}" || f.Heartbeat != "c" || !f.Many || len(f.Join) != 1 || f.Join[0] != "j {room}" {
		t.Errorf("got %+v", f)
	}
}

func TestFindTakesAFileAndAName(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.yaml"), filepath.Join(dir, "two.yaml")
	second := strings.Replace(strings.SplitN(good, "peers:\n", 2)[1], "name: x", "name: y", 1)
	for name, text := range map[string]string{one: good, two: good + second} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for spec, want := range map[string]string{one: "x", one + ":x": "x", two + ":y": "y"} {
		if a, err := Find(spec); err != nil || a.Name != want {
			t.Errorf("%s: got %q, %v", spec, a.Name, err)
		}
	}
	for spec, want := range map[string]string{
		two: "has several servers: add one of x, y", two + ":z": `there is no server "z": write one of x, y`, dir + "/none.yaml:x": "no such file",
	} {
		if _, err := Find(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", spec, err, want)
		}
	}
}

func TestWhatCannotBeBuiltSaysWhy(t *testing.T) {
	var absent *Absent
	a := Adapter{Needs: []string{"sh", "no-such-program"}}
	if err := a.Prepare(t.Context()); !errors.As(err, &absent) || absent.Why != "no-such-program is not installed" {
		t.Errorf("got %v", err)
	}
	a = Adapter{Dir: t.TempDir(), Fetch: "echo no network >&2; exit 7", Build: "touch built"}
	if err := a.Prepare(t.Context()); !errors.As(err, &absent) || !strings.Contains(absent.Why, "fetch: exit status 7: no network") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(a.Dir, "built")); err == nil {
		t.Error("it was built although fetch failed")
	}
	a.Fetch = "yes go: downloading x v1 | head -n 99 >&2; echo no network >&2; exit 7"
	if err := a.Prepare(t.Context()); !errors.As(err, &absent) || absent.Why != "fetch: exit status 7: no network" {
		t.Errorf("got %v, want the reason without what was downloaded until then", err)
	}
	a.Fetch, a.Build = "touch fetched", "ls fetched && exit 7"
	if err := a.Prepare(t.Context()); err == nil || errors.As(err, new(*Absent)) || !strings.Contains(err.Error(), "build: exit status 7: fetched") {
		t.Errorf("got %v, want a failure", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a.Build = "sleep 60"
	if err := a.Prepare(ctx); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("got %v", err)
	}
	a.Build = "pwd > where"
	if err := a.Prepare(t.Context()); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(filepath.Join(a.Dir, "where")); err != nil || strings.TrimSpace(string(b)) != a.Dir {
		t.Errorf("built in %s, want %s (%v)", b, a.Dir, err)
	}
}

func TestAServerIsReadyWhenALineSaysSo(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	a := Adapter{Name: "x", Dir: t.TempDir(), URL: "ws://h:{port}/{room}", Ready: "^up on [0-9]+$",
		Start: `sh -c 'echo starting; echo "up on {port}"; pwd; exec sleep 60'`}
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cpus); err != nil {
		t.Fatal(err)
	}
	first := 0
	for !cpus.IsSet(first) {
		first++
	}
	var only, got, after unix.CPUSet
	only.Set(first)
	s, err := a.Launch(1, &only)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if err := unix.SchedGetaffinity(s.Pid, &got); err != nil || got != only {
		t.Errorf("the server has %d CPUs (%v), want 1", got.Count(), err)
	}
	if err := unix.SchedGetaffinity(0, &after); err != nil || after != cpus {
		t.Errorf("this thread has %d CPUs now (%v), want the %d from before", after.Count(), err, cpus.Count())
	}
	if s.URL != "ws://h:"+s.Port+"/{room}" {
		t.Errorf("got URL %s", s.URL)
	}
	s.Stop()
	if words := s.LastWords(); !strings.Contains(words, a.Dir) {
		t.Errorf("it ran elsewhere than in %s: %s", a.Dir, words)
	}
	a.Start = "sh -c 'echo port {port} is taken; exit 3'"
	if _, err := a.Launch(1, nil); err == nil || !strings.Contains(err.Error(), "is taken") {
		t.Errorf("got %v, want the server's last words", err)
	}
}

// Two servers of one system get the same port of the program that Beside
// starts. Stop ends all three processes.
func TestSeveralServersShareWhatIsBesideThem(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	a := Adapter{Name: "x", Dir: t.TempDir(), URL: "ws://h:{port}/{room}", Ready: "^up ",
		Beside: "env " + acceptAt + "=127.0.0.1:{port} '" + self + "'", Start: `sh -c 'echo "up {port} beside {beside}"; exec sleep 60'`}
	s, err := a.Launch(2, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	all := s.All()
	if len(all) != 2 || all[0] != s.Server || all[0].Addr == all[1].Addr {
		t.Fatalf("got %d servers, want two at addresses of their own", len(all))
	}
	_, beside, _ := strings.Cut(s.Beside.Addr, ":")
	var urls []string
	for _, one := range all {
		_, port, _ := strings.Cut(one.Addr, ":")
		urls = append(urls, "ws://h:"+port+"/{room}")
		if want := "up " + port + " beside " + beside; !strings.Contains(one.LastWords(), want) {
			t.Errorf("a server said %q, want %q", one.LastWords(), want)
		}
	}
	if want := strings.Join(urls, ","); s.URL != want {
		t.Errorf("got URL %s, want %s", s.URL, want)
	}
	s.Stop()
	for _, one := range append(all, s.Beside) {
		if !one.Died() {
			t.Errorf("%s is left", one.Addr)
		}
	}
	// The second server fails to start, so Launch must end the first one and
	// fail.
	a.Start = `sh -c 'echo {port} >> ports; test $(wc -l < ports) = 1 && echo "up {port}" && exec sleep 60; echo no room for {port}; exit 3'`
	if _, err := a.Launch(2, nil); err == nil || !strings.Contains(err.Error(), "no room for") {
		t.Errorf("got %v, want the second server's last words", err)
	}
}
