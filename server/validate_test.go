package server_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dotsconnect/server"
)

// validateRows has one row for each mistake: a change of the default settings, and the settings that the error must name.
// cmd/dotsd/testdata has the texts of the errors.
var validateRows = map[string]struct {
	change func(*server.Config)
	want   []string
}{
	"nothing":               {func(*server.Config) {}, nil},
	"no port":               {func(c *server.Config) { c.Listen = "localhost" }, []string{"listen"}},
	"port too large":        {func(c *server.Config) { c.Listen = ":65536" }, []string{"listen"}},
	"named port":            {func(c *server.Config) { c.Listen = ":http" }, []string{"listen"}},
	"free port":             {func(c *server.Config) { c.Listen, c.Admin = ":0", "127.0.0.1:0" }, nil},
	"admin off":             {func(c *server.Config) { c.Admin = "" }, nil},
	"admin malformed":       {func(c *server.Config) { c.Admin = "8001" }, []string{"admin"}},
	"admin on localhost":    {func(c *server.Config) { c.Admin = "localhost:8001" }, nil},
	"admin on IPv6":         {func(c *server.Config) { c.Admin = "[::1]:8001" }, nil},
	"admin on 127/8":        {func(c *server.Config) { c.Admin = "127.9.9.9:8001" }, nil},
	"admin for all":         {func(c *server.Config) { c.Admin = ":8001" }, []string{"admin"}},
	"admin by name":         {func(c *server.Config) { c.Admin = "127.0.0.1.example.org:8001" }, []string{"admin"}},
	"admin for all, token":  {func(c *server.Config) { c.Admin, c.AdminToken = ":8001", "abc-._~+/=" }, nil},
	"admin for all, file":   {func(c *server.Config) { c.Admin, c.AdminTokenFile = ":8001", "token" }, nil},
	"token and file":        {func(c *server.Config) { c.AdminToken, c.AdminTokenFile = "a", "b" }, []string{"admin-token-file"}},
	"token, admin off":      {func(c *server.Config) { c.Admin, c.AdminToken = "", "a" }, []string{"admin-token"}},
	"token file, admin off": {func(c *server.Config) { c.Admin, c.AdminTokenFile = "", "a" }, []string{"admin-token"}},
	"subprotocol":           {func(c *server.Config) { c.Subprotocols = []string{"fine", "a b", ""} }, []string{"subprotocols", "subprotocols"}},
	"subprotocol of v3":     {func(c *server.Config) { c.Subprotocols = []string{"dots.v3", "Dots.v3", "dots.v10", "dots.vip"} }, []string{"subprotocols", "subprotocols"}},
	"origins": {func(c *server.Config) {
		c.Origins = []string{"*", "null", "https://a.example.org", "https://*.example.org:8443", "https://b/x", "https://b/", "*.10.0.0.1", ""}
	}, []string{"origins", "origins", "origins", "origins"}},
	"head":      {func(c *server.Config) { c.MaxHeader = 65 * 1024 }, []string{"max-header"}},
	"publish":   {func(c *server.Config) { c.Publish = "on" }, []string{"publish"}},
	"chat life": {func(c *server.Config) { c.ChatLife = "pings" }, []string{"chat-life"}},
	"alone, all of Redis": {func(c *server.Config) {
		c.RedisPrefix, c.Lanes, c.RedisBatch, c.RedisHold, c.RedisDown = "x", 3, 1, 0, otherPolicy
		c.RedisReady, c.OnGap, c.RedisWait, c.RedisUpgrade = 2*time.Second, "close", 0, time.Hour
	}, []string{"redis-prefix", "lanes", "redis-batch", "redis-hold", "redis-wait", "redis-down", "redis-ready-after", "redis-upgrade-after", "on-gap"}},
	"Redis, all of it": {func(c *server.Config) {
		c.Redis, c.RedisPrefix, c.Lanes, c.RedisDown = "redis://a", "x", 3, otherPolicy
	}, nil},
	"token with a space":    {func(c *server.Config) { c.AdminToken = "a b" }, []string{"admin-token"}},
	"token with a newline":  {func(c *server.Config) { c.AdminToken = "ab\r\n" }, []string{"admin-token"}},
	"one address twice":     {func(c *server.Config) { c.Listen = "127.0.0.1:8001" }, []string{"admin"}},
	"one port, all hosts":   {func(c *server.Config) { c.Listen = "[::]:8001" }, []string{"admin"}},
	"one port, other hosts": {func(c *server.Config) { c.Listen = "192.0.2.1:8001" }, nil},
	"max-age too short":     {func(c *server.Config) { c.MaxAge = 199 * time.Millisecond }, []string{"max-age"}},
	"max-age shortest":      {func(c *server.Config) { c.MaxAge = 200 * time.Millisecond }, nil},
	"loops":                 {func(c *server.Config) { c.Loops = 1025 }, []string{"loops"}},
	"most loops":            {func(c *server.Config) { c.Loops = 64 }, nil},
	"largest message":       {func(c *server.Config) { c.MaxMessage, c.HardBacklog, c.InboxLimit = 16<<20, 17<<20, 17<<20 }, nil},
	"message too large":     {func(c *server.Config) { c.MaxMessage = 16<<20 + 1 }, []string{"max-message"}},
	"message of nothing":    {func(c *server.Config) { c.MaxMessage = 0 }, []string{"max-message"}},
	"hard limit just holds": {func(c *server.Config) { c.HardBacklog = c.MaxMessage + 14 }, nil},
	"hard limit too small":  {func(c *server.Config) { c.HardBacklog = c.MaxMessage + 13 }, []string{"backlog-hard"}},
	"soft above hard":       {func(c *server.Config) { c.SoftBacklog = c.HardBacklog + 1 }, []string{"backlog-soft"}},
	"total below hard":      {func(c *server.Config) { c.BacklogTotal = c.HardBacklog - 1 }, []string{"backlog-total"}},
	"inbox too small":       {func(c *server.Config) { c.InboxLimit = c.MaxMessage }, []string{"inbox-limit"}},
	"stall over its window": {func(c *server.Config) { c.StallBudget = 11 * time.Second }, []string{"stall-budget"}},
	"no stall":              {func(c *server.Config) { c.StallBudget = 0 }, nil},
	"kernel default":        {func(c *server.Config) { c.UnsentLimit = 0 }, nil},
	"negative drain":        {func(c *server.Config) { c.DrainDelay, c.DrainTime = -1, -1 }, []string{"drain-delay", "drain-time"}},
	"prefix with braces":    {func(c *server.Config) { c.RedisPrefix = "{a}" }, []string{"redis-prefix"}},
	"no prefix":             {func(c *server.Config) { c.RedisPrefix = "" }, []string{"redis-prefix"}},
	"lanes":                 {func(c *server.Config) { c.Lanes = -1 }, []string{"lanes"}},
	"batch":                 {func(c *server.Config) { c.RedisBatch = 4097 }, []string{"redis-batch"}},
	"hold":                  {func(c *server.Config) { c.RedisHold = -1 }, []string{"redis-hold"}},
	"wait, negative":        {func(c *server.Config) { c.RedisWait = -1 }, []string{"redis-wait"}},
	"wait, a week":          {func(c *server.Config) { c.RedisWait = server.Patience(7 * 24 * time.Hour) }, []string{"redis-wait"}},
	"down":                  {func(c *server.Config) { c.RedisDown = "wait" }, []string{"redis-down"}},
	"ready after":           {func(c *server.Config) { c.RedisReady = 2*time.Second - 1 }, []string{"redis-ready-after"}},
	"upgrade after":         {func(c *server.Config) { c.RedisUpgrade = 14 * time.Second }, []string{"redis-upgrade-after"}},
	"on a gap":              {func(c *server.Config) { c.OnGap = "tell" }, []string{"on-gap"}},
	"no fragments":          {func(c *server.Config) { c.MaxFragments = 0 }, []string{"max-fragments"}},
	"too many fragments":    {func(c *server.Config) { c.MaxFragments = 1<<20 + 1 }, []string{"max-fragments"}},
	"counts too large": {func(c *server.Config) {
		c.MaxConns, c.RoomMembers, c.MaxRooms, c.RoomsPerSocket = 1<<30+1, 1<<30+1, 1<<30+1, 0
	}, []string{"max-conns", "room-members", "max-rooms", "rooms-per-socket"}},
	"largest counts": {func(c *server.Config) {
		c.MaxConns, c.RoomMembers, c.MaxRooms, c.RoomsPerSocket = 1<<30, 1<<30, 1<<30, 1<<30
	}, nil},
	"no control frames": {func(c *server.Config) { c.ControlRate, c.ControlBurst = 0, 0 }, []string{"control-rate", "control-burst"}},
	"timeouts too short": {func(c *server.Config) {
		c.HandshakeTimeout, c.FrameTimeout, c.CloseTimeout = 99*time.Millisecond, 99*time.Millisecond, 99*time.Millisecond
	}, []string{"handshake-timeout", "frame-timeout", "close-timeout"}},
	"timeouts too long": {func(c *server.Config) {
		c.HandshakeTimeout, c.FrameTimeout, c.CloseTimeout = 25*time.Hour, 25*time.Hour, 25*time.Hour
	}, []string{"handshake-timeout", "frame-timeout", "close-timeout"}},
	"backlog time":      {func(c *server.Config) { c.BacklogTime = 99 * time.Millisecond }, []string{"backlog-time"}},
	"unsent bytes":      {func(c *server.Config) { c.UnsentLimit = server.GiB + 1 }, []string{"unsent-limit"}},
	"history too large": {func(c *server.Config) { c.HistoryBytes, c.HistoryAge = 1024*server.GiB+1, 25*time.Hour }, []string{"history-bytes", "history-age"}},
	"history too small": {func(c *server.Config) { c.HistoryBytes = 16*server.MiB - 1 }, []string{"history-bytes"}},
	"smallest history":  {func(c *server.Config) { c.HistoryBytes, c.HistoryAge = 16*server.MiB, 0 }, nil},
	"no history":        {func(c *server.Config) { c.HistoryBytes = 0 }, nil},
	"log":               {func(c *server.Config) { c.LogFormat, c.LogLevel = "XML", "" }, []string{"log-format", "log-level"}},
}

