package web

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dotsconnect/server/internal/doctable"
)

const clientFile = "assets/client.js"

// The npm package and the demo page must have the same client.
func TestThePackageIsTheClientOfThePage(t *testing.T) {
	doctable.Copy(t, clientFile, "../../clients/js/index.js")
}

func TestThePackageIsSmall(t *testing.T) {
	source, err := os.ReadFile(clientFile)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(source), "\n"); lines >= 150 {
		t.Errorf("the client has %d lines, want fewer than 150", lines)
	}
	small := stripped(string(source))
	if len(small) >= 3000 {
		t.Errorf("the client has %d bytes without comments and white space, want fewer than 3,000", len(small))
	}
	t.Logf("%d bytes without comments and white space", len(small))
}

// tokens matches comments, texts in quotation marks, words, white space, and single other characters.
var tokens = regexp.MustCompile("(?s)/\\*.*?\\*/|//[^\n]*|\"(?:[^\"\\\\]|\\\\.)*\"|'(?:[^'\\\\]|\\\\.)*'|`(?:[^`\\\\]|\\\\.)*`|[\\w$]+|\\s+|.")

var word = regexp.MustCompile(`^[\w$]+$`)

// stripped removes comments, and white space except where it separates two words or where it is a line end, which may end a
// statement. It renames nothing, and keeps texts as they are. It does not know regular expressions: the client has none.
func stripped(source string) string {
	var kept []string
	space := ""
	for _, token := range tokens.FindAllString(source, -1) {
		last := ""
		if len(kept) > 0 {
			last = kept[len(kept)-1]
		}
		switch {
		case strings.HasPrefix(token, "//"), strings.HasPrefix(token, "/*"):
		case strings.TrimSpace(token) == "":
			space += token
		case strings.Contains(space, "\n") && !slices.Contains([]string{"", "{", ",", ";", "("}, last):
			kept = append(kept, "\n", token)
			space = ""
		case space != "" && (word.MatchString(last) && word.MatchString(token) || last == token): // + + is not ++
			kept = append(kept, " ", token)
			space = ""
		default:
			kept = append(kept, token)
			space = ""
		}
	}
	return strings.Join(kept, "")
}

// The package must be ready to be published: with the licence of the project, the files that it names, and no dependency.
func TestThePackageIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../clients/js/package.json")
	if err != nil {
		t.Fatal(err)
	}
	var manifest map[string]json.RawMessage
	if err := json.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	licence, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(manifest["license"]); got != `"MIT"` || !strings.Contains(string(licence), "MIT License") {
		t.Errorf("the licence of the package is %s, want that of the project", got)
	}
	var files []string
	if err := json.Unmarshal(manifest["files"], &files); err != nil || len(files) == 0 {
		t.Errorf("files: %v, %v", files, err)
	}
	for _, file := range append(files, "README.md") {
		if _, err := os.Stat("../../clients/js/" + file); err != nil {
			t.Error(err)
		}
	}
	for key := range manifest {
		if strings.Contains(strings.ToLower(key), "dependencies") {
			t.Errorf("the package has %s, want none", key)
		}
	}
}
