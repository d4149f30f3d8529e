package report

import (
	"io"

	"dotsconnect/bench/result"
)

// Files are the files that this package adds to a folder of results, besides
// those of package result.
func Files(r *result.Result) []result.File {
	return []result.File{
		{Name: "report.html", Write: func(w io.Writer) error { return HTML(w, r) }},
		{Name: "metrics.prom", Write: func(w io.Writer) error { return Prometheus(w, r) }},
	}
}
