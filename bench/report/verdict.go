package report

import (
	"cmp"
	"fmt"
	"strings"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/result"
)

// verdict is the banner at the top of a run: a word or two, a sentence, and the
// reasons.
type verdict struct {
	Class    string // pass, missed, invalid, violated or died; chooses the colour and the icon
	Word     string
	Sentence string
	Reasons  []reason
}

// reason is a heading and the lines below it.
type reason struct {
	Heading string
	Lines   []string
}

const notesShown = 8

// stillTrue says which figures of an INVALID run count.
func stillTrue(r *result.Result) string {
	if r.Busy != "" {
		return "Its rates, its latencies and the server's CPU time do not describe the server. The proof of delivery still counts."
	}
	return "Its rates and latencies do not describe the server. The proof of delivery and the server's CPU per delivery still count."
}

// judge returns the verdict for the exit code of a result. Its reasons list
// everything that went wrong, and not only the cause of this exit code.
func judge(r *result.Result) verdict {
	v := verdict{Reasons: reasons(r)}
	switch r.Exit {
	case cli.OK:
		v.Class, v.Word, v.Sentence = "pass", "Pass", passed(r)
	case cli.Missed:
		v.Class, v.Word = "missed", "Threshold missed"
		v.Sentence = "The run is valid and nothing was lost, but a threshold was missed."
	case cli.Invalid:
		v.Class, v.Word, v.Sentence = "invalid", "Invalid", "The generator or the machine was the bottleneck. "+stillTrue(r)
		if len(r.Invalid) == 0 {
			v.Word, v.Sentence = "Not judged", "Nothing was lost, but a threshold cannot be judged by this run."
		}
		if len(r.NotMeasured) > 0 {
			v.Sentence = "The generator could not make all its measurements. " + stillTrue(r)
		}
	case cli.Violated:
		v.Class, v.Word, v.Sentence = "violated", "Delivery violation", violations(r)
	case cli.ServerDied:
		v.Class, v.Word, v.Sentence = "died", "Server died", "The server ended during the run. The figures are from the time before its end."
	default:
		v.Class, v.Word, v.Sentence = "invalid", "No verdict", fmt.Sprintf("The run ended with the unknown code %d.", r.Exit)
	}
	return v
}

func passed(r *result.Result) string {
	var parts []string
	if p := r.Proof; p.Expected > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s deliveries arrived exactly once and in order", count(p.Received), count(p.Expected)))
	}
	if k := r.Kicks; k != nil {
		parts = append(parts, fmt.Sprintf("%s of %s silent connections were closed", count(k.Kicked), count(k.Silent)))
	}
	if n := len(r.Thresholds); n > 0 {
		parts = append(parts, several(n, "threshold", "thresholds")+" met")
	}
	if len(parts) == 0 {
		return "There were no thresholds, and nothing went wrong."
	}
	return strings.Join(parts, "; ") + "."
}

func violations(r *result.Result) string {
	var parts []string
	c := r.Proof.Counts
	for _, kind := range []struct {
		n    int64
		name string
	}{{c.Lost, "lost"}, {c.Doubled, "doubled"}, {c.Reordered, "reordered"}, {c.Foreign, "foreign"}, {c.Damaged, "damaged"}} {
		if kind.n > 0 {
			parts = append(parts, count(kind.n)+" "+kind.name)
		}
	}
	if n := len(r.Broken); n > 0 {
		parts = append(parts, several(n, "other promise", "other promises")+" broken")
	}
	if len(parts) == 0 {
		return "The server ended connections that should have stayed open."
	}
	return strings.Join(parts, ", ") + "."
}

func reasons(r *result.Result) []reason {
	var all []reason
	add := func(heading string, lines []string) {
		if len(lines) > 0 {
			all = append(all, reason{heading, lines})
		}
	}
	if r.Died != "" {
		add("How the server died", []string{r.Died})
	}
	notes := r.Proof.Notes
	heading := "Violations"
	if len(notes) > notesShown {
		heading, notes = fmt.Sprintf("The first %d violations", notesShown), notes[:notesShown]
	}
	add(heading, notes)
	add("Promises that were broken", r.Broken[:min(len(r.Broken), notesShown)])
	if r.Ended != "" {
		add("Connections that the server ended", []string{r.Ended})
	}
	add("Why the run is invalid", r.Invalid)
	var missed, open []string
	for _, o := range r.Thresholds {
		switch {
		case o.NotJudged != "":
			open = append(open, o.Threshold+": "+o.NotJudged)
		case !o.Met:
			missed = append(missed, o.Threshold+": "+got(o))
		}
	}
	add("Thresholds missed", missed)
	add("Not judged", append(open, r.NotJudged...))
	return all
}

// got formats the value that a threshold was compared with.
func got(o result.Outcome) string { return cmp.Or(o.Why, o.Value()) }

// valid reports whether the rates and latencies of a run count.
func valid(r *result.Result) bool { return len(r.Invalid) == 0 }
