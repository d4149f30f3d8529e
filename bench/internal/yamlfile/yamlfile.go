// Package yamlfile reads the YAML files of dotsbench: scenarios, suites,
// adapters and tables. It takes values from the syntax tree, as they are
// spelled, so "1e3" or "010" means the same as in a flag. Every error names the
// file and the line.
package yamlfile

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Field is an entry of a mapping, or of a list; the entries of a list have the
// name of the list.
type Field struct {
	Name string
	Line int

	file  string
	value ast.Node
}

// Parse returns the entries of a file, which must be a mapping.
func Parse(file string, text []byte) ([]Field, error) {
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, located(file, "not YAML: ", err)
	}
	var all []Field
	for _, document := range tree.Docs {
		switch document.Body.(type) {
		case nil, *ast.CommentGroupNode, *ast.NullNode:
			continue
		}
		top := Field{Line: document.Body.GetToken().Position.Line, file: file, value: document.Body}
		fields, err := top.mapping()
		if err != nil {
			return nil, err
		}
		all = append(all, fields...)
	}
	return all, nil
}

// Fail returns an error with the file and the line of the field.
func (f Field) Fail(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", f.file, f.Line, fmt.Errorf(format, args...))
}

// Unknown returns the error for a field that does not exist. what is what the
// field belongs to, such as "a suite"; known has the names that exist.
func (f Field) Unknown(what string, known ...string) error {
	return f.Fail("%s: unknown field%s %s has %s", f.Name, Guess(f.Name, known), what, strings.Join(known, ", "))
}

// Text returns the value of a field that must be one plain value.
func (f Field) Text() (string, error) {
	if _, ok := f.value.(ast.ScalarNode); !ok || f.value.Type() == ast.NullType {
		return "", f.Fail("%s: must be one plain value", f.Name)
	}
	return f.value.GetToken().Value, nil
}

// Fields returns the entries of a field that must be a mapping.
func (f Field) Fields() ([]Field, error) { return f.mapping() }

// List returns the entries of a field that must be a list.
func (f Field) List() ([]Field, error) {
	list, ok := f.value.(*ast.SequenceNode)
	if !ok {
		return nil, f.Fail("%s: must be a list, as in [a, b]", f.Name)
	}
	var all []Field
	for _, node := range list.Values {
		all = append(all, Field{f.Name, node.GetToken().Position.Line, f.file, node})
	}
	return all, nil
}

// Texts returns the entries of a field that must be a list of plain values.
func (f Field) Texts() ([]string, error) {
	list, err := f.List()
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, entry := range list {
		text, err := entry.Text()
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// Decode stores the value in a variable, by the rules of the YAML library.
// Unknown fields are errors.
func (f Field) Decode(into any) error {
	if err := yaml.NodeToValue(f.value, into, yaml.Strict()); err != nil {
		return located(f.file, "", err)
	}
	return nil
}

func (f Field) mapping() ([]Field, error) {
	var values []*ast.MappingValueNode
	switch n := f.value.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		name := f.Name
		if name != "" {
			name += ": "
		}
		return nil, f.Fail("%smust be a mapping of name: value", name)
	}
	var all []Field
	for _, v := range values {
		all = append(all, Field{v.Key.GetToken().Value, v.Key.GetToken().Position.Line, f.file, v.Value})
	}
	return all, nil
}

// located makes one line of an error of the YAML library, with the name of the
// file and the line number.
func located(file, what string, err error) error {
	var e yaml.Error
	if errors.As(err, &e) && e.GetToken() != nil {
		return fmt.Errorf("%s:%d: %s%s", file, e.GetToken().Position.Line, what, e.GetMessage())
	}
	return fmt.Errorf("%s: %s%w", file, what, err)
}

// Guess returns a text such as "; did you mean rooms?" if one of the known names
// is near to name: if they differ in one letter, or in two letters but not in
// the first. Otherwise it returns ";".
func Guess(name string, known []string) string {
	best, least := "", 3
	for _, k := range known {
		if d := distance(name, k); d < least && d < len(name) && (d == 1 || k != "" && k[0] == name[0]) {
			best, least = k, d
		}
	}
	if best == "" {
		return ";"
	}
	return "; did you mean " + best + "?"
}

// distance returns how many letters must be added, removed or changed to make b
// of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(row[j]+1, row[j+1]+1, cost)
		}
	}
	return row[len(b)]
}
