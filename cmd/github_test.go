package cmd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// GitHub ignores a template that it cannot read, and reports no error.
func TestTheFilesForGitHubAreRead(t *testing.T) {
	forms, calls := 0, false
	for _, pattern := range []string{"../.github/workflows/*.yml", "../.github/ISSUE_TEMPLATE/*.yml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var document struct {
				Name string
				Body []struct {
					Type       string
					Attributes map[string]string
				}
			}
			if err := yaml.Unmarshal(text, &document); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			calls = calls || strings.Contains(string(text), "- run: .ci/run\n")
			if len(document.Body) == 0 {
				continue
			}
			forms++
			for i, field := range document.Body {
				if field.Type != "markdown" && field.Attributes["label"] == "" {
					t.Errorf("%s: field %d has no label", file, i)
				}
			}
			if document.Name == "" {
				t.Errorf("%s: a form needs a name", file)
			}
		}
	}
	if !calls {
		t.Error("no workflow calls .ci/run")
	}
	if forms != 2 {
		t.Errorf("%d forms with fields, want 2: a fault and a wish", forms)
	}
}
