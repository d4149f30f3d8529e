package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"dotsconnect/server"
)

// show answers "dotsd config". It never prints a secret. The table leaves secrets out. In the file the line of a secret is a
// comment: a mask in place of the secret would later be read as the secret.
func (inv *invocation) show(w io.Writer) error {
	switch {
	case inv.cli.Config.Markdown:
		_, err := io.WriteString(w, server.SettingsMarkdown())
		return err
	case inv.cli.Config.YAML:
		_, err := io.WriteString(w, inv.yaml())
		return err
	default:
		return inv.table(w)
	}
}

func (inv *invocation) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "SETTING\tVALUE\tSOURCE")
	for _, s := range server.Settings() {
		value := s.Value(inv.config)
		switch {
		case value == "":
			value = `""`
		case s.Secret:
			value = "********"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", s.Name, value, inv.sources.of(s.Name))
	}
	return t.Flush()
}

const yamlHead = `# Configuration of dotsd: dotsd --config=FILE
# Keys are the names of the flags. Keys that you leave out have their defaults; flags and variables override this file.
`

func (inv *invocation) yaml() string {
	var b strings.Builder
	b.WriteString(yamlHead)
	group := ""
	for _, s := range server.Settings() {
		if s.Group != group {
			group = s.Group
			fmt.Fprintf(&b, "\n# --- %s ---\n", group)
		}
		b.WriteString("\n")
		for _, line := range wrap(s.Help, 100) {
			b.WriteString("# " + line + "\n")
		}
		if s.Secret && s.Value(inv.config) != "" {
			fmt.Fprintf(&b, "# %s: (from %s, not shown)\n", s.Name, inv.sources.of(s.Name))
			continue
		}
		fmt.Fprintf(&b, "%s: %s\n", s.Name, yamlValue(s, inv.config))
	}
	return b.String()
}

// yamlValue returns a value in YAML. It quotes texts as Go does, which is also valid in YAML, and does not quote numbers, sizes
// and times.
func yamlValue(s server.Setting, c server.Config) string {
	switch v := s.Get(c).(type) {
	case string:
		return strconv.Quote(v)
	case []string:
		quoted := make([]string, len(v))
		for i, text := range v {
			quoted[i] = strconv.Quote(text)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	default:
		return s.Value(c)
	}
}

// wrap breaks a text between its words into lines of at most width bytes.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}
