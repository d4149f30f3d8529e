// Package peers describes other WebSocket servers to a load generator:
// peers.yaml says how each is built, started and talked to. The servers are
// the folders beside it, and whatever else an adapter file names.
package peers

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
)

// Adapter is one server. In the texts that are templates, {port} stands for a
// free port, {room} for a name of ASCII letters, digits and hyphens, and
// {payload} for ASCII that no JSON encoder changes.
type Adapter struct {
	Name    string `yaml:"name"`
	Library string `yaml:"library"` // what is compared, with its version

	Needs []string `yaml:"needs"` // programs without which the peer is skipped
	Build string   `yaml:"build"` // command in the adapter file's folder; empty: nothing to build
	// What it means when Build fails: "fail" (the default) or "skip", for
	// commands that need what a machine may lack, such as a network.
	IfBuildFails string `yaml:"if_build_fails"`
	Start        string `yaml:"start"` // template; command in the adapter file's folder that ends on SIGTERM with 0
	Ready        string `yaml:"ready"` // "tcp": once it accepts; else a regular expression that a line of its output matches

	URL    string `yaml:"url"` // template
	Frames Frames `yaml:"frames"`

	More string `yaml:"more"` // what it does that ours does not
	Less string `yaml:"less"` // what ours does that it does not
}

// Frames are the WebSocket text messages to and from a server.
type Frames struct {
	Join   []string `yaml:"join"`   // templates, sent one after the other when the connection is open
	Joined string   `yaml:"joined"` // regular expression of the answer to the last of them; empty: there is none
	Send   string   `yaml:"send"`   // template of a publication
	// Template of what a receiver gets for it. A generator needs only to find
	// the payload by its tag; people and tests read this.
	Receive   string `yaml:"receive"`
	Heartbeat string `yaml:"heartbeat"` // a sign of life that no receiver sees
	// How many payloads a received message can hold: "one", or "many", one a
	// line. A message without a payload is talk of the protocol, such as an
	// acknowledgement.
	Tag string `yaml:"tag"`
}

// Load reads an adapter file and refuses what it does not know.
func Load(name string) ([]Adapter, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var file struct {
		Peers []Adapter `yaml:"peers"`
	}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&file); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, a := range file.Peers {
		if err := a.Validate(); err != nil {
			return nil, fmt.Errorf("%s: peer %q: %w", name, a.Name, err)
		}
	}
	return file.Peers, nil
}

// Validate reports what is missing or malformed.
func (a *Adapter) Validate() error {
	var errs []error
	template := func(field, text string, holds ...string) {
		for _, h := range holds {
			if !strings.Contains(text, h) {
				errs = append(errs, fmt.Errorf("%s must contain %s", field, h))
			}
		}
	}
	oneOf := func(field, text string, values ...string) {
		for _, v := range values {
			if text == v {
				return
			}
		}
		errs = append(errs, fmt.Errorf("%s is %q, want one of %q", field, text, values))
	}
	expression := func(field, text string) {
		if _, err := regexp.Compile(text); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", field, err))
		}
	}
	if a.Name == "" || a.Ready == "" || a.Frames.Heartbeat == "" {
		errs = append(errs, errors.New("name, ready and frames.heartbeat must not be empty"))
	}
	template("start", a.Start, "{port}")
	template("url", a.URL, "{port}", "{room}")
	template("frames.send", a.Frames.Send, "{payload}")
	template("frames.receive", a.Frames.Receive, "{payload}")
	oneOf("if_build_fails", a.IfBuildFails, "", "fail", "skip")
	oneOf("frames.tag", a.Frames.Tag, "one", "many")
	expression("ready", a.Ready)
	expression("frames.joined", a.Frames.Joined)
	return errors.Join(errs...)
}

// Missing names the first program of Needs that this machine lacks, if any.
func (a *Adapter) Missing() string {
	for _, program := range a.Needs {
		if _, err := exec.LookPath(program); err != nil {
			return program
		}
	}
	return ""
}
