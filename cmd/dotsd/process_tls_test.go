package main

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// testRedisOverTLS uses a Redis whose certificate is signed only by the CA in the file SSL_CERT_FILE. With that variable the node
// must serve. Without the variable, or if the certificate has another host name, the node must exit and say what to do.
func (p programs) testRedisOverTLS(t *testing.T) {
	folder, port := t.TempDir(), idlePort(t)
	cert, key := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
		"-subj", "/CN=dots", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
	startRedisProcess(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no", "--requirepass", "geheim")
	redis := "--redis=rediss://:geheim@127.0.0.1:" + port
	d := p.serveUnder(t, "export SSL_CERT_FILE='"+cert+"'", redis)
	until(t, "the node is ready", func() bool {
		answer, err := http.Get("http://" + d.start.Admin + "/readyz")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	http.DefaultClient.CloseIdleConnections()
	d.terminate()

	for _, row := range []struct{ why, redis, file, want string }{
		{"nobody vouches for it", redis, "", "set the environment variable SSL_CERT_FILE to the file"},
		{"the file is not there", redis, filepath.Join(folder, "none.pem"), "set the environment variable SSL_CERT_FILE to the file"},
		{"another name", strings.Replace(redis, "127.0.0.1", "localhost", 1), cert, "write the host name of Redis exactly as in its certificate"},
		{"another password", strings.Replace(redis, "geheim", "geheim2", 1), cert, "check user, password and ACL"},
		{"no TLS", strings.Replace(redis, "rediss", "redis", 1), cert, "start Redis at this address"},
	} {
		cmd := exec.Command(p.path("dotsd"), "--listen=127.0.0.1:0", "--admin=", "--redis-wait=0s", row.redis)
		cmd.Env = append(environment(), "SSL_CERT_FILE="+row.file)
		out, _ := cmd.CombinedOutput()
		if text := string(out); cmd.ProcessState.ExitCode() != exitFailure || !strings.Contains(text, row.want) ||
			strings.Count(text, "\n") != 1 || strings.Contains(text, "geheim") {
			t.Errorf("%s: got exit %d and %q, want one line with %q", row.why, cmd.ProcessState.ExitCode(), text, row.want)
		}
	}
	for _, line := range d.log() {
		if strings.Contains(line, "geheim") {
			t.Errorf("the log has the password: %s", line)
		}
	}
}
