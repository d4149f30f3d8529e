package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/csv"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// HAProxy, Redis and two nodes run with the files of examples/cluster. They must behave as examples/cluster/README.md promises.

const (
	clusterToken    = "token-of-the-example"
	clusterPassword = "password-of-the-example"
)

// cluster runs the example of examples/cluster on free ports.
type cluster struct {
	t           *testing.T
	programs    programs
	haproxy     string // path of the program
	redisServer string // path of the program
	folder      string // temporary folder with a short path, because the length of a socket's path is limited
	secrets     string // path of the file with DOTS_REDIS and DOTS_ADMIN_TOKEN
	redis       *exec.Cmd
	nodes       []*daemon
	ports       map[string]string // ports of HAProxy, by the names of its variables
	web         *http.Client      // trusts the test's certificate
}

func TestClusterExample(t *testing.T) {
	c := newCluster(t)
	c.checkConfig()
	t.Run("headers", c.testHeaders)
	c.start("--redis-hold=1s")
	c.checkFront()
	c.checkHealth()

	crowd := c.crowd(20)
	c.exchange(crowd)
	c.drain(crowd)
	c.exchange(crowd)
	c.comeback(crowd)
	c.stopRedis(crowd)
}

// newCluster finds the programs, makes a certificate, and chooses the ports.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("starts Redis, HAProxy and two nodes")
	}
	t.Parallel()
	c := &cluster{t: t, haproxy: need(t, "haproxy"), redisServer: need(t, "redis-server"), programs: buildPrograms(t), ports: map[string]string{}}
	var err error
	if c.folder, err = os.MkdirTemp("", "dots"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(c.folder) })
	for _, name := range []string{"HTTP_PORT", "HTTPS_PORT", "STATS"} {
		c.ports[name] = idlePort(t)
	}
	c.certify()
	return c
}

// start starts Redis, the nodes and HAProxy. args are further flags of both nodes.
func (c *cluster) start(args ...string) {
	c.t.Helper()
	c.startRedis()
	c.nodes = []*daemon{c.node(1, args...), c.node(2, args...)}
	c.startHAProxy(c.environment(c.nodes[0].start, c.nodes[1].start))
	c.awaitServers("UP", "UP")
}

// certify makes a certificate for localhost.
func (c *cluster) certify() {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(cryptorand.Reader, template, template, key.Public(), key)
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

// environment returns the environment in which HAProxy finds these two nodes.
func (c *cluster) environment(nodes ...logLine) []string {
	c.t.Helper()
	env := append(environment(),
		"CERT="+filepath.Join(c.folder, "site.pem"), "STATS_SOCKET="+filepath.Join(c.folder, "haproxy.sock"), "MAXCONN=1000",
		"HTTP_PORT="+c.ports["HTTP_PORT"], "HTTPS_PORT="+c.ports["HTTPS_PORT"], "STATS=127.0.0.1:"+c.ports["STATS"])
	env = append(env, "ROOTLESS=1") // a change of user would clear Pdeathsig, and HAProxy would outlive a killed test
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

// checkConfig makes HAProxy check its configuration file twice: the original file, and the file
// with the changes that the test makes.
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

// startProcess starts a program. It ends when the test ends, or when stop is called.
func startProcess(t *testing.T, cmd *exec.Cmd) (stop func()) {
	t.Helper()
	var log bytes.Buffer // read only after the program has ended
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

// startRedis starts Redis with the settings of the example, and checks that Redis uses them.
func (c *cluster) startRedis() {
	c.t.Helper()
	port := idlePort(c.t)
	conf := readClusterFile(c.t, "redis.conf") + "bind 127.0.0.1\nport " + port + "\nrequirepass " + clusterPassword + "\ndir " + c.folder + "\n"
	c.redis = exec.Command(c.redisServer, c.write("redis.conf", conf))
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

// node starts a node with the files of the example, but on other ports and with a shorter drain.
func (c *cluster) node(number int, args ...string) *daemon {
	c.t.Helper()
	var files strings.Builder
	files.WriteString("set -a")
	for _, file := range []string{clusterFile(c.t, "dotsd.env"), c.secrets, clusterFile(c.t, "node"+itoa(number)+".env")} {
		files.WriteString(" && . '" + file + "'")
	}
	node := c.programs.serveUnder(c.t, files.String(), append([]string{"--loops=1", "--drain-time=1s"}, args...)...)
	until(c.t, "the node is ready", func() bool {
		status, _ := c.fetch("http://" + node.start.Admin + "/readyz")
		return status == http.StatusOK
	})
	return node
}

// fetch requests an address without TLS, and returns the status and the body. The status is 0 if there is no answer.
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

// here returns the number of members that the room has on a node.
func (c *cluster) here(node int, room string) int {
	var info struct{ Here int }
	_, body := c.fetch("http://" + c.nodes[node].start.Admin + "/api/rooms/chat/" + room)
	_ = json.Unmarshal([]byte(body), &info) // after a 404 info stays empty: the room has no members
	return info.Here
}

// servers returns the states of the nodes in HAProxy, once each has been checked: "UP", "DOWN", or a state between them ("UP
// 1/2").
func (c *cluster) servers() (status []string) {
	for _, server := range c.stats("nodes") {
		if !strings.HasSuffix(server["check_status"], "INI") {
			status = append(status, server["status"])
		}
	}
	return status
}

// stats returns HAProxy's counters for each node of a backend.
func (c *cluster) stats(backend string) (servers []map[string]string) {
	_, body := c.fetch("http://127.0.0.1:" + c.ports["STATS"] + "/;csv")
	rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil
	}
	for _, row := range rows {
		if row[0] == backend && row[1] != "BACKEND" {
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

// testHeaders puts HAProxy in front of a server that records the header fields that it gets.
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
	if _, err := user.Lookup("haproxy"); err == nil && os.Getuid() == 0 { // as in production, HAProxy starts as root and drops its privileges
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
