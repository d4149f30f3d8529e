package cmd_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxMethods is the number of methods that a type may have: a type with more has several jobs.
const maxMethods = 40

func TestNoTypeHasManyMethods(t *testing.T) {
	numbers := methodsByType(t, "..")
	for name, n := range numbers {
		if n > maxMethods {
			t.Errorf("%s has %d methods, want at most %d: split it into several types", name, n, maxMethods)
		}
	}
}

// methodsByType counts the methods of each type in all files under root except tests. The name of a type includes its folder.
func methodsByType(t *testing.T, root string) map[string]int {
	t.Helper()
	numbers := map[string]int{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && name != ".." && (strings.HasPrefix(name, ".") || slices.Contains([]string{"testdata", "node_modules"}, name)):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		for _, decl := range syntax.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv != nil {
				numbers[path.Clean(filepath.ToSlash(folder))+"."+receiver(f.Recv.List[0].Type)]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return numbers
}

// receiver returns the name of a receiver's type, without pointer and type parameters.
func receiver(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return "?"
}

// The reading order in a doc.go must list every file of the folder, and no other file.
func TestTheReadingOrderHasEveryFile(t *testing.T) {
	for _, folder := range []string{"loop", "server", "redisbridge"} {
		dir := filepath.Join("..", folder)
		text, err := os.ReadFile(filepath.Join(dir, "doc.go"))
		if err != nil {
			t.Fatal(err)
		}
		named := regexp.MustCompile(`\b[a-z0-9_]+\.(go|lua)\b`).FindAllString(string(text), -1)
		for _, file := range named {
			if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
				t.Errorf("the doc.go of %s names %s: %v", folder, file, err)
			}
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			source := strings.HasSuffix(f.Name(), ".go") && !strings.HasSuffix(f.Name(), "_test.go") || strings.HasSuffix(f.Name(), ".lua")
			if source && f.Name() != "doc.go" && !slices.Contains(named, f.Name()) {
				t.Errorf("%s/%s is not in the reading order of doc.go", folder, f.Name())
			}
		}
	}
}
