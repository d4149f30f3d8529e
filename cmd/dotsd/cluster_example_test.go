package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"debug/elf"
	"encoding/csv"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/goccy/go-yaml"
)

// The files of examples/cluster: what they say agrees with each other and with the program, and HAProxy, Redis and two nodes
// that run with them do what the README there promises.

const (
	clusterToken    = "token-of-the-example"
	clusterPassword = "password-of-the-example"
)

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

// need finds a program, which Debian may keep where only root looks.
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

// assignments reads NAME=VALUE lines, as systemd and Docker do. A name that comes again has its values in order.
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

// drainLimit is the longest that a node of the example may take to end, by its own settings; cmd/dotsd/serve.go adds it up.
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
	path := filepath.Join(t.TempDir(), "dotsd@node1.service") // verify wants the program to be there
	if err := os.WriteFile(path, []byte(strings.Replace(text, "/usr/local/bin/dotsd", "/bin/true", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", "--man=no", path).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("dotsd@")) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestClusterExampleImage builds the program as the Dockerfile does. An image takes a Docker.
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
		t.Fatalf("what is built, copied and started is not the same: %q, %q, %q", compile, install, start)
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

// healthcheck is the command of the image's HEALTHCHECK.
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
			t.Errorf("%s: its image is in no registry", name)
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
		t.Errorf("%d services build the image, want 1: two at once get in each other's way", builds)
	}
}

// TestTheImageIsMadeFromTheSourceAlone: the ignore file that every builder reads takes everything out, and nothing back in
// but what the program is built from.
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

// cluster is what the example starts, on free ports.
type cluster struct {
	t        *testing.T
	programs programs
	haproxy  string // the program
	folder   string // short, for the path of a socket
	secrets  string // the file with DOTS_REDIS and DOTS_ADMIN_TOKEN
	redis    *exec.Cmd
	nodes    []*daemon
	ports    map[string]string // of HAProxy, by the names of its variables
	web      *http.Client      // trusts the certificate
}

func TestClusterExample(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Redis, HAProxy and two nodes")
	}
	haproxy, redis := need(t, "haproxy"), need(t, "redis-server")
	c := &cluster{t: t, programs: programs{goBuild(t, "./cmd/dotsd")}, haproxy: haproxy, ports: map[string]string{}}
	var err error
	if c.folder, err = os.MkdirTemp("", "dots"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(c.folder) })
	for _, name := range []string{"HTTP_PORT", "HTTPS_PORT", "STATS"} {
		c.ports[name] = freePort(t)
	}
	c.certify()
	c.checkConfig()
	t.Run("headers", c.testHeaders)
	c.startRedis(redis)
	c.nodes = []*daemon{c.node(1), c.node(2)}
	c.startHAProxy(c.environment(c.nodes[0].start, c.nodes[1].start))
	c.awaitServers("UP", "UP")
	c.checkFront()
	c.checkHealth()

	crowd := c.crowd(20)
	c.exchange(crowd)
	c.drain(crowd)
	c.exchange(crowd)
	c.comeback(crowd)
	c.stopRedis(crowd)
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return itoa(listener.Addr().(*net.TCPAddr).Port)
}

// certify makes a certificate for localhost.
func (c *cluster) certify() {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		c.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		c.t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	c.write("site.pem", string(public)+string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(public)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}
	c.web = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (c *cluster) write(name, text string) (path string) {
	c.t.Helper()
	path = filepath.Join(c.folder, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// environment is what HAProxy gets to serve these two nodes.
func (c *cluster) environment(nodes ...logLine) []string {
	c.t.Helper()
	env := append(environment(),
		"CERT="+filepath.Join(c.folder, "site.pem"), "STATS_SOCKET="+filepath.Join(c.folder, "haproxy.sock"), "MAXCONN=1000",
		"HTTP_PORT="+c.ports["HTTP_PORT"], "HTTPS_PORT="+c.ports["HTTPS_PORT"], "STATS=127.0.0.1:"+c.ports["STATS"])
	env = append(env, "ROOTLESS=1") // a change of user would undo Pdeathsig, and HAProxy outlive a test that is killed
	for i, node := range nodes {
		host, port, err := net.SplitHostPort(node.Address)
		if err != nil {
			c.t.Fatal(err)
		}
		prefix := "NODE" + itoa(i+1)
		env = append(env, prefix+"_HOST="+host, prefix+"_PORT="+port, prefix+"_ADMIN_PORT="+portOf(node.Admin))
	}
	return env
}

// checkConfig has HAProxy check the file as it stands, and as the test will use it.
func (c *cluster) checkConfig() {
	c.t.Helper()
	for _, env := range [][]string{c.environment(), append(environment(), "ROOTLESS=1", "CERT="+filepath.Join(c.folder, "site.pem"))} {
		cmd := exec.Command(c.haproxy, "-c", "-f", clusterFile(c.t, "haproxy.cfg"))
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if err != nil || bytes.Contains(out, []byte("WARNING")) {
			c.t.Fatalf("haproxy -c: %v\n%s", err, out)
		}
	}
}

// startProcess starts a program that ends with the test, or by stop.
func startProcess(t *testing.T, cmd *exec.Cmd) (stop func()) {
	t.Helper()
	var log bytes.Buffer // read only after the end
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(cmd.Path), log.String())
		}
	})
	t.Cleanup(stop)
	return stop
}

