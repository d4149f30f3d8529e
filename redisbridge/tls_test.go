package redisbridge

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// certificate makes a self-signed certificate for the name. It returns the files of the certificate and its key, and a pool that
// trusts it.
func certificate(t *testing.T, name string) (cert, key string, trust *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
		"-subj", "/CN=dots", "-addext", "subjectAltName="+name, "-keyout", key, "-out", cert).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	trust = x509.NewCertPool()
	trust.AppendCertsFromPEM(pem)
	return cert, key, trust
}

// nodeUser returns the command that makes the Redis user that a node needs according to DESIGN.md.
func nodeUser(t *testing.T) []any {
	t.Helper()
	design, err := os.ReadFile("DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(design), "`ACL SETUSER node ")
	rule, _, ok2 := strings.Cut(rest, "`")
	if !ok || !ok2 {
		t.Fatal("DESIGN.md names no user")
	}
	args := []any{"ACL", "SETUSER", "node", "reset"}
	for _, word := range strings.Fields(strings.ReplaceAll(rule, "PASSWORD", "p@ss/word")) {
		args = append(args, word)
	}
	return args
}

// TestOverTLSWithAUserOfItsOwn uses rediss://, a certificate, and a Redis user that has only the rights that a node needs.
func TestOverTLSWithAUserOfItsOwn(t *testing.T) {
	t.Parallel()
	cert, key, trust := certificate(t, "IP:127.0.0.1")
	secure := freePort(t)
	s := startRedis(t, "--tls-port", strconv.Itoa(secure), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no")
	s.do(nodeUser(t)...)
	address := "@127.0.0.1:" + strconv.Itoa(secure)
	cfg := testConfig("rediss://node:p%40ss%2Fword" + address)
	refused := func(why, text string, cfg Config) {
		t.Helper()
		b, err := Connect(t.Context(), cfg, zap.NewNop())
		if err == nil {
			b.Close()
		}
		if err == nil || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "p@ss") {
			t.Errorf("%s: got %v, want %q", why, err, text)
		}
		if text != "redis at" && MayPass(err) {
			t.Errorf("%s: MayPass is true, but waiting does not help: %v", why, err)
		}
	}
	refused("a certificate that nobody vouches for", "certificate", cfg)
	_, _, other := certificate(t, "IP:127.0.0.1")
	cfg.TLS = &tls.Config{RootCAs: other}
	refused("another one's certificate", "certificate", cfg)
	cfg.TLS = &tls.Config{RootCAs: trust}
	wrong := cfg
	wrong.URL = "rediss://node:wrong" + address
	refused("a wrong password", "WRONGPASS", wrong)
	wrong.URL = "redis://node:p%40ss%2Fword" + address
	refused("no TLS where there is only that", "redis at", wrong)
	wrong.URL, wrong.Prefix = cfg.URL, "others"
	refused("a prefix that the user may not use", "NOPERM", wrong)

	cfg.Down, cfg.Hold, cfg.Silence, cfg.CallMax = Reject, time.Minute, time.Minute, time.Minute // a busy machine must not fail calls
	a, b := startNode(t, cfg, 1), startNode(t, cfg, 1)
	here, there := a.join("chat/x", 0), b.join("chat/x", 0)
	a.ready()
	b.ready()
	here.say("hello")
	eventually(t, "it arrives on both", func() bool {
		return fmt.Sprint(here.frames(), there.frames()) == "[hello] [hello]"
	})
	counted(t, a, "chat/x", 2)
	if f := a.bridge.stats.failures.Load(); f > 0 {
		t.Errorf("%d calls failed", f)
	}
}

// TestTheNameInTheCertificateMustBeRight: otherwise anybody with a valid certificate for another name could sit between the node
// and Redis.
func TestTheNameInTheCertificateMustBeRight(t *testing.T) {
	t.Parallel()
	cert, key, trust := certificate(t, "DNS:redis.example")
	secure := freePort(t)
	startRedis(t, "--tls-port", strconv.Itoa(secure), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no")
	cfg := testConfig("rediss://127.0.0.1:" + strconv.Itoa(secure))
	cfg.TLS = &tls.Config{RootCAs: trust}
	b, err := Connect(t.Context(), cfg, zap.NewNop())
	if err == nil {
		b.Close()
		t.Error("connected to a server of another name")
	}
	if MayPass(err) {
		t.Errorf("MayPass is true, but waiting does not help: %v", err)
	}
}
