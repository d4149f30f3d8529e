package runner

import (
	"strconv"
	"strings"
)

// flags returns the flags with which dotsbench run repeats this run, without
// those for the scenario and the thresholds. It also leaves out values that are
// valid for one run only: process ids, and the port that a started server got.
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
	if s.Spin != SpinAuto {
		add("--spin", s.Spin)
	}
	if f := s.Frames.Receive; f != "" && s.Adapter == nil {
		add("--receive", f)
	}
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
