package golden_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dotsconnect/server/internal/golden"
)

const dir = "../../testdata/seed-golden"

func loadValues(t *testing.T) []golden.Value {
	t.Helper()
	rows, err := golden.LoadValues(filepath.Join(dir, "values.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestCutMessagesAreWholeAgainAndMatchWhatTheSenderReceived(t *testing.T) {
	rows := loadValues(t)
	if len(rows) != 103 {
		t.Fatalf("got %d rows, want 103", len(rows))
	}
	long := 0
	for _, row := range rows {
		if strings.Contains(row.Sent, "...(") {
			t.Errorf("%.60q is still cut", row.Sent)
		}
		if strings.HasPrefix(row.Sent, golden.Nested(100)[:100]) {
			long++
			if len(row.ToSender) > 0 && !golden.SameValue(row.Sent, row.ToSender[0]) {
				t.Errorf("%.60q is not what the sender received", row.Sent)
			}
		}
	}
	if long != 9 {
		t.Errorf("got %d long messages, want 9", long)
	}
}

func TestEveryDifferenceIsOneAndIsInTheTranscripts(t *testing.T) {
	rows := loadValues(t)
	for _, difference := range golden.Differences {
		for _, sent := range difference.Sent {
			i := slices.IndexFunc(rows, func(row golden.Value) bool { return row.Sent == sent })
			if i < 0 {
				t.Errorf("%.60q is in no transcript", sent)
				continue
			}
			sameOutcome := rows[i].Original() == difference.Ours
			if sameOutcome && golden.SameValue(sent, rows[i].ToPeer[0]) {
				t.Errorf("%.60q: the original does the same: %s", sent, difference.Ours)
			}
		}
	}
}

func TestExpectationsFollowTheOriginalUnlessListed(t *testing.T) {
	for _, row := range loadValues(t) {
		outcome, want, difference := row.Expect()
		if difference == nil && outcome != row.Original() {
			t.Errorf("%.60q: got %s, want %s", row.Sent, outcome, row.Original())
		}
		if outcome == golden.Broadcast && !golden.SameValue(want, want) {
			t.Errorf("%.60q: the expected frame %.60q is not JSON", row.Sent, want)
		}
	}
	if got := (golden.Value{}).Original(); got != golden.Silent {
		t.Errorf("a message without any effect is %s, want silent", got)
	}
}

func TestEventsOfAllScenesLoad(t *testing.T) {
	for _, file := range []string{"basic.jsonl", "order.jsonl"} {
		events, err := golden.LoadEvents(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if first, last := events[0].Kind, events[len(events)-1].Kind; first != "case" || last != "end" {
			t.Errorf("%s begins with %q and ends with %q, want case and end", file, first, last)
		}
	}
}

func TestBrokenFilesAreNamedWithTheirRow(t *testing.T) {
	for name, text := range map[string]string{
		"not JSON":          "{}\nnope\n",
		"cut without size":  `{"sent":"{\"message\":[[[...(many bytes)"}`,
		"cut, but no array": `{"sent":"{\"message\":\"aaa...(212 bytes)"}`,
		"cut, odd size":     `{"sent":"{\"message\":[[[...(213 bytes)"}`,
	} {
		path := filepath.Join(t.TempDir(), "values.jsonl")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := golden.LoadValues(path); err == nil || !strings.Contains(err.Error(), "row ") {
			t.Errorf("%s: got error %v, want one that names the row", name, err)
		}
	}
	if _, err := golden.LoadValues(filepath.Join(t.TempDir(), "missing")); !os.IsNotExist(err) {
		t.Errorf("a missing file: got error %v", err)
	}
}

func TestSameValue(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":[2]}`, ` { "b" : [2.0] , "a" : 1 } `, true},
		{`"h\u00e9 \/"`, `"hé /"`, true},
		{`{"a":1,"a":2}`, `{"a":2}`, true},
		{`1e2`, `100.0`, true},
		{`3.141592653589793238462643`, `3.141592653589793`, true},
		{`1E400`, `1E400`, true},
		{`-0`, `0`, true},
		{`-0.0`, `0.0`, false},
		{`9007199254740993`, `9007199254740992`, false},
		{`1.5`, `1E400`, false},
		{`1E400`, `1.5`, false},
		{`1`, `"1"`, false},
		{`[1]`, `[1,2]`, false},
		{`[1]`, `[2]`, false},
		{`[1]`, `{"0":1}`, false},
		{`{"a":1}`, `{"b":1}`, false},
		{`{"a":1}`, `{"a":2}`, false},
		{`{}`, `[]`, false},
		{`null`, `false`, false},
		{`NaN`, `NaN`, false},
		{`1`, `1 2`, false},
	} {
		if got := golden.SameValue(test.a, test.b); got != test.want {
			t.Errorf("SameValue(%s, %s) = %v, want %v", test.a, test.b, got, test.want)
		}
	}
}
