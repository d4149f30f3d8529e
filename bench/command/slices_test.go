package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dotsconnect/bench/internal/cli"
	paired "dotsconnect/bench/slices"
)

func TestSlicesOfTwoServersThatAreTheSame(t *testing.T) {
	if testing.Short() {
		t.Skip("starts four servers with 1,000 connections")
	}
	serve, out := os.Args[0]+" "+serving+" {port}", filepath.Join(t.TempDir(), "slices.json")
	code, stdout, stderr := dotsbench("slices", "--quick", "--only", "one,connects", "--peer", "other="+serve, "--ours", serve, "--out", out)
	if code != cli.OK || strings.Count(stdout, "\n") != 5 {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
	text, err := os.ReadFile(out)
	var r paired.Report
	if err != nil || json.Unmarshal(text, &r) != nil || len(r.Lines) != 2 {
		t.Fatalf("%v: %s", err, text)
	}
	for _, l := range r.Lines {
		if l.Server != "ours" || l.Must != 0 || l.Dropped == 0 && l.Ratio.Rounds != 2 {
			t.Errorf("%+v", l)
		}
	}
}

func TestMistakesOfSlicesAreOneLineWithExit2(t *testing.T) {
	for args, want := range map[string]string{
		"slices --only nothing --peer a=x{port}":                 "there is no row \"nothing\"; write one of one, ",
		"slices --peer a=x":                                      "must contain {port}",
		"slices --peer a=x{port} --peer a=y{port}":               `two servers are named "a"`,
		"slices --peer ours=x{port}":                             `two servers are named "ours"`,
		"slices --peer nobody --file ../peers/peers.yaml":        `there is no server "nobody"`,
		"slices --turns 0":                                       "--turns 0: write a value from 1 to 1000",
		"slices --only one --peer a=false#{port} --ours x{port}": "a: ",
	} {
		words := strings.Fields(args)
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "#", " ")
		}
		code, stdout, stderr := dotsbench(words...)
		if code != cli.Usage || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%q: exit %d, stdout %q, stderr %q, want %q", args, code, stdout, stderr, want)
		}
	}
}
