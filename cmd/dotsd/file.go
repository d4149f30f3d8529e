package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"dotsconnect/server"
)

// parseFile parses the text of a configuration file: one YAML mapping from the names of settings to a value, or to a list of
// values. It reads the syntax tree instead of Go values, because only the tree has the lines, duplicate keys, and the spelling of
// numbers: "010" means ten here, as on the command line.
func parseFile(path string, text []byte, settings map[string]server.Setting) (values []found, problems []error) {
	tree, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, []error{syntaxError(path, err)}
	}
	entries, problems := topLevel(path, tree)
	lines := map[string]int{}
	for _, entry := range entries {
		key := entry.Key.GetToken()
		name, line := key.Value, key.Position.Line
		setting, known := settings[name]
		first, twice := lines[name]
		lines[name] = line
		value, err := scalarOrList(entry.Value)
		switch {
		case !known:
			err = fmt.Errorf("unknown setting%s", advise(name, slices.Collect(maps.Keys(settings)), func(setting, value string) string {
				return fmt.Sprintf("%s: %q", setting, value)
			}))
		case twice:
			err = fmt.Errorf("is given twice; the first is on line %d", first)
		case err != nil:
			err = fmt.Errorf("%w; write %s", err, setting.Takes)
		}
		where := fmt.Sprintf("%s:%d", path, line)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %s: %w", where, name, err))
			continue
		}
		values = append(values, found{name, given{value, where}})
	}
	return values, problems
}

// topLevel returns the entries of a file, each of which should be one setting.
func topLevel(path string, tree *ast.File) (entries []*ast.MappingValueNode, problems []error) {
	for _, document := range tree.Docs {
		switch body := document.Body.(type) {
		case nil, *ast.CommentGroupNode, *ast.NullNode:
		case *ast.MappingNode:
			entries = append(entries, body.Values...)
		case *ast.MappingValueNode:
			entries = append(entries, body)
		default:
			problems = append(problems, fmt.Errorf("%s:%d: this line is not a setting; write NAME: VALUE", path, body.GetToken().Position.Line))
		}
	}
	return entries, problems
}

// quotes is the hint for most YAML mistakes. Patterns of --origins and IPv6 addresses begin with characters that have a special
// meaning in YAML.
const quotes = "a value that begins with one of * & ! [ { @ % must be in quotes"

func syntaxError(path string, err error) error {
	var located yaml.Error
	if errors.As(err, &located) && located.GetToken() != nil {
		return fmt.Errorf("%s:%d: not YAML: %s (%s)", path, located.GetToken().Position.Line, located.GetMessage(), quotes)
	}
	return fmt.Errorf("%s: not YAML: %w (%s)", path, err, quotes)
}

// scalarOrList returns the text of a plain value, or the texts of a list as []any, because kong takes a list in this form.
func scalarOrList(node ast.Node) (any, error) {
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		return scalar(node)
	}
	texts := make([]any, 0, len(list.Values))
	for _, n := range list.Values {
		text, err := scalar(n)
		if err != nil {
			return nil, fmt.Errorf("one value of the list %w", err)
		}
		texts = append(texts, text)
	}
	return texts, nil
}

func scalar(node ast.Node) (string, error) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.NullNode:
		return "", errors.New(`has no value (an empty value must be written as "")`)
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, nil
	case *ast.SequenceNode:
		return "", errors.New("is a list")
	case *ast.MappingNode, *ast.MappingValueNode:
		return "", errors.New("is a mapping")
	default:
		return "", fmt.Errorf("is YAML of a kind that dotsd does not accept here (%s: %s)", node.Type(), quotes)
	}
}
