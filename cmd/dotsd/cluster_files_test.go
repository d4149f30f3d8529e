package main

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// The files of examples/cluster must agree with each other and with dotsd.

func clusterFile(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "examples", "cluster", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func readClusterFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(clusterFile(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// need finds a program. It also looks in the folders that Debian has only in root's PATH.
func need(t *testing.T, program string) string {
	t.Helper()
	for _, name := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	why := fmt.Sprintf("needs %s; install it with: apt-get install %s", program, program)
	if all, err := strconv.ParseBool(os.Getenv("DOTS_TEST_ALL")); err == nil && all {
		t.Fatal(why)
	}
	t.Skip(why)
	return ""
}

// assignments reads NAME=VALUE lines as systemd and Docker do. If a name occurs several times, the result has all values of the
// name, in their order.
func assignments(text string) map[string][]string {
	all := map[string][]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(name, "#") {
			all[name] = append(all[name], value)
		}
	}
	return all
}

// drainLimit returns the longest time that a node of the example may take to end, according to its own settings.
// cmd/dotsd/serve.go computes the same limit.
func drainLimit(t *testing.T) time.Duration {
	t.Helper()
	var env []string
	for name, values := range assignments(readClusterFile(t, "dotsd.env")) {
		env = append(env, name+"="+values[0])
	}
	inv, err := parse([]string{"--redis=redis://127.0.0.1"}, env, io.Discard, io.Discard)
	if err != nil {
		t.Fatalf("dotsd.env: %v", err)
	}
	c := inv.config
	return c.DrainDelay + c.DrainTime + c.CloseTimeout + drainSlack + c.RedisHold
}

func TestClusterExampleUnit(t *testing.T) {
	text := readClusterFile(t, "dotsd@.service")
	unit := assignments(text)
	for name, want := range map[string]string{
		"Type": "exec", "DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "AmbientCapabilities": "",
		"CapabilityBoundingSet": "", "KillSignal": "SIGTERM", "Restart": "on-failure", "RestartPreventExitStatus": itoa(exitUsage),
		"ExecStart": "/usr/local/bin/dotsd",
	} {
		if got := unit[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if files, err := strconv.Atoi(unit["LimitNOFILE"][0]); err != nil || files < 100_000 {
		t.Errorf("LimitNOFILE: got %q", unit["LimitNOFILE"])
	}
	seconds, err := strconv.Atoi(unit["TimeoutStopSec"][0])
	if stop, limit := time.Duration(seconds)*time.Second, drainLimit(t); err != nil || stop <= limit {
		t.Errorf("TimeoutStopSec: got %q, want more than %v, which a drain may take", unit["TimeoutStopSec"], limit)
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("without systemd-analyze only the settings were checked")
		return
	}
	path := filepath.Join(t.TempDir(), "dotsd@node1.service") // systemd-analyze verify requires that the program exists
	if err := os.WriteFile(path, []byte(strings.Replace(text, "/usr/local/bin/dotsd", "/bin/true", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", "--man=no", path).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("dotsd@")) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestClusterExampleImage builds the program in the way the Dockerfile does. It does not build the image, because that needs
// Docker.
func TestClusterExampleImage(t *testing.T) {
	text := strings.ReplaceAll(readClusterFile(t, "Dockerfile"), "\\\n", " ")
	_, final, ok := strings.Cut(text, "\nFROM alpine:")
	if !ok {
		t.Fatal("no second stage")
	}
	compile := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 go build .*-o (/\S+) \./cmd/dotsd)$`).FindStringSubmatch(text)
	install := regexp.MustCompile(`(?m)^COPY --from=build (\S+) (\S+)$`).FindStringSubmatch(final)
	start := regexp.MustCompile(`(?m)^ENTRYPOINT \["(\S+)"\]$`).FindStringSubmatch(final)
	if compile == nil || install == nil || start == nil || compile[2] != install[1] || install[2] != start[1] {
		t.Fatalf("the program that is built, copied and started differs: %q, %q, %q", compile, install, start)
	}
	if user := regexp.MustCompile(`(?m)^USER ([1-9][0-9]+):([1-9][0-9]+)$`).FindStringSubmatch(final); user == nil {
		t.Error("no USER, or root")
	}
	if len(healthcheck(t)) == 0 {
		t.Error("no HEALTHCHECK")
	}
	if testing.Short() {
		t.Skip("builds the program")
	}
	built := filepath.Join(t.TempDir(), "dotsd")
	cmd := exec.Command("/bin/sh", "-c", strings.Replace(compile[1], compile[2], built, 1))
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", compile[1], err, out)
	}
	file, err := elf.Open(built)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, part := range file.Progs {
		if part.Type == elf.PT_INTERP {
			t.Error("the program is not static")
		}
	}
}

// healthcheck returns the command of the image's HEALTHCHECK.
func healthcheck(t *testing.T) (args []string) {
	t.Helper()
	text := strings.ReplaceAll(readClusterFile(t, "Dockerfile"), "\\\n", " ")
	match := regexp.MustCompile(`(?m)^HEALTHCHECK .*CMD (\[.*\])$`).FindStringSubmatch(text)
	if len(match) == 0 || json.Unmarshal([]byte(match[1]), &args) != nil {
		t.Fatalf("HEALTHCHECK: got %q", match)
	}
	return args
}

func TestClusterExampleCompose(t *testing.T) {
	var file struct {
		Services map[string]struct {
			Image           string            `yaml:"image"`
			Build           map[string]string `yaml:"build"`
			Pull            string            `yaml:"pull_policy"`
			Restart         string            `yaml:"restart"`
			StopGracePeriod string            `yaml:"stop_grace_period"`
			Environment     map[string]string `yaml:"environment"`
			EnvFile         []string          `yaml:"env_file"`
			Volumes         []string          `yaml:"volumes"`
			Networks        map[string]struct {
				Address string `yaml:"ipv4_address"`
			} `yaml:"networks"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal([]byte(readClusterFile(t, "docker-compose.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	balancer := file.Services["haproxy"].Environment
	for _, name := range []string{"node1", "node2"} {
		node, prefix := file.Services[name], strings.ToUpper(name)
		if stop, err := time.ParseDuration(node.StopGracePeriod); err != nil || stop <= drainLimit(t) {
			t.Errorf("%s: got stop_grace_period %q, want more than %v", name, node.StopGracePeriod, drainLimit(t))
		}
		if got := balancer[prefix+"_HOST"]; got == "" || got != node.Networks["default"].Address {
			t.Errorf("HAProxy looks for %s at %q, it is at %q", name, got, node.Networks["default"].Address)
		}
		if node.Environment["DOTS_LISTEN"] != ":"+balancer[prefix+"_PORT"] || node.Environment["DOTS_ADMIN"] != ":"+balancer[prefix+"_ADMIN_PORT"] {
			t.Errorf("%s: HAProxy has %v, the node %v", name, balancer, node.Environment)
		}
	}
	builds := 0
	for name, service := range file.Services {
		if service.Restart != "unless-stopped" {
			t.Errorf("%s: got restart: %s; it would not be there after a reboot", name, service.Restart)
		}
		if service.Build != nil {
			builds++
		} else if service.Image == "dotsd" && service.Pull != "never" {
			t.Errorf("%s: its image is not in a registry", name)
		}
		files := slices.Clone(service.EnvFile)
		for _, volume := range service.Volumes {
			if source, _, _ := strings.Cut(volume, ":"); strings.HasPrefix(source, "./") {
				files = append(files, source)
			}
		}
		for _, f := range files {
			if _, err := os.Stat(clusterFile(t, f)); err != nil && !strings.Contains(f, "secrets/") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if builds != 1 {
		t.Errorf("%d services build the image, want 1: two at once disturb each other", builds)
	}
}

// TestClusterExampleKubernetes: a failover of Redis must neither restart a pod nor take it out of service, and a drain must not
// be aborted.
func TestClusterExampleKubernetes(t *testing.T) {
	_, text, _ := strings.Cut(readClusterFile(t, "README.md"), "\n```yaml\n")
	text, _, _ = strings.Cut(text, "\n```\n")
	type probe struct {
		HTTP     struct{ Path, Port string } `yaml:"httpGet"`
		Period   int                         `yaml:"periodSeconds"`
		Failures int                         `yaml:"failureThreshold"`
	}
	var pod struct {
		Grace      int `yaml:"terminationGracePeriodSeconds"`
		Containers []struct {
			Liveness  probe `yaml:"livenessProbe"`
			Readiness probe `yaml:"readinessProbe"`
		} `yaml:"containers"`
	}
	if err := yaml.Unmarshal([]byte(text), &pod); err != nil || len(pod.Containers) != 1 {
		t.Fatalf("the README shows %q: %v", text, err)
	}
	live, ready := pod.Containers[0].Liveness, pod.Containers[0].Readiness
	if live.HTTP.Path != "/healthz" || ready.HTTP.Path != "/readyz" {
		t.Errorf("liveness is %q and readiness %q", live.HTTP.Path, ready.HTTP.Path)
	}
	if got := time.Duration(ready.Failures*ready.Period) * time.Second; got <= failover {
		t.Errorf("a pod is taken out after %v, want more than %v, which a failover of Redis takes", got, failover)
	}
	if grace := time.Duration(pod.Grace) * time.Second; grace <= drainLimit(t) {
		t.Errorf("got %v to end, want more than %v", grace, drainLimit(t))
	}
}

// TestClusterExampleDrainLimit: the sums in the comments of the example must match its settings.
func TestClusterExampleDrainLimit(t *testing.T) {
	want := itoa(int(drainLimit(t).Seconds())) + " s"
	for name, line := range map[string]string{"dotsd.env": "in reserve = ", "dotsd@.service": "takes up to "} {
		if text := readClusterFile(t, name); !strings.Contains(text, line+want) {
			t.Errorf("%s: no %q", name, line+want)
		}
	}
}

// TestTheImageIsMadeFromTheSourceAlone: the ignore file, which every image builder reads, must exclude everything first, and then
// include only the files from which the program is built.
func TestTheImageIsMadeFromTheSourceAlone(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			rules = append(rules, line)
		}
	}
	want := []string{"*", "!go.mod", "!go.sum"}
	list := exec.Command("go", "list", "-deps", "-f", "{{if and .Module .Module.Main}}{{.ImportPath}}{{end}}", "./cmd/dotsd")
	list.Dir = filepath.Join("..", "..")
	packages, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(string(packages)) {
		want = append(want, "!"+strings.Split(name, "/")[1])
	}
	slices.Sort(want)
	slices.Sort(rules)
	if want = slices.Compact(want); !slices.Equal(rules, want) {
		t.Errorf("got %q, want %q", rules, want)
	}
}