func (c *cluster) startHAProxy(env []string) (stop func()) {
	c.t.Helper()
	cmd := exec.Command(c.haproxy, "-db", "-f", clusterFile(c.t, "haproxy.cfg"))
	cmd.Env = env
	stop = startProcess(c.t, cmd)
	until(c.t, "HAProxy listens", func() bool { return reachableAt("127.0.0.1:" + c.ports["HTTPS_PORT"]) })
	return stop
}

func reachableAt(address string) bool {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// startRedis gives it the settings of the example and asks it whether they are in force.
func (c *cluster) startRedis(program string) {
	c.t.Helper()
	port := freePort(c.t)
	conf := readClusterFile(c.t, "redis.conf") + "bind 127.0.0.1\nport " + port + "\nrequirepass " + clusterPassword + "\ndir " + c.folder + "\n"
	c.redis = exec.Command(program, c.write("redis.conf", conf))
	startProcess(c.t, c.redis)
	until(c.t, "Redis listens", func() bool { return reachableAt("127.0.0.1:" + port) })
	conn, err := net.DialTimeout("tcp", "127.0.0.1:"+port, patience)
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "PING\r\nAUTH %s\r\nCONFIG GET append*\r\nCONFIG GET maxmemory-policy\r\nQUIT\r\n", clusterPassword)
	answer, _ := io.ReadAll(conn)
	for _, want := range []string{"-NOAUTH", "appendonly\r\n$3\r\nyes", "appendfsync\r\n$8\r\neverysec", "noeviction"} {
		if !strings.Contains(string(answer), want) {
			c.t.Errorf("Redis answers %q, want %q in it", answer, want)
		}
	}
	c.secrets = c.write("node.env", "DOTS_REDIS=redis://:"+clusterPassword+"@127.0.0.1:"+port+"\nDOTS_ADMIN_TOKEN="+clusterToken+"\n")
}

// node starts a node with the files of the example, on other ports and with a shorter drain.
func (c *cluster) node(number int, args ...string) *daemon {
	c.t.Helper()
	var files strings.Builder
	files.WriteString("set -a")
	for _, file := range []string{clusterFile(c.t, "dotsd.env"), c.secrets, clusterFile(c.t, "node"+itoa(number)+".env")} {
		files.WriteString(" && . '" + file + "'")
	}
	node := c.programs.serveUnder(c.t, files.String(), append([]string{"--loops=1", "--drain-time=1s"}, args...)...)
	until(c.t, "the node is ready", func() bool { // whom HAProxy finds not ready at first, has a slow start
		status, _ := c.fetch("http://" + node.start.Admin + "/readyz")
		return status == http.StatusOK
	})
	return node
}

// fetch asks a plain address and returns status and body, and status 0 where nobody answers.
func (c *cluster) fetch(address string) (status int, body string) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+clusterToken)
	answer, err := c.web.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text)
}

// here is how many members the room has on a node.
func (c *cluster) here(node int, room string) int {
	var info struct{ Here int }
	_, body := c.fetch("http://" + c.nodes[node].start.Admin + "/api/rooms/chat/" + room)
	_ = json.Unmarshal([]byte(body), &info) // 404: nobody is there
	return info.Here
}

// servers is how HAProxy finds the nodes: "UP", "DOWN" or between ("UP 1/2"), after its first check of them.
func (c *cluster) servers() (status []string) {
	for _, server := range c.stats() {
		if server["check_code"] != "" {
			status = append(status, server["status"])
		}
	}
	return status
}

// stats is what HAProxy counts about each node.
func (c *cluster) stats() (servers []map[string]string) {
	_, body := c.fetch("http://127.0.0.1:" + c.ports["STATS"] + "/;csv")
	rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil
	}
	for _, row := range rows {
		if row[0] == "nodes" && row[1] != "BACKEND" {
			server := map[string]string{}
			for i, name := range rows[0] {
				server[name] = row[i]
			}
			servers = append(servers, server)
		}
	}
	return servers
}

