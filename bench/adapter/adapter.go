// Package adapter lets the load generators use other WebSocket servers than dotsd. An adapter file,
// such as bench/peers/peers.yaml, has one entry for each server: how to build it, how to start it,
// and which messages it understands. Any server that accepts a text message and sends it to a room
// can have an adapter:
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

// Adapter describes one server. Some of its texts are templates. In a template {port} stands for a
// free port, {room} for the name of a room (ASCII letters, digits and hyphens), and {payload} for
// ASCII text that no JSON encoder changes.
type Adapter struct {
	Name    string `yaml:"name"`
	Library string `yaml:"library"` // name and version of the WebSocket library that the server uses

	Needs []string `yaml:"needs"` // programs that must be installed; if one is missing, the server is skipped
	// Command that downloads the server's libraries. If it fails, the server is skipped, because
	// the machine may have no network.
	Fetch string `yaml:"fetch"`
	Build string `yaml:"build"` // command that builds the server; its failure is an error; empty: nothing to build
	// Command that starts a program which the server needs, such as Redis; empty: none. The program
	// is started before the server, with {port} for a free port, and is ready when it accepts
	// connections. Its CPU time is a separate figure. Several servers that are one system share one
	// such program.
	Beside string `yaml:"beside"`
	// Template of the command that starts the server. {beside} stands for the port of Beside, and
	// {admin} for a free port for the debug pages of a Go server. The server must exit with 0 on
	// SIGTERM.
	Start string `yaml:"start"`
	// Names of two counters in the server's page {admin}/metrics: messages to the program of
	// Beside, and calls of that program. They give the average number of messages per call.
	PerCall []string `yaml:"per_call"`
	Ready   string   `yaml:"ready"` // TCP, or a regular expression for the line that the server prints when it is ready

	URL    string `yaml:"url"` // template of the URL to which clients connect
	Frames Frames `yaml:"frames"`

	More string `yaml:"more"` // work that this server does and dotsd does not
	Less string `yaml:"less"` // work that dotsd does and this server does not

	File string `yaml:"-"` // name of the adapter file, as the user gave it
	Dir  string `yaml:"-"` // folder of the adapter file; the commands run in it

	prepared bool
}

// Frames are the WebSocket text messages that clients exchange with a server.
type Frames struct {
	Join   []string `yaml:"join"`   // templates of the messages that a client sends, one after the other, when its connection is open
	Joined string   `yaml:"joined"` // regular expression for the answer to the last message of Join; empty: there is no answer
	Send   string   `yaml:"send"`   // template of the message that publishes
	// Template of the message that members of the room get for a message of Send. {number} stands
	// for digits that differ between messages. The generator compares every byte of a message with
	// this template.
	Receive   string `yaml:"receive"`
	Heartbeat string `yaml:"heartbeat"` // message that keeps a connection alive; the server does not send it to members
	// Number of payloads that a message from the server may have: "one" (the default), or "many",
	// each on its own line. A message without a payload, such as an acknowledgement, belongs to the
	// protocol.
	Tag string `yaml:"tag"`
}

// TCP as the value of Ready means: the server is ready when it accepts
// connections.
const TCP = "tcp"

// Fill puts the values into a template.
func Fill(template, port, room, payload string) string {
	return strings.NewReplacer("{port}", port, "{room}", room, "{payload}", payload).Replace(template)
}

// Protocol returns the part of Frames that the load generator needs.
func (a *Adapter) Protocol() load.Frames {
	return load.Frames{Join: a.Frames.Join, Joined: a.Frames.Joined, Send: a.Frames.Send, Receive: a.Frames.Receive,
		Heartbeat: a.Frames.Heartbeat, Many: a.Frames.Tag == "many"}
}

// OneSystem returns an error if several processes of this server cannot be one
// system, in which each process has members of each room.
func (a *Adapter) OneSystem(servers int) error {
	if a.Beside == "" {
		return fmt.Errorf("%s has no beside command, which %d servers need to be one system", a.Name, servers)
	}
	return nil
}

// Select returns the servers with these names, in the order of names.
func Select(all []Adapter, names []string) ([]Adapter, error) {
	var picked []Adapter
	for _, name := range names {
		i := slices.IndexFunc(all, func(a Adapter) bool { return a.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no server %q: write one of %s", name, Names(all))
		}
		picked = append(picked, all[i])
	}
	return picked, nil
}

// Names returns the names of servers as one text for people.
func Names(all []Adapter) string {
	var names []string
	for _, a := range all {
		names = append(names, a.Name)
	}
	return strings.Join(names, ", ")
}

// Find returns the server that spec names. spec is FILE:NAME, or FILE if the
// file has only one server.
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

// Validate returns an error that joins all mistakes of the adapter.
func (a *Adapter) Validate() error {
	var errs []error
	for _, m := range a.mistakes() {
		errs = append(errs, errors.New(m.text))
	}
	return errors.Join(errs...)
}

// mistake describes a mistake in a field of an adapter.
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
			wrong(field, "is %q; write one of %q", text, values)
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
		wrong("url", "must contain {room}, because frames.join does not")
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