func TestValidateNamesTheSetting(t *testing.T) {
	for name, row := range validateRows {
		c := server.Default()
		row.change(&c)
		if diff := cmp.Diff(row.want, settingsIn(c.Validate())); diff != "" {
			t.Errorf("%s (- want, + got):\n%s", name, diff)
		}
	}
}

// neverRefused are the settings that Validate does not refuse, with the reason.
var neverRefused = map[string]string{
	"public-readyz": "both values of a bool are right",
	"redis":         "the bridge parses the address",
}

func TestEachSettingHasARowOfAWrongValue(t *testing.T) {
	refused := map[string]bool{}
	for _, row := range validateRows {
		for _, name := range row.want {
			refused[name] = true
		}
	}
	for _, s := range server.Settings() {
		switch reason, exempt := neverRefused[s.Name]; {
		case !refused[s.Name] && !exempt:
			t.Errorf("%s has no row in validateRows: add one with a value that Validate refuses; if each value is right, give the reason in neverRefused", s.Flag)
		case refused[s.Name] && exempt:
			t.Errorf("%s has a row in validateRows, so it must not be in neverRefused (%s)", s.Flag, reason)
		}
	}
}

// settingsIn returns the names of the settings that an error of Validate is about.
func settingsIn(err error) (names []string) {
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // Validate promises an errors.Join
	if !ok {
		return nil
	}
	for _, e := range joined.Unwrap() {
		var mistake *server.SettingError
		if errors.As(e, &mistake) {
			names = append(names, mistake.Name)
		}
	}
	return names
}

