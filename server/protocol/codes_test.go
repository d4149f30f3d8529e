package protocol_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"dotsconnect/server/protocol"
)

// bands are the ranges of codes that tell a client what to do next.
var bands = map[int]string{
	10: "10xx (RFC 6455)", 41: "41xx (wait and reconnect)", 42: "42xx (reconnect at once)", 45: "45xx (do not reconnect without a change)",
}

func TestCodesAreOrderedAndFitTheirBands(t *testing.T) {
	names := map[string]bool{}
	last := 0
	for _, code := range protocol.Codes {
		switch {
		case bands[code.Code/100] == "":
			t.Errorf("clients know no range for %d: choose a code in %s", code.Code, strings.Join(slices.Sorted(maps.Values(bands)), ", "))
			continue // a code outside the ranges says nothing about the order of the others
		case code.Code <= last:
			t.Errorf("%d stands after %d: order the rows of Codes by their code, each code once", code.Code, last)
		case code.Name == "" || code.When == "":
			t.Errorf("%d has no name or no description", code.Code)
		case names[code.Name]:
			t.Errorf("%d has the name of another code: %s", code.Code, code.Name)
		}
		last, names[code.Name] = code.Code, true
	}
}

// A code of the protocol (4xxx) is sent, or its row says that it is reserved.
func TestCodesAreSentOrReserved(t *testing.T) {
	constants := constantsOf(t, "codes.go")
	sent := selectedIn(t, "..", "../../cmd/dotsd")
	for _, code := range protocol.Codes {
		name := constants[code.Code]
		switch {
		case code.Code < 4000:
		case name == "":
			t.Errorf("%d has no constant in codes.go", code.Code)
		case !sent[name] && !code.Reserved:
			t.Errorf("nothing sends %d (protocol.%s): send it, or set Reserved in its row", code.Code, name)
		case sent[name] && code.Reserved:
			t.Errorf("%d (protocol.%s) is used: remove Reserved from its row", code.Code, name)
		}
	}
}

// constantsOf returns the names of the constants of a file by their value.
func constantsOf(t *testing.T, path string) map[int]string {
	t.Helper()
	names := map[int]string{}
	ast.Inspect(parse(t, path), func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			if value, ok := spec.Values[0].(*ast.BasicLit); ok && value.Kind == token.INT {
				code, err := strconv.Atoi(value.Value)
				if err != nil {
					t.Fatal(err)
				}
				names[code] = spec.Names[0].Name
			}
		}
		return true
	})
	return names
}

// selectedIn returns the names that follow "protocol." in the folders' Go files; tests do not count.
func selectedIn(t *testing.T, folders ...string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no Go files: %v", folder, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			ast.Inspect(parse(t, file), func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if from, ok := s.X.(*ast.Ident); ok && from.Name == "protocol" {
						names[s.Sel.Name] = true
					}
				}
				return true
			})
		}
	}
	return names
}

func parse(t *testing.T, path string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestReasonsNameTheCode(t *testing.T) {
	for _, test := range []struct {
		code         int
		detail, want string
	}{
		{protocol.CloseHeartbeatMissed, "", "heartbeat_missed"},
		{protocol.CloseBadFrame, `no key "message"`, `bad_frame: no key "message"`},
		{protocol.CloseProtocolError, "unmasked frame", "protocol error: unmasked frame"},
		{3999, "whatever", "whatever"},
		{3999, "", ""},
		{protocol.CloseKicked, "by\xff\xfehand", "kicked: by\ufffdhand"},
	} {
		if got := protocol.Reason(test.code, test.detail); got != test.want {
			t.Errorf("Reason(%d, %q) = %q, want %q", test.code, test.detail, got, test.want)
		}
	}
}

func TestLongReasonsAreCutBetweenCharacters(t *testing.T) {
	for pad := range 4 {
		detail := strings.Repeat("x", pad) + strings.Repeat("\U0001f600", 50)
		got := protocol.Reason(protocol.CloseKicked, detail)
		if len(got) > 123 || len(got) < 120 || !utf8.ValidString(got) || !strings.HasPrefix("kicked: "+detail, got) {
			t.Errorf("pad %d: got %d bytes %q", pad, len(got), got)
		}
	}
	if got := protocol.Reason(protocol.CloseKicked, strings.Repeat("x", 200)); len(got) != 123 {
		t.Errorf("got %d bytes, want 123", len(got))
	}
}

// printable reports whether text consists of visible ASCII and spaces, so that it fits any console, log or header.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}
