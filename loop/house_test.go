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
	"unsafe"
)

// The limits for the structure of this package. They may be lowered, but never raised.
const (
	maxLoopFields   = 18
	maxConnFields   = 16
	maxConnSize     = 120
	maxUpwardPer100 = 14
)

func TestTheStructuresStaySmall(t *testing.T) {
	for typ, limit := range map[reflect.Type]int{reflect.TypeFor[Loop](): maxLoopFields, reflect.TypeFor[Conn](): maxConnFields} {
		if n := typ.NumField(); n > limit {
			t.Errorf("%v has %d fields, want at most %d: give what belongs together a type of its own", typ, n, limit)
		}
	}
	if n := unsafe.Sizeof(Conn{}); n > maxConnSize {
		t.Errorf("a Conn is %d bytes, want at most %d: a node has one for each connection", n, maxConnSize)
	}
}

// A use goes upward if a file uses something that is declared in a file above it in the list of doc.go. Each pair of a using file
// and a used function, method, type, variable, constant or field counts once, however often the file uses it. The type Loop and
// its fields do not count here: every file reaches its neighbours through them, and a separate limit applies to their number.
// Functions and methods have a limit of their own, because they could hide among many fields.
func TestFilesUseWhatStandsBelowThem(t *testing.T) {
	order := filesOfDoc(t)
	uses := usesBetweenFiles(t)
	calls := slices.DeleteFunc(slices.Clone(uses), func(u use) bool { return !u.call })
	for what, uses := range map[string][]use{"uses": uses, "uses of functions": calls} {
		var upward []string
		for _, u := range uses {
			if slices.Index(order, u.declaredIn) < slices.Index(order, u.file) {
				upward = append(upward, u.file+" uses "+u.name+" of "+u.declaredIn)
			}
		}
		t.Logf("%d of %d %s between files go upward", len(upward), len(uses), what)
		if len(upward)*100 > maxUpwardPer100*len(uses) {
			slices.Sort(upward)
			t.Errorf("want at most %d of 100:\n%s", maxUpwardPer100, strings.Join(upward, "\n"))
		}
	}
}

func TestThePackageCommentListsEveryFileOnce(t *testing.T) {
	files := sourceFiles(t)
	want := slices.DeleteFunc(files, func(name string) bool { return name == "doc.go" })
	got := filesOfDoc(t)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("doc.go lists\n%q, want\n%q", got, want)
	}
}

// The methods of Loop whose comments say "Any goroutine." must be the methods that the package comment names.
func TestThePackageCommentListsTheCallsFromAnyGoroutine(t *testing.T) {
	var want []string
	for _, name := range sourceFiles(t) {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			m, ok := decl.(*ast.FuncDecl)
			if ok && m.Recv != nil && types.ExprString(m.Recv.List[0].Type) == "*Loop" && m.Name.IsExported() &&
				strings.Contains(m.Doc.Text(), "Any goroutine.") {
				want = append(want, m.Name.Name)
			}
		}
	}
	slices.Sort(want)
	text := strings.ReplaceAll(packageComment(t), "\n// ", " ")
	m := regexp.MustCompile(`exceptions are (.*), which any goroutine may call`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("the package comment does not list the calls from any goroutine")
	}
	got := strings.FieldsFunc(strings.ReplaceAll(m[1], " and ", ", "), func(r rune) bool { return r == ',' || r == ' ' })
	if !slices.Equal(got, want) {
		t.Errorf("doc.go lists %q, want %q", got, want)
	}
}

func packageComment(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// filesOfDoc returns the files that the package comment lists, in its order.
func filesOfDoc(t *testing.T) (files []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^//\t([a-z]+\.go) +`).FindAllStringSubmatch(packageComment(t), -1) {
		files = append(files, m[1])
	}
	return files
}

// sourceFiles are the files of this package that are not tests.
func sourceFiles(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
}

type use struct {
	file, name, declaredIn string
	call                   bool
}

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
	file := func(pos token.Pos) string { return filepath.Base(fset.Position(pos).Filename) }
	seen := map[string]map[types.Object]bool{}
	for id, obj := range info.Uses {
		if obj.Pkg() == nil || obj.Pkg().Name() != "loop" || loopType[obj] {
			continue
		}
		switch o := obj.(type) {
		case *types.Func:
			obj = o.Origin()
		case *types.Var:
			if obj = o.Origin(); !o.IsField() && o.Parent() != o.Pkg().Scope() {
				continue
			}
		default:
			if obj.Parent() != obj.Pkg().Scope() {
				continue
			}
		}
		if in := file(id.Pos()); in != file(obj.Pos()) {
			if seen[in] == nil {
				seen[in] = map[types.Object]bool{}
			}
			seen[in][obj] = true
		}
	}
	var uses []use
	for in, objects := range seen {
		for obj := range objects {
			_, call := obj.(*types.Func)
			uses = append(uses, use{in, obj.Name(), file(obj.Pos()), call})
		}
	}
	return uses
}

// checkedPackage type-checks the files of this package that are not tests.
func checkedPackage(t *testing.T) (*token.FileSet, *types.Info) {
	t.Helper()
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range sourceFiles(t) {
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
