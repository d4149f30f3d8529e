package scenario

import (
	"fmt"
	"path/filepath"
	"strings"

	"dotsconnect/bench/internal/yamlfile"
)

// Parse reads a scenario file: one YAML mapping from the names of fields to
// plain values.
func Parse(file string, text []byte) (Scenario, error) {
	s := Default()
	s.Name = strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	fields, err := yamlfile.Parse(file, text)
	if err != nil {
		return s, err
	}
	for _, f := range fields {
		value, err := f.Text()
		if err != nil {
			return s, err
		}
		switch f.Name {
		case "about":
			s.About = value
		case "needs":
			s.Needs = value
		default:
			if err := s.Set(f.Name, value); err != nil {
				return s, f.Fail("%w", err)
			}
		}
	}
	if err := s.Validate(); err != nil {
		return s, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}