// otherPolicy is a value of --redis-down that is not the default.
const otherPolicy = "local"

// The text of an error must name the wrong entry and the expected form.
func TestValidateSaysWhatIsWanted(t *testing.T) {
	for want, change := range map[string]func(*server.Config){
		`--listen: ":80000" is not an address: write host:port with a port of at most 65535`:                                func(c *server.Config) { c.Listen = ":80000" },
		`--admin: "127.0.0.1:65536" is not an address: write host:port with a port of at most 65535`:                        func(c *server.Config) { c.Admin = "127.0.0.1:65536" },
		`--listen: "8000" is not an address: write host:port, such as :8000 or 127.0.0.1:8000`:                              func(c *server.Config) { c.Listen = "8000" },
		`--listen: ":-1" is not an address: write host:port, such as :8000 or 127.0.0.1:8000`:                               func(c *server.Config) { c.Listen = ":-1" },
		`--origins: "https://b/x" is not an origin pattern: write "https://b"; an origin has no path, not even a slash`:     func(c *server.Config) { c.Origins = []string{"https://b/x"} },
		`--subprotocols: "dots.v3" is reserved for a version of the protocol that this server does not speak; leave it out`: func(c *server.Config) { c.Subprotocols = []string{"dots.v3"} },
	} {
		c := server.Default()
		change(&c)
		if err := c.Validate(); err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

// The zero Config must be refused. If the zero value of a setting is also its default, no error may name this setting.
func TestTheZeroConfigIsRefused(t *testing.T) {
	var zero server.Config
	mistakes := settingsIn(zero.Validate())
	if len(mistakes) == 0 {
		t.Fatal("the zero Config is taken")
	}
	for _, name := range mistakes {
		if s := settingNamed(t, name); s.Value(zero) == s.Default {
			t.Errorf("%s is refused with its default", s.Flag)
		}
	}
}

// Every number must have a range: the test sets each number to -1, and Validate must refuse this value.
func TestEachNumberHasARange(t *testing.T) {
	fields := reflect.TypeFor[server.Config]()
	for i := range fields.NumField() {
		cfg := server.Default()
		v := reflect.ValueOf(&cfg).Elem().Field(i)
		if !v.CanInt() {
			continue
		}
		v.SetInt(-1)
		var wrong *server.SettingError
		if name := fields.Field(i).Tag.Get("name"); !errors.As(cfg.Validate(), &wrong) || wrong.Name != name {
			t.Errorf("--%s takes %v: name its range in validate.go", name, v)
		}
	}
}
