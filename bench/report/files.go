package report

import (
	"io"

	"dotsconnect/bench/result"
)

// Files are what a folder of results gets from this package, beside those that
// package result writes itself.
func Files(r *result.Result) []result.File {
	return []result.File{
		{Name: "report.html", Write: func(w io.Writer) error { return HTML(w, r) }},
		{Name: "metrics.prom", Write: func(w io.Writer) error { return Prometheus(w, r) }},
	}
}
