package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"
)

// These tests put nginx and HAProxy, with the lines in the README, in front of a real server.

// readmeBlock returns the README's code block in a language, with the given address instead of the README's.
func readmeBlock(t *testing.T, language, address string) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile("(?s)\n```" + language + "\n(.*?)```\n").FindSubmatch(readme)
	if len(match) < 2 || !bytes.Contains(match[1], []byte("127.0.0.1:8000")) {
		t.Fatalf("the README has no lines for %s with 127.0.0.1:8000", language)
	}
	return strings.ReplaceAll(string(match[1]), "127.0.0.1:8000", address)
}

// startProxy starts a proxy and waits until it listens on the port. The proxy ends when the test ends.
func startProxy(t *testing.T, port string, command ...string) {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", command[0], log.String())
		}
	})
	eventually(t, command[0]+" listens", func() bool {
		answer, err := http.Get("http://127.0.0.1:" + port + "/")
		if err == nil {
			_ = answer.Body.Close()
		}
		return err == nil
	})
}

// fetched returns the answer to a plain request through a proxy.
func fetched(t *testing.T, port, path string) (status int, body string) {
	t.Helper()
	answer, err := http.Get("http://127.0.0.1:" + port + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// checkThrough requests health and page through a proxy, and sends messages through it as a page of that host does.
func checkThrough(t *testing.T, port string) {
	t.Helper()
	if status, body := fetched(t, port, "/healthz"); status != 200 || body != "ok\n" {
		t.Errorf("/healthz: HTTP %d %q, want 200", status, body)
	}
	if status, body := fetched(t, port, "/"); status != 200 || !strings.Contains(body, "<html") {
		t.Errorf("the page: HTTP %d %.60q, want 200", status, body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, origin := range []string{"", "http://127.0.0.1:" + port} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		conn, _, err := websocket.Dial(ctx, "ws://127.0.0.1:"+port+"/ws/chat/lobby/", &websocket.DialOptions{HTTPHeader: header})
		if err != nil {
			t.Fatalf("a WebSocket of the origin %q: %v", origin, err)
		}
		if err := conn.Write(ctx, websocket.MessageText, []byte(`{"message":"through"}`)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(ctx); err != nil || string(got) != `{"message":"through"}` {
			t.Errorf("got %q, %v, want the message", got, err)
		}
		_ = conn.Close(websocket.StatusNormalClosure, "")
	}
}

func TestBehindNginx(t *testing.T) {
	nginx := need(t, "nginx")
	d := buildPrograms(t).serve(t)
	folder := t.TempDir()
	start := func(port, location string) {
		file := filepath.Join(folder, port+".conf")
		text := fmt.Sprintf("daemon off; master_process off; pid %[1]s/%[2]s.pid; error_log stderr;\nevents {}\nhttp {\naccess_log off;\n"+
			"client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\n"+
			"server {\nlisten 127.0.0.1:%[2]s;\n%[3]s\n}\n}\n", folder, port, location)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		startProxy(t, port, nginx, "-e", "stderr", "-p", folder, "-c", file)
	}
	whole := idlePort(t)
	start(whole, readmeBlock(t, "nginx", d.start.Address))
	checkThrough(t, whole)

	bare := idlePort(t)
	start(bare, "location / { proxy_pass http://"+d.start.Address+"; }")
	if status, body := fetched(t, bare, "/healthz"); status != 200 || body != "ok\n" {
		t.Errorf("/healthz through a bare proxy_pass: HTTP %d %q, want 200", status, body)
	}
	if status, _ := fetched(t, bare, "/"); status != 200 {
		t.Errorf("the page through a bare proxy_pass: HTTP %d, want 200", status)
	}
	_, answer, err := websocket.Dial(t.Context(), "ws://127.0.0.1:"+bare+"/ws/chat/lobby/", nil)
	if err == nil || answer == nil || answer.StatusCode != 400 {
		t.Fatalf("a WebSocket through a bare proxy_pass: %v, want HTTP 400", err)
	}
	text, _ := io.ReadAll(answer.Body)
	for line := range strings.Lines(readmeBlock(t, "nginx", "")) {
		if line = strings.TrimSpace(line); (strings.HasPrefix(line, "proxy_http_version") || strings.HasPrefix(line, "proxy_set_header")) && !strings.Contains(string(text), line) {
			t.Errorf("got %q without %s", text, line)
		}
	}
	d.terminate()
}

func TestBehindHAProxy(t *testing.T) {
	haproxy := need(t, "haproxy")
	d := buildPrograms(t).serve(t, "--public-readyz")
	folder, port, stats := t.TempDir(), idlePort(t), idlePort(t)
	file := filepath.Join(folder, "haproxy.cfg")
	text := "defaults\n  mode http\n  timeout client 10s\nfrontend in\n  bind 127.0.0.1:" + port + "\n  default_backend dotsd\n" +
		"frontend stats\n  bind 127.0.0.1:" + stats + "\n  stats enable\n  stats uri /\n" + readmeBlock(t, "haproxy", d.start.Address) +
		// another backend, checked on the address for clients by HAProxy's default check: HTTP/1.0 without a Host
		"backend ready\n  mode http\n  timeout connect 2s\n  timeout server 10s\n  option httpchk GET /readyz\n  server node1 " + d.start.Address + " check\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	startProxy(t, port, haproxy, "-db", "-f", file)
	eventually(t, "both checks find the node up", func() bool {
		_, csv := fetched(t, stats, "/;csv")
		up := 0
		for line := range strings.Lines(csv) {
			if fields := strings.Split(line, ","); len(fields) > 17 && fields[1] == "node1" && fields[17] == "UP" && !strings.Contains(line, "L7STS") {
				up++
			}
		}
		return up == 2
	})
	checkThrough(t, port)
	d.terminate()
}
