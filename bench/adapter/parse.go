package adapter

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
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
	peers, err := sequence(name, text)
	if err != nil {
		return nil, err
	}
	var all []Adapter
	var errs []error
	first := map[string]int{} // by name: line of the server with that name
	for _, node := range peers {
		a, err := one(name, node)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		line := node.GetToken().Position.Line
		if at, twice := first[a.Name]; twice {
			errs = append(errs, fmt.Errorf("%s:%d: peer %q: line %d has a peer with that name", name, line, a.Name, at))
			continue
		}
		first[a.Name] = line
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

// sequence returns the nodes of the list "peers" of the file.
func sequence(name string, text []byte) ([]ast.Node, error) {
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, located(name, err)
	}
	var peers []ast.Node
	for _, document := range tree.Docs {
		for _, entry := range entries(document.Body) {
			line, key := entry.Key.GetToken().Position.Line, entry.Key.GetToken().Value
			if key == Tables {
				continue
			}
			if key != "peers" {
				return nil, fmt.Errorf("%s:%d: unknown field %q; a file has peers and optionally tables", name, line, key)
			}
			list, ok := entry.Value.(*ast.SequenceNode)
			if !ok {
				return nil, fmt.Errorf("%s:%d: peers must be a list of servers", name, line)
			}
			peers = append(peers, list.Values...)
		}
	}
	if len(peers) == 0 {
		return nil, fmt.Errorf("%s:1: the list of peers is missing", name)
	}
	return peers, nil
}

func one(name string, node ast.Node) (Adapter, error) {
	var a Adapter
	// For a mapping the parser returns the position of its first colon, which
	// is in the first line.
	line := node.GetToken().Position.Line
	if err := yaml.NodeToValue(node, &a, yaml.Strict()); err != nil {
		return a, located(name, err)
	}
	lines := map[string]int{}
	note := func(prefix string, node ast.Node) {
		for _, e := range entries(node) {
			lines[prefix+e.Key.GetToken().Value] = e.Key.GetToken().Position.Line
		}
	}
	note("", node)
	for _, e := range entries(node) {
		if e.Key.GetToken().Value == "frames" {
			note("frames.", e.Value)
		}
	}
	var errs []error
	for _, m := range a.mistakes() {
		at, ok := lines[m.field]
		if !ok {
			at = line // the field is missing, so name the first line of the server
		}
		errs = append(errs, fmt.Errorf("%s:%d: peer %q: %s", name, at, a.Name, m.text))
	}
	return a, errors.Join(errs...)
}

func entries(node ast.Node) []*ast.MappingValueNode {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	return nil
}

// located makes one line of an error of the YAML library, with the name of the
// file and the line number.
func located(name string, err error) error {
	var e yaml.Error
	if errors.As(err, &e) && e.GetToken() != nil {
		return fmt.Errorf("%s:%d: %s", name, e.GetToken().Position.Line, e.GetMessage())
	}
	return fmt.Errorf("%s: %w", name, err)
}
