package resp

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// asText returns a Value as a text that can be compared.
func asText(r Value) string {
	if r.List == nil && r.Kind != '*' && r.Kind != '>' && r.Kind != '%' && r.Kind != '~' {
		return string(r.Kind) + string(r.Text)
	}
	var parts []string
	for _, v := range r.List {
		parts = append(parts, asText(v))
	}
	return string(r.Kind) + "[" + strings.Join(parts, " ") + "]"
}

func TestRepliesAreReadHoweverTheyAreCut(t *testing.T) {
	const stream = "+OK\r\n-ERR no\r\n:42\r\n$5\r\nhe\r\nl\r\n$0\r\n\r\n$-1\r\n*-1\r\n_\r\n#t\r\n,1.5\r\n*3\r\n$1\r\na\r\n*2\r\n:1\r\n+x\r\n_\r\n" +
		">3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$4\r\nbody\r\n%1\r\n+k\r\n:1\r\n|1\r\n+ttl\r\n:3600\r\n+after\r\n*0\r\n"
	const want = "+OK -ERR no :42 $he\r\nl $ _ _ _ #t ,1.5 *[$a *[:1 +x] _] >[$message $ch $body] %[+k :1] +after *[]"
	for _, in := range []io.Reader{strings.NewReader(stream), iotest.OneByteReader(strings.NewReader(stream)), iotest.HalfReader(strings.NewReader(stream))} {
		r := NewReader(in)
		var got []string
		for {
			v, err := r.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, asText(v))
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("got  %q\nwant %q", text, want)
		}
	}
}

func TestWhatIsNotRESPIsRefused(t *testing.T) {
	for _, text := range []string{
		"HTTP/1.1 400 Bad Request\r\n", "+OK\n", "$x\r\n", "$99999999999\r\n", "*99999999\r\n", "$1\r\nab\r\n", "\r\n", "*1\r\n?\r\n",
		strings.Repeat("*1\r\n", 20) + "+x\r\n",
	} {
		if _, err := NewReader(strings.NewReader(text)).Read(); !errors.Is(err, ErrProtocol) {
			t.Errorf("%q: %v, want %v", text, err, ErrProtocol)
		}
	}
	if _, err := NewReader(strings.NewReader("$5\r\nhel")).Read(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut off: %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

func TestCommandsAreArraysOfBulkStrings(t *testing.T) {
	if got, want := string(AppendCommand(nil, "SET", "k\r\n", "")), "*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$0\r\n\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzReplies(f *testing.F) {
	for _, text := range []string{"+OK\r\n", "*2\r\n$1\r\na\r\n:1\r\n", ">3\r\n+a\r\n+b\r\n$1\r\nc\r\n", "%1\r\n+a\r\n+b\r\n", "|1\r\n+a\r\n+b\r\n+c\r\n", "$-1\r\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		whole, cut := NewReader(strings.NewReader(string(p))), NewReader(iotest.OneByteReader(strings.NewReader(string(p))))
		for range 1000 {
			a, errA := whole.Read()
			b, errB := cut.Read()
			if (errA == nil) != (errB == nil) || errA == nil && asText(a) != asText(b) {
				t.Fatalf("%q: whole %s, %v; byte by byte %s, %v", p, asText(a), errA, asText(b), errB)
			}
			if errA != nil {
				return
			}
		}
	})
}