func (c *cluster) awaitServers(want ...string) {
	c.t.Helper()
	until(c.t, fmt.Sprintf("HAProxy has the nodes as %q", want), func() bool { return slices.Equal(c.servers(), want) })
}

// testHeaders has HAProxy in front of a server that notes what it is told.
func (c *cluster) testHeaders(t *testing.T) {
	seen := make(chan *http.Request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			seen <- r
		}
	}))
	defer server.Close()
	at := logLine{Address: server.Listener.Addr().String(), Admin: server.Listener.Addr().String()}
	env := c.environment(at, at)
	if _, err := user.Lookup("haproxy"); err == nil && os.Getuid() == 0 { // once as it is meant: root that gives root up
		env = slices.DeleteFunc(env, func(e string) bool { return e == "ROOTLESS=1" })
	}
	defer c.startHAProxy(env)()
	c.awaitServers("UP", "UP")
	host := "localhost:" + c.ports["HTTPS_PORT"]
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+"/page", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "X-Real-Ip"} {
		request.Header.Set(name, "a lie")
	}
	answer, err := c.web.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	got := (<-seen).Header
	for name, want := range map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": host,
		"X-Forwarded-Port": c.ports["HTTPS_PORT"], "Forwarded": "", "X-Real-Ip": "",
	} {
		if strings.Join(got[name], ", ") != want {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
}

// checkFront checks what stands before a WebSocket: TLS, the redirect, whose pages may connect.
func (c *cluster) checkFront() {
	c.t.Helper()
	https := "localhost:" + c.ports["HTTPS_PORT"]
	settings := c.web.Transport.(*http.Transport).TLSClientConfig
	for _, row := range []struct {
		version uint16
		taken   bool
	}{{tls.VersionTLS11, false}, {tls.VersionTLS12, true}, {tls.VersionTLS13, true}} {
		config := settings.Clone()
		config.MinVersion, config.MaxVersion, config.NextProtos = tls.VersionTLS10, row.version, []string{"h2", "http/1.1"}
		conn, err := tls.Dial("tcp", https, config)
		if (err == nil) != row.taken {
			c.t.Errorf("%s: got %v", tls.VersionName(row.version), err)
		}
		if err == nil {
			if got := conn.ConnectionState(); got.Version != row.version || got.NegotiatedProtocol != "http/1.1" {
				c.t.Errorf("got %s with %s", tls.VersionName(got.Version), got.NegotiatedProtocol)
			}
			conn.Close()
		}
	}
	answer, err := c.web.Get("http://localhost:" + c.ports["HTTP_PORT"] + "/a?b=c")
	if err != nil {
		c.t.Fatal(err)
	}
	answer.Body.Close()
	if got := answer.Header.Get("Location"); answer.StatusCode != http.StatusPermanentRedirect || got != "https://"+https+"/a?b=c" {
		c.t.Errorf("plain HTTP: got %d to %q", answer.StatusCode, got)
	}
	for origin, want := range map[string]int{"https://" + https: http.StatusSwitchingProtocols, "https://evil.example": http.StatusForbidden} {
		if conn, status, _ := c.dial("front", origin); status != want {
			c.t.Errorf("page of %s: got status %d, want %d", origin, status, want)
		} else if conn != nil {
			_ = conn.CloseNow()
		}
	}
	if _, metrics := c.fetch("http://127.0.0.1:" + c.ports["STATS"] + "/metrics"); !strings.Contains(metrics, "haproxy_server_status") {
		c.t.Error("no metrics of HAProxy")
	}
}

// checkHealth runs the image's HEALTHCHECK against a node here, and where nobody is.
func (c *cluster) checkHealth() {
	c.t.Helper()
	args := healthcheck(c.t)
	if _, err := exec.LookPath(args[0]); err != nil {
		c.t.Logf("without %s the HEALTHCHECK was not run", args[0])
		return
	}
	for address, healthy := range map[string]bool{c.nodes[0].start.Admin: true, "127.0.0.1:" + freePort(c.t): false} {
		last := len(args) - 1
		run := append(slices.Clone(args[1:last]), strings.Replace(args[last], "127.0.0.1:8001", address, 1))
		if out, err := exec.Command(args[0], run...).CombinedOutput(); (err == nil) != healthy {
			c.t.Errorf("%s %q: %v\n%s", args[0], run, err, out)
		}
	}
}

// dial goes through HAProxy into a room. The status is that of the answer, 0 without one.
func (c *cluster) dial(room, origin string) (conn *websocket.Conn, status int, err error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	options := &websocket.DialOptions{HTTPClient: c.web, HTTPHeader: http.Header{}}
	if origin != "" {
		options.HTTPHeader.Set("Origin", origin)
	}
	conn, answer, err := websocket.Dial(ctx, "wss://localhost:"+c.ports["HTTPS_PORT"]+"/ws/chat/"+url.PathEscape(room)+"/", options)
	if answer != nil {
		status = answer.StatusCode
		if answer.Body != nil {
			answer.Body.Close()
		}
	}
	return conn, status, err
}

const clusterRoom = "order"

// insider is a client that keeps what it hears.
type insider struct {
	conn *websocket.Conn
	done chan struct{} // closed when the connection has ended

	mu    sync.Mutex
	heard []string // guarded by mu
	err   error    // guarded by mu
}

func (c *cluster) enter() *insider {
	c.t.Helper()
	conn, _, err := c.dial(clusterRoom, "")
	if err != nil {
		c.t.Fatal(err)
	}
	who := &insider{conn: conn, done: make(chan struct{})}
	go func() {
		defer close(who.done)
		for {
			_, text, err := conn.Read(context.Background())
			who.mu.Lock()
			if err != nil {
				who.err = err
				who.mu.Unlock()
				return
			}
			who.heard = append(who.heard, string(text))
			who.mu.Unlock()
		}
	}()
	c.t.Cleanup(func() {
		_ = conn.CloseNow()
		<-who.done
	})
	return who
}

func (i *insider) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.heard)
}

