package cmd_test

import (
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// Every file, make target and test flag that CONTRIBUTING.md names must exist. CONTRIBUTING.md and the README must stay short.
func TestContributingNamesWhatIsThere(t *testing.T) {
	read := func(file string) string {
		text, err := os.ReadFile(path.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for file, most := range map[string]int{"CONTRIBUTING.md": 200, "README.md": 250} {
		if n := strings.Count(read(file), "\n"); n > most {
			t.Errorf("%s has %d lines, want at most %d", file, n, most)
		}
	}
	text, makefile := read("CONTRIBUTING.md"), read("Makefile")
	for _, code := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		if regexp.MustCompile(`^[a-z]+(/[a-z0-9_]+)+\.(go|yaml|js|md)$`).MatchString(code[1]) {
			if _, err := os.Stat(path.Join("..", code[1])); err != nil && !strings.HasPrefix(code[1], "testdata/") {
				t.Error(err)
			}
		}
		words := strings.Fields(code[1])
		if len(words) > 1 && words[0] == "make" && !strings.Contains(makefile, "\n"+words[1]+":") {
			t.Errorf("the Makefile has no target for %q", code[0])
		}
	}
	sources := read("loop/sim_test.go") + read("loop/transcript_test.go") + read("redisbridge/model_test.go") + read("redisbridge/soak_test.go")
	for _, flag := range regexp.MustCompile(` -((?:sim|model|soak)\.\w+|update)\b`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(sources, `"`+flag[1]+`"`) {
			t.Errorf("no test has the flag -%s", flag[1])
		}
	}
}
