package loop

import (
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Transcripts are small scenes of the core as text, in testdata. Lines that begin with "> " are commands, and the lines below
// each command are the reactions of the core. After each command the loops run until they have nothing more to do, unless the
// command stops earlier; the ledger is checked after each turn. "go test ./loop -run Transcripts -update" writes the present
// reactions into the files: read the difference before you keep it.
//
//	> node loops=2 max-age=3s       settings; "loops", "soft", "hard", "max-age", "stall-budget"
//	> join ann lobby [1]            ann's connection enters the room, on loop 0 or the given one
//	> say ann hi "hi there" m*600   these messages arrive from ann and are read; m*600 is 600 times an m, H a heartbeat, and
//	                                X a broken rule
//	> arrive ann hi                 the message arrives in ann's socket; nobody reads it yet
//	> read ann, > turn 1            one step of one loop, and no more
//	> publish lobby hi              a message from no connection, as of the API
//	> takes ann 0|100|all           how many bytes the kernel takes for ann from now on
//	> fin ann, > reset ann          ann's peer has closed its side; or its connection is broken
//	> drain                         the node ends every connection
//	> wait 3s, > late 3s            time passes, in ticks of 100 ms; or at once, while the loops were busy elsewhere
//	> rest, > show                  the loops run until they have nothing more to do; members and the ledger as they are now
var update = flag.Bool("update", false, "write the transcripts in testdata as the core plays them now")

func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d transcripts, %v; want at least 5", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := playTranscript(t, string(want))
			if got != string(want) && !*update {
				t.Errorf("the core plays it differently now:\n%s", got)
			}
			if *update && os.WriteFile(file, []byte(got), 0o600) != nil {
				t.Error("cannot write", file)
			}
		})
	}
}

// playTranscript plays the commands of a transcript and returns its text with the present reactions.
func playTranscript(t *testing.T, text string) string {
	s := &scene{t: t}
	answers := false
	for line := range strings.Lines(text) {
		command, isCommand := strings.CutPrefix(line, "> ")
		switch {
		case isCommand:
			s.out.WriteString(line)
			s.do(strings.TrimSpace(command))
			answers = true
		case !answers || line == "\n" || line[0] == '#': // other lines are earlier reactions
			answers = false
			s.out.WriteString(line)
		}
	}
	return s.out.String()
}

// scene is the state of a transcript while it is played.
type scene struct {
	t      *testing.T
	rig    *rig
	actors []*actor
	out    strings.Builder
}

// actor is a connection, and the position up to which its actions have been written down.
type actor struct {
	*fake
	name                    string
	said, got, kicked, sent int
	toldFIN, toldGone       bool
}

// do plays one command. The clock of a rig begins at one second.
func (s *scene) do(command string) {
	verb, rest, _ := strings.Cut(command, " ")
	words := unquote(rest)
	switch verb {
	case "node":
		s.rig = newRig(s.t, func(c *Config) { s.configure(c, words) })
		return
	case "join":
		s.join(words)
	case "publish":
		s.rig.publish(words[0], words[1:]...)
	case "turn":
		s.rig.turn(int(s.number(words[0])))
	case "late":
		s.rig.now += s.number(words[0])
	case "wait":
		for end := s.rig.now + s.number(words[0]); s.rig.now < end; {
			s.rig.step(Tick)
			s.tell(fmt.Sprintf("at %v: ", s.rig.now-time.Second))
		}
	case "drain":
		for _, l := range s.rig.node.loops {
			l.Call(func(l *Loop) { l.Each(func(c *Conn) bool { c.Finish(frame1("goodbye"), ReasonClosed); return true }) })
		}
	case "rest", "show":
	default:
		s.actorDoes(verb, words)
	}
	if !slices.Contains([]string{"arrive", "read", "turn", "late", "show"}, verb) {
		s.rig.rest()
	}
	s.tell("")
	if verb == "show" {
		s.show()
	}
}

func (s *scene) configure(c *Config, words []string) {
	c.HardBacklog = 1 << 20
	numbers := map[string]*int{"loops": &c.Loops, "soft": &c.SoftBacklog, "hard": &c.HardBacklog}
	times := map[string]*time.Duration{"max-age": &c.MaxAge, "stall-budget": &c.StallBudget}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		switch n := s.number(value); {
		case numbers[name] != nil:
			*numbers[name] = int(n)
		case times[name] != nil:
			*times[name] = n
		default:
			s.t.Fatalf("node: %q is not a setting of a transcript", name)
		}
	}
}