// take returns what was heard since it was asked last.
func (i *insider) take() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	heard := i.heard
	i.heard = nil
	return heard
}

// ended is the close code if the connection has ended.
func (i *insider) ended() (code websocket.StatusCode, ok bool) {
	select {
	case <-i.done:
		return websocket.CloseStatus(i.err), true
	default:
		return 0, false
	}
}

// crowd is so many members of one room, half of them on either node.
func (c *cluster) crowd(size int) []*insider {
	c.t.Helper()
	var crowd []*insider
	for range size {
		crowd = append(crowd, c.enter())
	}
	one, two := c.here(0, clusterRoom), c.here(1, clusterRoom)
	if one+two != size || min(one, two) < size/2-1 {
		c.t.Errorf("of %d clients %d are on the first node and %d on the second", size, one, two)
	}
	c.t.Logf("%d clients: %d on the first node, %d on the second", size, one, two)
	return crowd
}

// exchange has members of the crowd send 200 messages at once: all hear all, once each, in one order.
func (c *cluster) exchange(crowd []*insider) {
	c.t.Helper()
	const senders, each = 10, 20
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			for n := range each {
				if err := crowd[s].conn.Write(c.t.Context(), websocket.MessageText, fmt.Appendf(nil, `{"message":"%d/%d"}`, s, n)); err != nil {
					c.t.Errorf("sender %d: %v", s, err)
					return
				}
			}
		})
	}
	sending.Wait()
	until(c.t, "everybody has heard everything", func() bool {
		return !slices.ContainsFunc(crowd, func(who *insider) bool { return who.count() < senders*each })
	})
	order := crowd[0].take()
	for i, who := range crowd[1:] {
		if heard := who.take(); !slices.Equal(heard, order) {
			c.t.Errorf("client %d heard %d messages in another order than client 0", i+1, len(heard))
		}
	}
	next := map[int]int{} // by sender
	for _, text := range order {
		var s, n int
		if _, err := fmt.Sscanf(text, `{"message":"%d/%d"}`, &s, &n); err != nil || n != next[s] {
			c.t.Fatalf("heard %q where message %d of sender %d was due", text, next[s], s)
		}
		next[s]++
	}
	if len(order) != senders*each {
		c.t.Errorf("heard %d messages, want %d", len(order), senders*each)
	}
	c.t.Logf("%d clients heard the same %d messages in the same order", len(crowd), len(order))
}

