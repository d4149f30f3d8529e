package main

import (
	"fmt"
	"strings"

	"dotsconnect/server"
)

// habits holds names that other programs use for settings which we have too, with our name and a value to write.
var habits = map[string]struct{ setting, value string }{
	"port": {"listen", ":PORT"}, "host": {"listen", "HOST:PORT"}, "bind": {"listen", "HOST:PORT"}, "address": {"listen", "HOST:PORT"},
	"redis-url": {"redis", "redis://HOST:PORT"},
}

// advise returns advice about what to write instead of an unknown name. form writes a setting and its value in the syntax of the
// place where the unknown name stands.
func advise(name string, known []string, form func(setting, value string) string) string {
	plain := strings.TrimPrefix(strings.TrimPrefix(spelling(name), "--"), "dots-")
	if h, ok := habits[plain]; ok {
		return "; use " + form(h.setting, h.value)
	}
	return didYouMean(name, known)
}

// explainFlag replaces kong's advice about an unknown flag by ours, if we have some.
func explainFlag(err error, settings map[string]server.Setting) error {
	name, isFlag := strings.CutPrefix(err.Error(), "unknown flag ")
	if !isFlag {
		return err
	}
	name, _, _ = strings.Cut(name, ",")
	known := []string{"--config"}
	for _, s := range settings {
		known = append(known, s.Flag)
	}
	advice := advise(name, known, func(setting, value string) string { return "--" + setting + "=" + value })
	if advice == "" {
		return err
	}
	return fmt.Errorf("unknown flag %s%s", name, advice)
}

// didYouMean proposes the known name that is most similar to an unknown one, if any is similar enough.
func didYouMean(name string, known []string) string {
	best, bestDistance := "", max(2, len(name)/4)+1
	for _, k := range known {
		d := editDistance(spelling(name), spelling(k))
		if d < bestDistance || d == bestDistance && best != "" && k < best {
			best, bestDistance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// spelling removes the differences that people confuse, so that max_age is similar to max-age.
func spelling(name string) string {
	return strings.ToLower(strings.ReplaceAll(name, "_", "-"))
}

// editDistance is the Levenshtein distance of two short texts in bytes: the number of insertions, deletions and changes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
