// Package adapter describes other WebSocket servers to the load generators. An adapter file says,
// for each server, how to build, start and talk to it; bench/peers/peers.yaml is one. It can
// describe any server that accepts a text message and sends it to a room:
//
//	peers:
//	  - name: mine
//	    start: ./mine --port={port}
//	    ready: tcp
//	    url: ws://127.0.0.1:{port}/rooms/{room}
//	    frames: {send: '{"text":"{payload}"}', receive: '{"text":"{payload}"}', heartbeat: '"beat"'}
package adapter

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"dotsconnect/bench/load"
)

// Adapter is one server. Some texts are templates: {port} stands for a free port, {room} for a name
// of ASCII letters, digits and hyphens, and {payload} for ASCII that no JSON encoder changes.
type Adapter struct {
	Name    string `yaml:"name"`
	Library string `yaml:"library"` // the library to compare, with its version

	Needs []string `yaml:"needs"` // required programs; without one of them the server is skipped
	// Command in the adapter file's folder that downloads the server's libraries. If it fails, the
	// server is skipped, because the machine may have no network.
	Fetch string `yaml:"fetch"`
	Build string `yaml:"build"` // command in the adapter file's folder; if it fails, that is an error; empty: nothing to build
	// Command of a program that must run beside the server, such as Redis. It is started first,
	// with {port} for a free port, and is ready when it accepts connections. Its CPU time is a
	// separate figure. Several servers that are one system share it. Empty: nothing.
	Beside string `yaml:"beside"`
	// Template; command in the adapter file's folder. It must exit with 0 on SIGTERM. {beside}
	// stands for the port of Beside, {admin} for a free port for the debug pages of a Go server.
	Start string `yaml:"start"`
	// Two counters of {admin}/metrics. The growth of the first in a run, divided by that of the
	// second, is the number of messages in one call to the program beside.
	PerCall []string `yaml:"per_call"`
	Ready   string   `yaml:"ready"` // "tcp": ready when it accepts connections; else a regular expression for a line of its output

	URL    string `yaml:"url"` // template
	Frames Frames `yaml:"frames"`

	More string `yaml:"more"` // work that it does and dotsd does not
	Less string `yaml:"less"` // work that dotsd does and it does not

	File string `yaml:"-"` // name of the adapter file, as given
	Dir  string `yaml:"-"` // its folder, where its commands run

	prepared bool
}

// Frames are the WebSocket text messages to and from a server.
type Frames struct {
	Join   []string `yaml:"join"`   // templates, sent one after the other once the connection is open
	Joined string   `yaml:"joined"` // regular expression for the answer to the last of them; empty: there is no answer
	Send   string   `yaml:"send"`   // template of a publication
	// Template of the message that a receiver gets for it; {number} stands for digits that differ
	// between messages. The generator finds the payload by its tag and does not use this template;
	// people and tests do.
	Receive   string `yaml:"receive"`
	Heartbeat string `yaml:"heartbeat"` // a sign of life that is not sent to receivers
	// How many payloads a received message can hold: "one" (the default), or "many", one on each
	// line. A message without a payload belongs to the protocol, such as an acknowledgement.
	Tag string `yaml:"tag"`
}

// TCP is the Ready of a server that prints no line: it is ready when it accepts connections.
const TCP = "tcp"

// Fill puts values into a template; payload may be empty.
func Fill(template, port, room, payload string) string {
	return strings.NewReplacer("{port}", port, "{room}", room, "{payload}", payload).Replace(template)
}

// Protocol returns the part of the frames that the load generator needs.
func (a *Adapter) Protocol() load.Frames {
	return load.Frames{Join: a.Frames.Join, Joined: a.Frames.Joined, Send: a.Frames.Send,
		Heartbeat: a.Frames.Heartbeat, Many: a.Frames.Tag == "many"}
}