// drain ends the first node. Its clients hear 4200 and find the other; who comes anew never meets a closed door.
func (c *cluster) drain(crowd []*insider) {
	c.t.Helper()
	began := time.Now()
	c.nodes[0].signal(syscall.SIGTERM)
	stopKnocking := c.knock()
	c.awaitServers("DOWN", "UP")
	noticed := time.Since(began)
	if !reachableAt(c.nodes[0].start.Address) {
		c.t.Errorf("the node stopped accepting before HAProxy noticed, after %v; DOTS_DRAIN_DELAY is too short", noticed)
	}
	moved := 0
	until(c.t, "the node has ended and its clients are elsewhere", func() bool {
		for i, who := range crowd {
			if code, ok := who.ended(); ok {
				if code != 4200 {
					c.t.Errorf("client %d was closed with %d, want 4200", i, code)
				}
				crowd[i] = c.enter()
				moved++
			}
		}
		select {
		case <-c.nodes[0].done:
			return c.here(1, clusterRoom) == len(crowd)
		default:
			return false
		}
	})
	if code := c.nodes[0].ended(); code != exitOK {
		c.t.Errorf("exit %d, want %d", code, exitOK)
	}
	knocked, failed := stopKnocking()
	if len(failed) > 0 {
		c.t.Errorf("%d of %d who came during the drain were turned away: %v", len(failed), knocked, failed[0])
	}
	c.t.Logf("HAProxy noticed the drain after %v; %d clients had 4200 and came back; none of %d newcomers was turned away",
		noticed.Round(10*time.Millisecond), moved, knocked)
}

// knock has somebody new come all the time.
func (c *cluster) knock() (stop func() (knocked int, failed []error)) {
	var knocked int
	var failed []error
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for ; ; knocked++ {
			select {
			case <-quit:
				return
			case <-time.After(20 * time.Millisecond):
			}
			conn, _, err := c.dial("knock", "")
			if err != nil {
				failed = append(failed, err)
				continue
			}
			_ = conn.CloseNow()
		}
	}()
	return func() (int, []error) {
		close(quit)
		<-done
		return knocked, failed
	}
}

// comeback starts the first node again, with room for one. It has the fewest and gets the next; who is one too many, and
// refused with 503, is let in by the other.
func (c *cluster) comeback(crowd []*insider) {
	c.t.Helper()
	before := c.nodes[0].start
	c.nodes[0] = c.node(1, "--max-conns=1", "--listen="+before.Address, "--admin="+before.Admin)
	c.awaitServers("UP", "UP")
	moved := c.moved()
	const newcomers = 20 // enough for its slow start to be over the other's count twice
	for range newcomers {
		c.enter()
	}
	one, two := c.here(0, clusterRoom), c.here(1, clusterRoom)
	if one != 1 || two != len(crowd)+newcomers-1 {
		c.t.Errorf("of %d newcomers %d are on the first node, which takes 1, and %d on the second", newcomers, one, two-len(crowd))
	}
	if moved := c.moved() - moved; moved == 0 {
		c.t.Error("nobody was sent from the full node to the other")
	} else {
		c.t.Logf("the node is back, with room for one: of %d newcomers it has 1, and %d came to the other after its 503", newcomers, moved)
	}
}

// moved is how many requests HAProxy had at the first node before another took them.
func (c *cluster) moved() int {
	servers := c.stats()
	if len(servers) == 0 {
		return 0
	}
	moved, _ := strconv.Atoi(servers[0]["wredis"])
	return moved
}

// stopRedis freezes Redis: no node is ready then, and nobody new is let in. Who is there stays, until he sends.
func (c *cluster) stopRedis(crowd []*insider) {
	c.t.Helper()
	began := time.Now()
	if err := c.redis.Process.Signal(syscall.SIGSTOP); err != nil {
		c.t.Fatal(err)
	}
	c.awaitServers("DOWN", "DOWN")
	noticed := time.Since(began)
	if conn, status, err := c.dial(clusterRoom, ""); status != http.StatusServiceUnavailable {
		c.t.Errorf("without Redis: got status %d and %v, want 503", status, err)
		if conn != nil {
			_ = conn.CloseNow()
		}
	}
	if status, _ := c.fetch("http://" + c.nodes[1].start.Admin + "/healthz"); status != http.StatusOK {
		c.t.Errorf("/healthz: got %d; a node without Redis is alive", status)
	}
	for i, who := range crowd {
		if code, ok := who.ended(); ok {
			c.t.Errorf("client %d was closed with %d, having sent nothing", i, code)
		}
	}
	if err := crowd[0].conn.Write(c.t.Context(), websocket.MessageText, []byte(`{"message":"lost"}`)); err != nil {
		c.t.Error(err)
	}
	until(c.t, "who sends is told", func() bool { code, _ := crowd[0].ended(); return code == 4104 })
	began = time.Now()
	if err := c.redis.Process.Signal(syscall.SIGCONT); err != nil {
		c.t.Fatal(err)
	}
	c.awaitServers("UP", "UP")
	c.t.Logf("HAProxy noticed that Redis was gone after %v, and that it was back after %v",
		noticed.Round(10*time.Millisecond), time.Since(began).Round(10*time.Millisecond))
	crowd[0] = c.enter()
	for _, who := range crowd {
		who.take() // Redis may have taken what it could not confirm
	}
	c.exchange(crowd)
}
