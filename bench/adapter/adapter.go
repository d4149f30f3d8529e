// Package adapter describes other people's WebSocket servers to the load
// generators. An adapter file says, for each server, how it is built, started and
// talked to; bench/peers/peers.yaml is one. Any server that takes a text message
// and hands it to a room can be described:
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

// Adapter is one server. In the texts that are templates, {port} stands for a
// free port, {room} for a name of ASCII letters, digits and hyphens, and
// {payload} for ASCII that no JSON encoder changes.
type Adapter struct {
	Name    string `yaml:"name"`
	Library string `yaml:"library"` // what is compared, with its version

	Needs []string `yaml:"needs"` // programs without which the server is skipped
	// Command in the adapter file's folder that gets what the server is made of
	// from a network. Where it fails the server is skipped: a machine may have none.
	Fetch string `yaml:"fetch"`
	Build string `yaml:"build"` // command in the adapter file's folder, whose failure is a mistake; empty: nothing to build
	// Command of what the server needs beside it, such as a Redis: started first,
	// with {port} for a free one, and ready once it accepts. Its CPU time is a
	// figure of its own. Several servers that are one system share it. Empty: nothing.
	Beside string `yaml:"beside"`
	// Template; command in the adapter file's folder that ends on SIGTERM with 0.
	// {beside} stands for the port of Beside, {admin} for a free one where a Go
	// server has its debug pages.
	Start string `yaml:"start"`
	// Two counters of {admin}/metrics. What the first grew by in a run, divided by
	// the second, is how many messages a call to what is beside takes.
	PerCall []string `yaml:"per_call"`
	Ready   string   `yaml:"ready"` // "tcp": once it accepts; else a regular expression that a line of its output matches

	URL    string `yaml:"url"` // template
	Frames Frames `yaml:"frames"`

	More string `yaml:"more"` // what it does that ours does not
	Less string `yaml:"less"` // what ours does that it does not

	File string `yaml:"-"` // the adapter file, by the name that was given
	Dir  string `yaml:"-"` // of it, where its commands run

	prepared bool
}

// Frames are the WebSocket text messages to and from a server.
type Frames struct {
	Join   []string `yaml:"join"`   // templates, sent one after the other when the connection is open
	Joined string   `yaml:"joined"` // regular expression of the answer to the last of them; empty: there is none
	Send   string   `yaml:"send"`   // template of a publication
	// Template of what a receiver gets for it, where {number} stands for digits
	// that differ from message to message. A generator needs only to find the
	// payload by its tag; people and tests read this.
	Receive   string `yaml:"receive"`
	Heartbeat string `yaml:"heartbeat"` // a sign of life that no receiver sees
	// How many payloads a received message can hold: "one" (the default), or
	// "many", one a line. A message without a payload is talk of the protocol,
	// such as an acknowledgement.
	Tag string `yaml:"tag"`
}

// TCP is the Ready of a server that says nothing: it is ready once it accepts.
const TCP = "tcp"

// Fill puts values into a template; payload may be left empty.
func Fill(template, port, room, payload string) string {
	return strings.NewReplacer("{port}", port, "{room}", room, "{payload}", payload).Replace(template)
}

// Protocol is what the load generator needs to know of the frames.
func (a *Adapter) Protocol() load.Frames {
	return load.Frames{Join: a.Frames.Join, Joined: a.Frames.Joined, Send: a.Frames.Send,
		Heartbeat: a.Frames.Heartbeat, Many: a.Frames.Tag == "many"}
}

// OneSystem reports why several of the server cannot have members of one room.
func (a *Adapter) OneSystem(servers int) error {
	if a.Beside == "" {
		return fmt.Errorf("%s has nothing beside it, through which %d servers are one system", a.Name, servers)
	}
	return nil
}

// Select picks servers by their names, in the order of the names.
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

// Find reads FILE[:NAME]: the server of that name, or the only one of the file.
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
		return Adapter{}, fmt.Errorf("%s has several servers: add one of %s, as in %s:%s", file, Names(all), file, all[0].Name)
	}
	picked, err := Select(all, []string{name})
	if err != nil {
		return Adapter{}, fmt.Errorf("%s: %w", file, err)
	}
	return picked[0], nil
}

// Validate reports all that is missing or malformed.
func (a *Adapter) Validate() error {
	var errs []error
	for _, m := range a.mistakes() {
		errs = append(errs, errors.New(m.text))
	}
	return errors.Join(errs...)
}

// mistake is one thing wrong with a field.
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