// number reads a number, which may have a unit of time.
func (s *scene) number(word string) time.Duration {
	if d, err := time.ParseDuration(word); err == nil {
		return d
	}
	if n, err := strconv.Atoi(word); err == nil {
		return time.Duration(n)
	}
	s.t.Fatalf("%q is neither a number nor a time", word)
	return 0
}

func (s *scene) join(words []string) {
	a := &actor{fake: &fake{room: -1}, name: words[0]}
	s.actors = append(s.actors, a)
	a.Init(a.fake)
	s.rig.loop(int(s.number(append(words, "0")[2]))).Adopt(&a.Conn)
	s.rig.rest()
	a.onJoined = func() { fmt.Fprintf(&s.out, "%s has joined\n", a.name) }
	a.Join(words[1], 0)
}

func (s *scene) actorDoes(verb string, words []string) {
	i := slices.IndexFunc(s.actors, func(a *actor) bool { return len(words) > 0 && a.name == words[0] })
	if i < 0 || !slices.Contains([]string{"say", "arrive", "read", "takes", "fin", "reset"}, verb) {
		s.t.Fatalf("%s %q: no such command, or no connection with that name", verb, words)
	}
	a := s.actors[i]
	switch words = words[1:]; verb {
	case "say", "arrive":
		a.said += len(words)
		a.arrive(words...)
	case "takes":
		a.take(int(s.number(strings.Replace(words[0], "all", "-1", 1))))
	default:
		a.fin, a.broken = a.fin || verb == "fin", a.broken || verb == "reset"
	}
	if verb != "arrive" && verb != "takes" {
		s.rig.read(a.fake)
	}
}

// tell writes down what has happened to each actor since the last time.
func (s *scene) tell(prefix string) {
	for _, a := range s.actors {
		if kicks := a.kicks[a.kicked:]; len(kicks) > 0 {
			fmt.Fprintf(&s.out, "%s%s is kicked: %v\n", prefix, a.name, kicks[0])
		}
		bodies, n := wholeFrames(a.fake.got[a.got:])
		if n > 0 {
			fmt.Fprintf(&s.out, "%s%s gets %s (writes: %d)\n", prefix, a.name, strings.Join(bodies, " "), a.sends-a.sent)
		}
		a.kicked, a.got, a.sent = len(a.kicks), a.got+n, a.sends
		if a.finned && !a.toldFIN {
			fmt.Fprintf(&s.out, "%s%s gets FIN\n", prefix, a.name)
		}
		if a.shut && !a.toldGone {
			fmt.Fprintf(&s.out, "%s%s is gone\n", prefix, a.name)
			a.Loop().Closed(&a.Conn)
		}
		a.toldFIN, a.toldGone = a.finned, a.shut
	}
}

func (s *scene) show() {
	for _, a := range s.actors {
		if !a.toldGone {
			fmt.Fprintf(&s.out, "%s: %d bytes wait for it, %d messages from it are not parsed yet\n", a.name, a.Backlog(), a.said-len(a.parsed))
		}
	}
	for i := range s.rig.node.loops {
		l := s.rig.stats(i)
		fmt.Fprintf(&s.out, "loop %d: %d expected = %d delivered + %d dropped + %d in flight\n",
			i, l.Expected, l.Delivered, l.Expected-l.Delivered-l.InFlight, l.InFlight)
	}
}

// wholeFrames returns the bodies of the whole frames at the beginning of p, in readable form, and the number of their bytes.
func wholeFrames(p []byte) (bodies []string, n int) {
	for len(p) >= 2 && len(p) >= 2+int(binary.BigEndian.Uint16(p)) {
		size := 2 + int(binary.BigEndian.Uint16(p))
		body := strconv.Quote(string(p[2:size]))
		if size > 100 {
			body = fmt.Sprintf("%c*%d", p[2], size-2)
		}
		bodies, p, n = append(bodies, body), p[size:], n+size
	}
	return bodies, n
}

// unquote splits a command at its spaces; a part in quotes may contain spaces, and m*600 is 600 times an m.
func unquote(text string) (words []string) {
	for text != "" {
		word, rest, _ := strings.Cut(text, " ")
		if quoted, err := strconv.QuotedPrefix(text); err == nil {
			word, rest = strings.Trim(quoted, `"`), text[len(quoted):]
		} else if letter, count, ok := strings.Cut(word, "*"); ok {
			n, _ := strconv.Atoi(count)
			word = strings.Repeat(letter, n)
		}
		words, text = append(words, word), strings.TrimSpace(rest)
	}
	return words
}
