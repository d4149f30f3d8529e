package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"dotsconnect/server"
)

// healthTimeout is the time within which the server must answer.
const healthTimeout = 3 * time.Second

// health asks the server on this machine whether it is healthy, or ready. The health check of a container uses it. It finds the
// server by the configuration, so it also follows DOTS_ADMIN. If there is no admin address, health asks the address for clients.
func health(ctx context.Context, c server.Config, ready bool, stdout io.Writer) error {
	address, path := c.Admin, "/healthz"
	if ready {
		path = "/readyz"
	}
	if address == "" {
		address = c.Listen
		if ready && !c.PublicReadyz {
			return errors.New("/readyz is not served, because --admin and --public-readyz are both off: switch one of them on")
		}
	}
	address = reachable(address)
	if _, port, _ := net.SplitHostPort(address); port == "0" {
		return fmt.Errorf("port 0 in %s means any free port, and only the log of the server says which port it got: set a fixed port", address)
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // ignores a proxy in the environment
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("no answer: %w; is the server running, and is this its --admin address (or its --listen address if --admin is off)?", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s%s: HTTP %d: %s", address, path, answer.StatusCode, strings.TrimSpace(string(text)))
	}
	_, err = stdout.Write(text)
	return err
}
