// Package doctable checks that the tables in the documents match the code that they describe, and that copies match their
// originals.
package doctable

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the tables into the documents")

// Check fails the test unless the document has exactly the table want between "<!-- name:begin -->" and "<!-- name:end -->".
func Check(t *testing.T, file, name, want string) {
	t.Helper()
	begin, end := "<!-- "+name+":begin -->\n", "<!-- "+name+":end -->"
	document, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(document), begin)
	got, _, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no table between %q and %q", file, begin, end)
	}
	if *update {
		before, _, _ := strings.Cut(string(document), begin)
		_, after, _ := strings.Cut(rest, end)
		if err := os.WriteFile(file, []byte(before+begin+strings.TrimSpace(want)+"\n"+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(got)); diff != "" {
		t.Errorf("the table in %s differs (- code, + document):\n%s\nmake docs writes it", file, diff)
	}
}

// Copy fails the test unless both files have the same content.
func Copy(t *testing.T, from, to string) {
	t.Helper()
	want, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(to, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is not a copy of %s (- original, + copy):\n%s\nmake docs writes it", to, from, diff)
	}
}
