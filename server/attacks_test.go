package server

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	attackTest    = regexp.MustCompile("(?:`([a-z/]+)` )?`(Test\\w+)`")
	attackSetting = regexp.MustCompile("`(--[a-z-]+)`")
	testFunc      = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
)

// ATTACKS.md, the catalogue of attacks, must name only tests and settings that exist. It must name every test of the attack_
// files here and in the folders listed below. Each of its ids must occur once.
func TestTheCatalogueOfAttacksIsThatOfTheTests(t *testing.T) {
	text, err := os.ReadFile("ATTACKS.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]map[string]bool{} // names of tests by folder
	named := map[string]bool{}
	ids := map[string]bool{}
	settings := Settings()
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(line, "|\n"), "|")
		if len(cells) != 5 || !regexp.MustCompile(`^[A-Z]\d+$`).MatchString(strings.TrimSpace(cells[0])) {
			continue
		}
		id := strings.TrimSpace(cells[0])
		if ids[id] {
			t.Errorf("two rows %s", id)
		}
		ids[id] = true
		tests := attackTest.FindAllStringSubmatch(cells[4], -1)
		if len(tests) == 0 {
			t.Errorf("row %s names no test", id)
		}
		for _, test := range tests {
			folder := test[1]
			if known[folder] == nil {
				known[folder] = testsIn(t, folder, "*_test.go")
			}
			if !known[folder][test[2]] {
				t.Errorf("row %s names %s, which is not in %q", id, test[2], filepath.Join("..", folder))
			}
			named[test[2]] = true
		}
		for _, setting := range attackSetting.FindAllStringSubmatch(cells[3], -1) {
			if !slices.ContainsFunc(settings, func(s Setting) bool { return s.Flag == setting[1] }) {
				t.Errorf("row %s names %s, which is not a setting", id, setting[1])
			}
		}
	}
	attacks := testsIn(t, "", "attack_*_test.go")
	maps.Copy(attacks, testsIn(t, "", "*/attack_*_test.go"))
	if len(attacks) < 50 {
		t.Errorf("only %d tests in the files attack_*_test.go: has their name changed?", len(attacks))
	}
	for test := range attacks {
		if !named[test] {
			t.Errorf("%s is not in ATTACKS.md: add it to the row of its attack, or add a row", test)
		}
	}
}

// testsIn returns the names of the tests in the matching files of a folder of the repository; "" means this folder.
func testsIn(t *testing.T, folder, pattern string) map[string]bool {
	t.Helper()
	dir := "."
	if folder != "" {
		dir = filepath.Join("..", folder)
	}
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range testFunc.FindAllSubmatch(source, -1) {
			tests[string(match[1])] = true
		}
	}
	return tests
}
