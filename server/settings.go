package server

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// A Setting is one field of Config in all forms that a user sees.
type Setting struct {
	Name    string // in a configuration file: "max-age"
	Flag    string // "--max-age"
	Env     string // "DOTS_MAX_AGE"
	Default string // in the form that the setting takes: "60s"
	Takes   string // description of its values: "a time with its unit, such as 60s, 500ms or 2m"
	Group   string
	Help    string
	Secret  bool // its value must not be printed
	Reload  bool // a running server can change it

	field int
}

// Settings lists the fields of Config in the order of their declaration.
func Settings() []Setting {
	t := reflect.TypeFor[Config]()
	settings := make([]Setting, t.NumField())
	for i := range settings {
		f := t.Field(i)
		settings[i] = Setting{
			Name:    f.Tag.Get("name"),
			Flag:    "--" + f.Tag.Get("name"),
			Env:     f.Tag.Get("env"),
			Default: f.Tag.Get("default"),
			Takes:   takes(f.Type),
			Group:   f.Tag.Get("group"),
			Help:    f.Tag.Get("help"),
			Secret:  f.Tag.Get("secret") == "true",
			Reload:  f.Tag.Get("reload") == "true",
			field:   i,
		}
	}
	return settings
}

// Get returns the field of c that belongs to the setting.
func (s Setting) Get(c Config) any { return reflect.ValueOf(c).Field(s.field).Interface() }

// Set parses the text into the field of c that belongs to the setting. An error says only what is wrong with the text.
func (s Setting) Set(c *Config, text string) error {
	return Parse(text, reflect.ValueOf(c).Elem().Field(s.field))
}

// Parse parses a text into a field of Config; it does not handle lists. An error says only what is wrong with the text: the
// caller knows the setting, the place of the text and the values that the setting takes.
func Parse(text string, field reflect.Value) error {
	switch to := field.Addr().Interface().(type) {
	case *time.Duration:
		d, err := ParseDuration(text)
		if err == nil {
			*to = d
		}
		return err
	case encoding.TextUnmarshaler:
		return to.UnmarshalText([]byte(text))
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		*to = n
	case *bool:
		on, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		*to = on
	case *string:
		*to = text
	default:
		return fmt.Errorf("%v cannot be parsed from text", field.Type())
	}
	return nil
}

// copy copies the field that belongs to the setting from src to dst.
func (s Setting) copy(dst, src *Config) {
	reflect.ValueOf(dst).Elem().Field(s.field).Set(reflect.ValueOf(src).Elem().Field(s.field))
}

// Value returns the setting's value in c as a text that Set can read.
func (s Setting) Value(c Config) string { return text(s.Get(c)) }

// SettingsMarkdown returns the table of all settings for SETTINGS.md.
func SettingsMarkdown() string {
	var b strings.Builder
	b.WriteString("| flag | environment | default | SIGHUP | meaning |\n|---|---|---|---|---|\n")
	for _, s := range Settings() {
		value := "empty"
		if s.Default != "" {
			value = "`" + s.Default + "`"
		}
		changes := "restart"
		if s.Reload {
			changes = "taken"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s |\n", s.Flag, s.Env, value, changes, strings.ReplaceAll(s.Help, "|", `\|`))
	}
	return b.String()
}

func takes(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a time with its unit, such as 60s, 500ms or 2m"
	case reflect.TypeFor[ByteSize]():
		return "a size such as 64KiB, 1MB or 512"
	case reflect.TypeFor[Patience]():
		return "forever, or a time with its unit, such as 60s, 500ms or 2m"
	case reflect.TypeFor[int]():
		return "a whole number, such as 100"
	case reflect.TypeFor[bool]():
		return "true or false"
	case reflect.TypeFor[[]string]():
		return "a list, such as [https://a.example.org, https://b.example.org]"
	default:
		return "a text"
	}
}

func text(value any) string {
	switch v := value.(type) {
	case time.Duration:
		return formatDuration(v)
	case encoding.TextMarshaler:
		b, _ := v.MarshalText() // the MarshalText methods of our types never fail
		return string(b)
	case []string:
		return strings.Join(v, ",")
	default:
		return fmt.Sprint(v)
	}
}
