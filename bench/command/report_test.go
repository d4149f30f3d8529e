package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/report"
	"dotsconnect/bench/result"
)

// finished writes the folder dir with the files of a run, and returns dir.
func finished(t *testing.T, dir, name string) string {
	t.Helper()
	r := &result.Result{Schema: result.Schema, Program: "dotsbench", Name: name, Histograms: result.Histograms{Latency: result.NewHistogram()}}
	if err := r.Write(dir, report.Files(r)...); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAFolderOfResultsHasTheReportAndTheMetrics(t *testing.T) {
	dir := finished(t, filepath.Join(t.TempDir(), "a"), "alpha")
	for file, want := range map[string]string{"report.html": "<h1>alpha</h1>", "metrics.prom": `dotsbench_run_valid{scenario="alpha"} 1`} {
		if b, err := os.ReadFile(filepath.Join(dir, file)); err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: %v, want %q in %s", file, err, want, b)
		}
	}
}

func TestReportReadsOneFolderOrSeveral(t *testing.T) {
	top := t.TempDir()
	a, b := finished(t, filepath.Join(top, "a"), "alpha"), finished(t, filepath.Join(top, "b[1]"), "beta")
	other := filepath.Join(top, "both.html")
	for _, c := range []struct {
		args []string
		file string
		want []string
	}{
		{[]string{a}, filepath.Join(a, "report.html"), []string{"<h1>alpha</h1>"}},
		{[]string{top}, filepath.Join(top, "report.html"), []string{"2 runs", "<h2>alpha</h2>", "<h2>beta</h2>"}},
		{[]string{b, a, "--out", other}, other, []string{"2 runs", "<h2>alpha</h2>", "<h2>beta</h2>"}},
	} {
		code, stdout, stderr := dotsbench(append([]string{"report"}, c.args...)...)
		page, err := os.ReadFile(c.file)
		if code != cli.OK || err != nil || stdout != "written to "+c.file+"\n" {
			t.Fatalf("%v: exit %d, %s%s%v", c.args, code, stdout, stderr, err)
		}
		for _, want := range c.want {
			if !strings.Contains(string(page), want) {
				t.Errorf("%v: no %q", c.args, want)
			}
		}
	}
	page, _ := os.ReadFile(other)
	if strings.Index(string(page), "<h2>beta") > strings.Index(string(page), "<h2>alpha") {
		t.Error("the runs are not in the order in which they were named")
	}
}

func TestMistakesOfReportAreOneLineAndLeaveNothing(t *testing.T) {
	top := t.TempDir()
	good := finished(t, filepath.Join(top, "good"), "alpha")
	write := func(name, text string) string {
		dir := filepath.Join(top, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if text != "" {
			if err := os.WriteFile(filepath.Join(dir, "result.json"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	page := filepath.Join(top, "page.html")
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "name a folder that dotsbench run --out wrote"},
		{[]string{filepath.Join(top, "none")}, "none: no such file or directory; name a folder"},
		{[]string{filepath.Join(good, "result.json")}, "is not a folder"},
		{[]string{write("empty", "")}, "there is no result.json in it"},
		{[]string{write("torn", `{"schema": 1, "na`)}, "is not a result of dotsbench (unexpected end of JSON input)"},
		{[]string{write("foreign", `{}`)}, "is not a result of a run of dotsbench"},
		{[]string{write("newer", `{"program": "dotsbench", "schema": 99, "latency": 7}`)}, "unknown schema 99; this dotsbench reads 1 to 1"},
		{[]string{good, good}, "2 folders make one page: name its file with --out FILE"},
		{[]string{good, filepath.Join(top, "torn"), "--out", page}, "torn/result.json: is not a result"},
		{[]string{good, "--out", filepath.Join(top, "none", "page.html")}, "cannot write " + filepath.Join(top, "none", "page.html") + ": no such file"},
		{[]string{good, "--out", top}, "is a folder"},
	} {
		before := tree(t, top)
		code, stdout, stderr := dotsbench(append([]string{"report"}, c.args...)...)
		if code != cli.Usage || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: exit %d, stdout %q, stderr %q, want %q", c.args, code, stdout, stderr, c.want)
		}
		if after := tree(t, top); after != before {
			t.Errorf("%v: changed the folder from %s to %s", c.args, before, after)
		}
	}
}

func tree(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	if err := filepath.WalkDir(dir, func(name string, _ os.DirEntry, err error) error {
		names = append(names, name)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

func TestWhatCannotBeWrittenDoesNotHideTheVerdict(t *testing.T) {
	r := &result.Result{Schema: result.Schema, Program: "dotsbench", Histograms: result.Histograms{Latency: result.NewHistogram()}}
	r.Proof.Lost, r.Proof.Notes = 1, []string{"room 1: lost"}
	r.Judge(nil)
	o := &options{out: finished(t, filepath.Join(t.TempDir(), "taken"), "alpha")}
	var out strings.Builder
	if err := o.report(r, &out); exitOf(err) != cli.Violated || !strings.Contains(err.Error(), "--out: ") || strings.Contains(out.String(), "written to") {
		t.Errorf("got %v, %s", err, &out)
	}
}
