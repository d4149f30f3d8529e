package web

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"dotsconnect/server/protocol"
)

// The page must have a readable sentence for every code with which a server may close.
func TestThePageExplainsEveryCloseCode(t *testing.T) {
	script, err := os.ReadFile("assets/codes.js")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(script), "const CODES = {\n")
	table, _, ended := strings.Cut(table, "\n};")
	if !found || !ended {
		t.Fatal("codes.js has no table CODES")
	}
	for _, c := range protocol.Codes {
		if !strings.Contains(table, "  "+strconv.Itoa(c.Code)+`: "`) {
			t.Errorf("codes.js does not explain %d %s: add it to CODES", c.Code, c.Name)
		}
	}
}
