package report

import (
	"io"

	"dotsconnect/bench/internal/folder"
	"dotsconnect/bench/result"
)

// Files returns the files that this package adds to the folder of a run.
// Package result writes the other files.
func Files(r *result.Result) []folder.File {
	return []folder.File{
		{Name: "report.html", Write: func(w io.Writer) error { return HTML(w, r) }},
		{Name: "metrics.prom", Write: func(w io.Writer) error { return Prometheus(w, r) }},
	}
}
