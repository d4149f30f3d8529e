package main

import (
	"crypto/tls"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

// checkFront checks the parts of HAProxy that come before a WebSocket: TLS, the redirect, and the pages that may connect.
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
		if conn, status, _ := c.dial("/ws/chat/front/", origin); status != want {
			c.t.Errorf("page of %s: got status %d, want %d", origin, status, want)
		} else if conn != nil {
			_ = conn.CloseNow()
		}
	}
	if _, metrics := c.fetch("http://127.0.0.1:" + c.ports["STATS"] + "/metrics"); !strings.Contains(metrics, "haproxy_server_status") {
		c.t.Error("no metrics of HAProxy")
	}
}

// checkHealth runs the command of the image's HEALTHCHECK against a node, and against an address without a node.
func (c *cluster) checkHealth() {
	c.t.Helper()
	args := healthcheck(c.t)
	for address, healthy := range map[string]bool{c.nodes[0].start.Admin: true, "127.0.0.1:" + idlePort(c.t): false} {
		cmd := exec.Command(c.programs.path(filepath.Base(args[0])), args[1:]...)
		cmd.Env = append(environment(), "DOTS_ADMIN="+address)
		if out, err := cmd.CombinedOutput(); (err == nil) != healthy {
			c.t.Errorf("%q at %s: %v\n%s", args, address, err, out)
		}
	}
}

// drain ends the first node. Its clients must get 4200 and reach the other node, and no new client may be refused at any time.
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
				crowd[i] = c.enter(who.path)
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
	knocked := stopKnocking()
	c.t.Logf("HAProxy noticed the drain after %v; %d clients had 4200 and came back; none of %d newcomers was turned away",
		noticed.Round(10*time.Millisecond), moved, knocked)
}

// comeback starts the first node again, with room for only one connection. So a room may have more members than its node accepts.
// The other node must accept the clients that the first node refuses with 503.
func (c *cluster) comeback(crowd []*insider) {
	c.t.Helper()
	c.restart(0, "--max-conns=1")
	moved := c.moved()
	const newcomers = 20
	for range newcomers {
		c.enter(crowd[0].path)
	}
	one, two := c.here(0, clusterRoom), c.here(1, clusterRoom)
	if one != 1 || two != len(crowd)+newcomers-1 {
		c.t.Errorf("of %d newcomers %d are on the first node, which takes 1, and %d on the second", newcomers, one, two-len(crowd))
	}
	if moved := c.moved() - moved; moved < newcomers-1 {
		c.t.Errorf("%d newcomers were sent from the full node to the other, want %d", moved, newcomers-1)
	} else {
		c.t.Logf("the node is back, with room for one: of %d newcomers it has 1, and %d came to the other after its 503", newcomers, moved)
	}
}

// restart starts a node again at its old addresses.
func (c *cluster) restart(node int, args ...string) {
	c.t.Helper()
	before := c.nodes[node].start
	c.nodes[node] = c.node(node+1, append(args, "--listen="+before.Address, "--admin="+before.Admin)...)
	c.awaitServers("UP", "UP")
}

// moved returns the number of requests that HAProxy sent to the first node, and then to another node because the first node did
// not accept them.
func (c *cluster) moved() int {
	servers := c.stats("nodes")
	if len(servers) == 0 {
		return 0
	}
	moved, _ := strconv.Atoi(servers[0]["wredis"])
	return moved
}

// freeze stops the process of Redis, as if the machine of Redis had failed.
func (c *cluster) freeze() (began time.Time) {
	c.t.Helper()
	began = time.Now()
	if err := c.redis.Process.Signal(syscall.SIGSTOP); err != nil {
		c.t.Fatal(err)
	}
	return began
}

func (c *cluster) thaw() {
	c.t.Helper()
	if err := c.redis.Process.Signal(syscall.SIGCONT); err != nil {
		c.t.Fatal(err)
	}
}

// stopRedis stops Redis for longer than the nodes hold messages. Then no node is ready, but new clients must be let in. A
// connected member stays connected until it sends a message.
func (c *cluster) stopRedis(crowd []*insider) {
	c.t.Helper()
	began := c.freeze()
	c.awaitServers("DOWN", "DOWN")
	noticed := time.Since(began)
	if status, _ := c.fetch("http://" + c.nodes[1].start.Admin + "/healthz"); status != http.StatusOK {
		c.t.Errorf("/healthz: got %d; a node without Redis is alive", status)
	}
	for i, who := range crowd {
		if code, ok := who.ended(); ok {
			c.t.Errorf("client %d was closed with %d although it sent nothing", i, code)
		}
	}
	if err := crowd[0].conn.Write(c.t.Context(), websocket.MessageText, []byte(`{"message":"lost"}`)); err != nil {
		c.t.Error(err)
	}
	until(c.t, "a member that sends is closed with 4104", func() bool { code, _ := crowd[0].ended(); return code == 4104 })
	crowd[0] = c.enter(crowd[0].path)
	began = time.Now()
	c.thaw()
	c.awaitServers("UP", "UP")
	c.t.Logf("HAProxy noticed that Redis was gone after %v, and that it was back after %v",
		noticed.Round(10*time.Millisecond), time.Since(began).Round(10*time.Millisecond))
	for _, who := range crowd {
		who.take() // ignore these messages: Redis may have accepted messages that it could not confirm
	}
	c.exchange(crowd)
}