// OneSystem returns an error if several of the server cannot share members of one room.
func (a *Adapter) OneSystem(servers int) error {
	if a.Beside == "" {
		return fmt.Errorf("%s has no beside command, which %d servers need to be one system", a.Name, servers)
	}
	return nil
}

// Select returns servers by their names, in the order of the names.
func Select(all []Adapter, names []string) ([]Adapter, error) {
	var picked []Adapter
	for _, name := range names {
		i := slices.IndexFunc(all, func(a Adapter) bool { return a.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no server %q: there are %s", name, Names(all))
		}
		picked = append(picked, all[i])
	}
	return picked, nil
}

// Names lists servers for a person.
func Names(all []Adapter) string {
	var names []string
	for _, a := range all {
		names = append(names, a.Name)
	}
	return strings.Join(names, ", ")
}

// Find reads FILE[:NAME]: the server with that name, or the only one in the file.
func Find(spec string) (Adapter, error) {
	file, name := spec, ""
	if i := strings.LastIndexByte(spec, ':'); i > strings.LastIndexByte(spec, filepath.Separator) {
		file, name = spec[:i], spec[i+1:]
	}
	all, err := Load(file)
	if err != nil {
		return Adapter{}, err
	}
	if name == "" && len(all) == 1 {
		return all[0], nil
	}
	if name == "" {
		return Adapter{}, fmt.Errorf("%s has several servers: add one of %s, such as %s:%s", file, Names(all), file, all[0].Name)
	}
	picked, err := Select(all, []string{name})
	if err != nil {
		return Adapter{}, fmt.Errorf("%s: %w", file, err)
	}
	return picked[0], nil
}

// Validate returns all mistakes.
func (a *Adapter) Validate() error {
	var errs []error
	for _, m := range a.mistakes() {
		errs = append(errs, errors.New(m.text))
	}
	return errors.Join(errs...)
}

// mistake is one mistake in a field.
type mistake struct{ field, text string }

func (a *Adapter) mistakes() []mistake {
	var found []mistake
	wrong := func(field, format string, args ...any) {
		found = append(found, mistake{field, field + " " + fmt.Sprintf(format, args...)})
	}
	template := func(field, text string, holds ...string) {
		for _, h := range holds {
			if !strings.Contains(text, h) {
				wrong(field, "must contain %s", h)
			}
		}
	}
	oneOf := func(field, text string, values ...string) {
		if text != "" && !slices.Contains(values, text) {
			wrong(field, "is %q, want one of %q", text, values)
		}
	}
	expression := func(field, text string) {
		if _, err := regexp.Compile(text); err != nil {
			wrong(field, "is not a regular expression: %v", err)
		}
	}
	if a.Name == "" || strings.ContainsAny(a.Name, " \t\n,:|") {
		wrong("name", "must be one word without commas and colons, got %q", a.Name)
	}
	template("start", a.Start, "{port}")
	if a.Beside != "" {
		template("beside", a.Beside, "{port}")
		template("start", a.Start, "{beside}")
	}
	if len(a.PerCall) > 0 {
		template("start", a.Start, "{admin}")
		if len(a.PerCall) != 2 {
			wrong("per_call", "must be two counters, got %d", len(a.PerCall))
		}
	}
	if a.Ready == "" {
		wrong("ready", "must be tcp or a regular expression for a line of the server's output")
	}
	expression("ready", a.Ready)
	template("url", a.URL, "{port}")
	if !strings.HasPrefix(a.URL, "ws://") {
		wrong("url", "must begin with ws://")
	}
	if !strings.Contains(a.URL+strings.Join(a.Frames.Join, ""), "{room}") {
		wrong("url", "must contain {room}, or frames.join must")
	}
	template("frames.send", a.Frames.Send, "{payload}")
	template("frames.receive", a.Frames.Receive, "{payload}")
	if a.Frames.Heartbeat == "" {
		wrong("frames.heartbeat", "must not be empty")
	}
	expression("frames.joined", a.Frames.Joined)
	oneOf("frames.tag", a.Frames.Tag, "one", "many")
	return found
}
