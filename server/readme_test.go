package server

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// Every file to which the README links must exist.
func TestTheREADMELinksToWhatIsThere(t *testing.T) {
	for _, file := range []string{"../README.md", "../CONTRIBUTING.md", "../CHANGELOG.md", "../bench/README.md", "../SECURITY.md", "PROTOCOL.md", "SETTINGS.md", "ATTACKS.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		links := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllStringSubmatch(string(text), -1)
		if len(links) == 0 && file == "../README.md" {
			t.Errorf("%s has no links", file)
		}
		for _, link := range links {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), link[1])); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}
