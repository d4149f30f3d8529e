package loop

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The limits of this package's shape. They may come down and never go up.
const (
	maxLoopFields   = 42
	maxConnFields   = 16
	maxUpwardPer100 = 63
)

func TestTheStructuresStaySmall(t *testing.T) {
	for typ, limit := range map[reflect.Type]int{reflect.TypeFor[Loop](): maxLoopFields, reflect.TypeFor[Conn](): maxConnFields} {
		if n := typ.NumField(); n > limit {
			t.Errorf("%v has %d fields, want at most %d: give what belongs together a type of its own", typ, n, limit)
		}
	}
}

// A use goes upward if a file uses something that a file before it in the list of doc.go declares. It counts once for each file
// that uses and each thing that is used, however often: a function, method, type, variable, constant, or a field. Only the type
// Loop and its fields do not count: every file has methods of it, and the number of its fields has a limit of its own.
func TestFilesUseWhatStandsBelowThem(t *testing.T) {
	order := filesOfDoc(t)
	upward, all := 0, 0
	var list []string
	for _, u := range usesBetweenFiles(t) {
		all++
		if slices.Index(order, u.declaredIn) < slices.Index(order, u.file) {
			upward++
			list = append(list, u.file+" uses "+u.name+" of "+u.declaredIn)
		}
	}
	slices.Sort(list)
	t.Logf("%d of %d uses between files go upward", upward, all)
	if upward*100 > maxUpwardPer100*all {
		t.Errorf("want at most %d of 100:\n%s", maxUpwardPer100, strings.Join(list, "\n"))
	}
}

// filesOfDoc returns the files that the package comment lists, in its order.
func filesOfDoc(t *testing.T) (files []string) {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^//\t([a-z]+\.go) `).FindAllStringSubmatch(string(text), -1) {
		files = append(files, m[1])
	}
	return files
}

type use struct{ file, name, declaredIn, kind string }

func usesBetweenFiles(t *testing.T) []use {
	fset, info := checkedPackage(t)
	loopType := map[types.Object]bool{}
	for _, obj := range info.Defs {
		if tn, ok := obj.(*types.TypeName); ok && tn.Name() == "Loop" && tn.Parent() == tn.Pkg().Scope() {
			loopType[tn] = true
			for f := range tn.Type().Underlying().(*types.Struct).Fields() {
				loopType[f] = true
			}
		}
	}
	seen := map[use]bool{}
	for id, obj := range info.Uses {
		if obj.Pkg() == nil || obj.Pkg().Name() != "loop" || loopType[obj] {
			continue
		}
		kind := "type"
		switch o := obj.(type) {
		case *types.Func:
			obj, kind = o.Origin(), "func"
		case *types.Var:
			if obj, kind = o.Origin(), "field"; !o.IsField() && o.Parent() != o.Pkg().Scope() {
				continue
			}
		case *types.TypeName, *types.Const:
			if obj.Parent() != obj.Pkg().Scope() {
				continue
			}
		default:
			continue
		}
		file := func(pos token.Pos) string { return filepath.Base(fset.Position(pos).Filename) }
		if u := (use{file(id.Pos()), obj.Name(), file(obj.Pos()), kind}); u.file != u.declaredIn {
			seen[u] = true
		}
	}
	var uses []use
	for u := range seen {
		uses = append(uses, u)
	}
	return uses
}

// checkedPackage type-checks the files of this package that are no tests.
func checkedPackage(t *testing.T) (*token.FileSet, *types.Info) {
	t.Helper()
	fset := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		out, err := exec.Command("go", "list", "-export", "-f", "{{.Export}}", path).Output()
		if err != nil {
			return nil, err
		}
		return os.Open(strings.TrimSpace(string(out)))
	})}
	if _, err := conf.Check("dotsconnect/loop", fset, files, info); err != nil {
		t.Fatal(err)
	}
	return fset, info
}
