package scenario

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Parse reads a scenario file: one YAML mapping from the names of fields to
// plain values. It takes the values from the syntax tree, as they are spelled,
// so that "1e3" or "010" means the same as in a flag. The tree also has the
// line for an error message.
func Parse(file string, text []byte) (Scenario, error) {
	s := Default()
	s.Name = strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		var located yaml.Error
		if errors.As(err, &located) && located.GetToken() != nil {
			return s, fmt.Errorf("%s:%d: not YAML: %s", file, located.GetToken().Position.Line, located.GetMessage())
		}
		return s, fmt.Errorf("%s: not YAML: %w", file, err)
	}
	for _, document := range tree.Docs {
		entries, err := mapping(file, document)
		if err != nil {
			return s, err
		}
		for _, entry := range entries {
			if err := s.entry(entry); err != nil {
				return s, fmt.Errorf("%s:%d: %w", file, entry.Key.GetToken().Position.Line, err)
			}
		}
	}
	if err := s.Validate(); err != nil {
		return s, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

func mapping(file string, document *ast.DocumentNode) ([]*ast.MappingValueNode, error) {
	switch body := document.Body.(type) {
	case nil, *ast.CommentGroupNode, *ast.NullNode:
		return nil, nil
	case *ast.MappingNode:
		return body.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{body}, nil
	default:
		return nil, fmt.Errorf("%s:%d: not a field; write name: value", file, body.GetToken().Position.Line)
	}
}

func (s *Scenario) entry(entry *ast.MappingValueNode) error {
	name := entry.Key.GetToken().Value
	if _, ok := entry.Value.(ast.ScalarNode); !ok {
		return fmt.Errorf("%s: must be one plain value", name)
	}
	value := entry.Value.GetToken().Value
	switch name {
	case "about":
		s.About = value
		return nil
	case "needs":
		s.Needs = value
		return nil
	}
	return s.Set(name, value)
}
