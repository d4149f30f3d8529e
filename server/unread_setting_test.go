package server

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// checksOnly are the files that check and list the settings. A setting that only these files select has no effect. (In config.go,
// LoadAdminToken uses --admin-token-file. A declaration there does not count, because it does not select a field.)
var checksOnly = []string{"validate.go", "settings.go"}

// An operator must not be able to set a setting that the program ignores. The test compares names only: a field of another type
// with the same name counts too.
func TestEachSettingIsRead(t *testing.T) {
	selected := map[string]bool{}
	for _, folder := range []string{".", "../cmd/dotsd"} {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no Go files: %v", folder, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") || slices.Contains(checksOnly, file) {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					selected[s.Sel.Name] = true
				}
				return true
			})
		}
	}
	fields := reflect.TypeFor[Config]()
	for i := range fields.NumField() {
		if f := fields.Field(i); !selected[f.Name] {
			t.Errorf("--%s is never read: use it (CONTRIBUTING, Add a setting)", f.Tag.Get("name"))
		}
	}
}
