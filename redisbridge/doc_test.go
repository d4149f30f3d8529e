package redisbridge

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// A reader who follows doc.go meets every file, and no file that is not there.
func TestTheReadingOrderHasEveryFile(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\b[a-z0-9_]+\.(go|lua)\b`).FindAllString(string(text), -1)
	for _, file := range named {
		if _, err := os.Stat(file); err != nil {
			t.Errorf("doc.go names %s: %v", file, err)
		}
	}
	for _, pattern := range []string{"*.go", "*.lua"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if test, _ := filepath.Match("*_test.go", file); !test && file != "doc.go" && !slices.Contains(named, file) {
				t.Errorf("%s is not in the reading order of doc.go", file)
			}
		}
	}
}
