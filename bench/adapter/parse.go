package adapter

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"dotsconnect/bench/internal/yamlfile"
)

// Load reads an adapter file. Unknown fields are mistakes. The error names the
// file and the line of each mistake.
func Load(name string) ([]Adapter, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("adapter file (relative to the current folder): %w", err)
	}
	return Parse(name, text)
}

// Parse is like Load, but gets the text of the file. The commands of the
// adapters run in the folder of name.
func Parse(name string, text []byte) ([]Adapter, error) {
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	peers, err := list(name, text)
	if err != nil {
		return nil, err
	}
	var all []Adapter
	var errs []error
	first := map[string]int{} // by name: line of the server with that name
	for _, peer := range peers {
		a, err := one(peer)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if at, twice := first[a.Name]; twice {
			errs = append(errs, peer.Fail("peer %q: line %d has a peer with that name", a.Name, at))
			continue
		}
		first[a.Name] = peer.Line
		a.File, a.Dir = name, dir
		all = append(all, a)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return all, nil
}

// Tables is a key of an adapter file. Package versus reads its value: the
// tables that compare the servers.
const Tables = "tables"

// list returns the entries of the list "peers" of the file.
func list(name string, text []byte) ([]yamlfile.Field, error) {
	fields, err := yamlfile.Parse(name, text)
	if err != nil {
		return nil, err
	}
	var peers []yamlfile.Field
	for _, f := range fields {
		switch f.Name {
		case Tables:
		case "peers":
			all, err := f.List()
			if err != nil {
				return nil, err
			}
			peers = append(peers, all...)
		default:
			return nil, f.Unknown("a file", "peers", Tables)
		}
	}
	if len(peers) == 0 {
		return nil, fmt.Errorf("%s:1: the list of peers is missing", name)
	}
	return peers, nil
}

func one(peer yamlfile.Field) (Adapter, error) {
	var a Adapter
	if err := peer.Decode(&a); err != nil {
		return a, err
	}
	lines := map[string]yamlfile.Field{}
	fields, err := peer.Fields()
	for _, f := range fields {
		lines[f.Name] = f
		if f.Name == "frames" {
			inner, innerErr := f.Fields()
			err = errors.Join(err, innerErr)
			for _, g := range inner {
				lines["frames."+g.Name] = g
			}
		}
	}
	errs := []error{err}
	for _, m := range a.mistakes() {
		at, ok := lines[m.field]
		if !ok {
			at = peer // the field is missing, so name the first line of the server
		}
		errs = append(errs, at.Fail("peer %q: %s", a.Name, m.text))
	}
	return a, errors.Join(errs...)
}
