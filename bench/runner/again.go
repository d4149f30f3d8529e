package runner

import (
	"strconv"
	"strings"
)

// flags are the flags of dotsbench run that make the same run again, beside those
// of the scenario and the thresholds. What was there for the one run is not among
// them: the free port that a server got, and the ids of processes.
func (s *Spec) flags() []string {
	var flags []string
	add := func(name, value string) {
		if value != "" {
			flags = append(flags, name, value)
		}
	}
	several := func(n int) string {
		if n > 1 {
			return strconv.Itoa(n)
		}
		return ""
	}
	url := s.URL
	if url == "" && s.ServerCmd == "" && s.Adapter == nil {
		url = DefaultURL
	}
	add("--url", url)
	add("--server-cmd", s.ServerCmd)
	if a := s.Adapter; a != nil {
		add("--adapter", a.File+":"+a.Name)
	}
	add("--servers", several(s.Servers))
	add("--admin", s.Admin)
	add("--hurt-cmd", s.HurtCmd)
	add("--heal-cmd", s.HealCmd)
	if s.Pin {
		flags = append(flags, "--pin")
	}
	add("--procs", several(s.Procs))
	add("--workers", strings.Join(s.Workers, ","))
	if s.Source.IsValid() {
		add("--source", s.Source.String())
	}
	return flags
}
