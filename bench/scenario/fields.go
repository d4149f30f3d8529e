package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dotsconnect/bench/internal/yamlfile"
)

// Field is a setting of a scenario: one line of a scenario file, and one flag.
type Field struct {
	Name  string
	Takes string
	About string
	Set   func(s *Scenario, text string) error
	Get   func(s *Scenario) string
}

// Fields returns all fields, in the order in which they are listed for users.
func Fields() []Field {
	return []Field{
		number("conns", "connections", func(s *Scenario) *int { return &s.Conns }),
		number("rooms", "rooms that share the connections", func(s *Scenario) *int { return &s.Rooms }),
		choice("spread", "how connections are distributed over rooms", func(s *Scenario) *string { return &s.Spread }, Even, Zipf),
		zipfS(),
		rate(),
		number("burst", "messages that are due at the same time; with rate max, messages that each connection keeps in flight", func(s *Scenario) *int { return &s.Burst }),
		choice("arrivals", "times at which messages are due: random, as those of many users are (poisson), or all the same time apart (equidistant)", func(s *Scenario) *string { return &s.Arrivals }, Poisson, Equidistant),
		sizes(),
		span("duration", "duration of the measurement", func(s *Scenario) *spanOf { return &s.Duration }),
		span("warmup", "time before the measurement; its messages are checked, but their latency does not count", func(s *Scenario) *spanOf { return &s.Warmup }),
		span("settle", "longest silence at the end before missing messages count as lost; afterwards dotsbench waits as long again for second copies", func(s *Scenario) *spanOf { return &s.Settle }),
		span("beat", "heartbeat period of every connection, 0 for none", func(s *Scenario) *spanOf { return &s.Beat }),
		choice("order", "order that the proof demands: one order of the whole room (room), or only the order of each sender (sender)", func(s *Scenario) *string { return &s.Order }, OrderRoom, OrderSender),
		choice("echo", "whether the server sends a message back to its sender too; no: the proof demands only the order of each sender", func(s *Scenario) *string { return &s.Echo }, EchoYes, EchoNo),
		seed(),
		rateField("open", "connections opened per second; the time of each connection counts from when the connection was due; max: 256 handshakes at a time",
			"a rate such as 2000/s, or max", func(s *Scenario) *Rate { return &s.Open }),
		number("prelude", "connections opened and reset first, so that one-time work of the server does not count", func(s *Scenario) *int { return &s.Prelude }),
		choice("memory", "time at which memory is read: as soon as all connections are open (quick), or after garbage collections, when it no longer changes (settled)", func(s *Scenario) *string { return &s.Memory }, MemoryQuick, MemorySettled),
		share("slow", "members that stop reading", func(s *Scenario) *float64 { return &s.Slow }),
		share("silent", "members that send no heartbeat, so that the server must close them", func(s *Scenario) *float64 { return &s.Silent }),
		span("max-age", "silence after which the server must close a connection", func(s *Scenario) *spanOf { return &s.MaxAge }),
		rateField("churn", "connections that are opened and reset while the members run", "a rate such as 2000/s",
			func(s *Scenario) *Rate { return &s.Churn }),
		span("restart", "time from the start of the measurement until the server, or the last of several servers, is killed and started again; needs --server-cmd", func(s *Scenario) *spanOf { return &s.Restart }),
		span("away", "how long the killed server stays down", func(s *Scenario) *spanOf { return &s.Away }),
		span("hurt", "time from the start of the measurement until --hurt-cmd is run", func(s *Scenario) *spanOf { return &s.Hurt }),
		span("heal", "time from the start of the measurement until --heal-cmd is run", func(s *Scenario) *spanOf { return &s.Heal }),
		span("grace", "time after --hurt in which messages may be late; the report shows their latency separately", func(s *Scenario) *spanOf { return &s.Grace }),
		choice("across", "with several servers: each room is on one server (rooms), or has members on all servers (members)", func(s *Scenario) *string { return &s.Across },
			AcrossRooms, AcrossMembers),
		choice("publish", "members that send: all members (all), only members on the first server (first), or only members that are not on the last server (others)", func(s *Scenario) *string { return &s.Publish },
			PublishAll, PublishFirst, PublishOthers),
	}
}

// Set sets the field with this name to the value that text has.
func (s *Scenario) Set(name, text string) error {
	all := Fields()
	i := slices.IndexFunc(all, func(f Field) bool { return f.Name == name })
	if i < 0 {
		var names []string
		for _, f := range all {
			names = append(names, f.Name)
		}
		return fmt.Errorf("%s: unknown field%s write one of about, %s", name, yamlfile.Guess(name, names), strings.Join(names, ", "))
	}
	if err := all[i].Set(s, text); err != nil {
		return fmt.Errorf("%s: %w; write %s", name, err, all[i].Takes)
	}
	return nil
}

func number(name, about string, at func(*Scenario) *int) Field {
	return Field{name, "a number such as 500 or 10k", about,
		func(s *Scenario, text string) (err error) { *at(s), err = ParseCount(text); return err },
		func(s *Scenario) string { return fmt.Sprint(*at(s)) }}
}

func span(name, about string, at func(*Scenario) *spanOf) Field {
	return Field{name, "a time such as 30s or 500ms", about,
		func(s *Scenario, text string) (err error) { *at(s), err = parseSpan(text); return err },
		func(s *Scenario) string { return at(s).String() }}
}

func choice(name, about string, at func(*Scenario) *string, of ...string) Field {
	return Field{name, strings.Join(of, " or "), about,
		func(s *Scenario, text string) error {
			if !slices.Contains(of, text) {
				return fmt.Errorf("%q is unknown", text)
			}
			*at(s) = text
			return nil
		},
		func(s *Scenario) string { return *at(s) }}
}

func zipfS() Field {
	return Field{"zipf-s", "a number from 0.5 to 3", "exponent s of spread zipf: the share of room r is proportional to 1/r^s",
		func(s *Scenario, text string) (err error) { s.ZipfS, err = parseExponent(text); return err },
		func(s *Scenario) string { return fmt.Sprint(s.ZipfS) }}
}

func rate() Field {
	return rateField("rate", "messages per second of all connections together",
		"a rate such as 500/s, 0/s for heartbeats only, or max (closed loop)", func(s *Scenario) *Rate { return &s.Rate })
}

func rateField(name, about, takes string, at func(*Scenario) *Rate) Field {
	return Field{name, takes, about,
		func(s *Scenario, text string) (err error) { *at(s), err = ParseRate(text); return err },
		func(s *Scenario) string { return at(s).String() }}
}

func share(name, about string, at func(*Scenario) *float64) Field {
	return Field{name, "a share such as 1%", about,
		func(s *Scenario, text string) (err error) { *at(s), err = parseShare(text); return err },
		func(s *Scenario) string { return strconv.FormatFloat(100**at(s), 'g', 6, 64) + "%" }}
}

func sizes() Field {
	return Field{"size", "bytes such as 128, 4k, or several: 64,1k,16k",
		"bytes of a whole message, stamp and JSON included",
		func(s *Scenario, text string) (err error) { s.Sizes, err = parseSizes(text); return err },
		func(s *Scenario) string { return joinSizes(s.Sizes) }}
}

func seed() Field {
	return Field{"seed", "a whole number", "seed of all choices: the same seed gives the same senders in the same order",
		func(s *Scenario, text string) (err error) { s.Seed, err = parseSeed(text); return err },
		func(s *Scenario) string { return fmt.Sprint(s.Seed) }}
}
