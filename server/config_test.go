package server_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dotsconnect/server"
	"dotsconnect/server/internal/doctable"
)

func TestDefaultIsWhatTheTagsSay(t *testing.T) {
	for _, s := range server.Settings() {
		if got := s.Value(server.Default()); got != s.Default {
			t.Errorf("%s: Default has %q, the tag %q", s.Flag, got, s.Default)
		}
	}
	c := server.Default()
	if err := c.Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}

func TestEverySettingIsNamedByTheSameRules(t *testing.T) {
	for _, s := range server.Settings() {
		if want := "DOTS_" + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_")); s.Env != want {
			t.Errorf("%s: the variable is %q, want %q", s.Name, s.Env, want)
		}
		if s.Group == "" || !strings.HasSuffix(s.Help, ".") {
			t.Errorf("%s: group %q, help %q: want both, and a whole sentence", s.Name, s.Group, s.Help)
		}
	}
}

func TestATenthOfEveryTimeoutIsAllowed(t *testing.T) {
	c := server.Default()
	for _, d := range []*time.Duration{
		&c.MaxAge, &c.HandshakeTimeout, &c.FrameTimeout, &c.CloseTimeout, &c.BacklogTime, &c.StallBudget, &c.DrainTime,
	} {
		*d /= 10
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestTheTokenFile(t *testing.T) {
	for text, want := range map[string]string{"secret\n": "secret", "  secret\r\n\r\n": "secret", "": "", " \n": "", "two words": "", "two\nlines": ""} {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := server.Default()
		c.Admin, c.AdminTokenFile = ":8001", path
		err := c.LoadAdminToken()
		if c.AdminToken != want || (err == nil) != (want != "") {
			t.Errorf("%q: got token %q and error %v, want %q", text, c.AdminToken, err, want)
		}
		if err == nil && c.Validate() != nil {
			t.Errorf("%q: refused after loading: %v", text, c.Validate())
		}
	}
	c := server.Config{AdminTokenFile: "/nowhere"}
	var mistake *server.SettingError
	if err := c.LoadAdminToken(); !errors.As(err, &mistake) || mistake.Name != "admin-token-file" {
		t.Errorf("a missing file gives %v", err)
	}
}

func TestByteSizeReads(t *testing.T) {
	for text, want := range map[string]server.ByteSize{
		"0": 0, "512": 512, "512B": 512, "64KiB": 65536, "64 KiB": 65536, "64kib": 65536, "1MB": 1e6, "1kB": 1000, "1KB": 1000,
		"2MiB": 2 << 20, "3GiB": 3 << 30, "3GB": 3e9, " 7 ": 7, "9223372036854775807": 1<<63 - 1,
	} {
		var got server.ByteSize
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: got %d and %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", " ", "KiB", "-1", "+1", "1.5MiB", "64K", "64M", "1TiB", "1 2", "0x10", "1_000", "64KiBKiB", "64 K iB", "1e3", "٣",
		"9223372036854775808", "9223372036854775807KiB", "99999999999999999999999",
	} {
		got := server.ByteSize(-7)
		if err := got.UnmarshalText([]byte(text)); err == nil || got != -7 {
			t.Errorf("%q: got %d and %v, want an error and no change", text, got, err)
		}
	}
}

func TestByteSizeIsWrittenWithTheLargestUnit(t *testing.T) {
	for size, want := range map[server.ByteSize]string{
		0: "0", 1: "1", 512: "512", 1000: "1kB", 1024: "1KiB", 65536: "64KiB", 1e6: "1MB", 1 << 20: "1MiB", 3 << 30: "3GiB", 65550: "65550",
	} {
		if got := size.String(); got != want {
			t.Errorf("%d: got %q, want %q", int64(size), got, want)
		}
	}
}

func TestByteSizeReadsWhatItWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := server.ByteSize(rapid.Int64Min(0).Draw(t, "size"))
		if unit := rapid.SampledFrom([]server.ByteSize{1, 1000, server.KiB, server.MiB}).Draw(t, "unit"); want <= 1<<62/unit {
			want *= unit
		}
		text, err := want.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var got server.ByteSize
		if err := got.UnmarshalText(text); err != nil || got != want {
			t.Fatalf("%d is written %q and read %d, %v", int64(want), text, int64(got), err)
		}
	})
}

func TestPatienceIsATimeOrForever(t *testing.T) {
	for text, want := range map[string]server.Patience{
		"forever": server.Forever, " Forever ": server.Forever, "0s": 0, "2m": server.Patience(2 * time.Minute), "-1s": server.Patience(-time.Second),
	} {
		var got, again server.Patience
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: got %v and %v, want %v", text, got, err, want)
		}
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%v is read back as %v and %v", got, again, err)
		}
	}
	for text, want := range map[string]string{"5": "has no unit", "": "is not a time", "ever": "is not a time"} {
		got := server.Patience(7)
		if err := got.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || got != 7 {
			t.Errorf("%q: got %v and %v, want %q and no change", text, got, err, want)
		}
	}
}

func TestTimesAreWrittenAsPeopleTypeThem(t *testing.T) {
	maxAge := settingNamed(t, "max-age")
	for d, want := range map[time.Duration]string{
		0: "0s", 200 * time.Millisecond: "200ms", time.Second: "1s", 60 * time.Second: "60s", 90 * time.Second: "90s",
		5 * time.Minute: "5m", 3 * time.Hour: "3h", 90 * time.Minute: "90m", 1500 * time.Millisecond: "1.5s",
	} {
		got := maxAge.Value(server.Config{MaxAge: d})
		if got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
		if back, err := time.ParseDuration(got); err != nil || back != d {
			t.Errorf("%v: %q is read back as %v, %v", d, got, back, err)
		}
	}
}

func settingNamed(t *testing.T, name string) server.Setting {
	t.Helper()
	for _, s := range server.Settings() {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no setting %q", name)
	return server.Setting{}
}

func TestEveryFieldIsASetting(t *testing.T) {
	if got, want := len(server.Settings()), reflect.TypeFor[server.Config]().NumField(); got != want {
		t.Errorf("got %d settings for %d fields", got, want)
	}
	seen := map[string]bool{}
	for _, s := range server.Settings() {
		if s.Name == "" || seen[s.Name] {
			t.Errorf("the name %q is empty or occurs twice", s.Name)
		}
		seen[s.Name] = true
	}
}

// The table of settings must be the output of "dotsd config --markdown", between two markers.
func TestTheTableOfSettingsIsThatOfTheCode(t *testing.T) {
	doctable.Check(t, "SETTINGS.md", "settings", server.SettingsMarkdown())
}
