package websocket

import (
	"fmt"
	"strings"
	"testing"
)

// benchParse parses the bytes of one read in every iteration. The parser unmasks in place, so every second iteration turns the
// payload back into its masked form. This is the same work, and the benchmark needs no copy. The payload must be binary, or
// ASCII in both forms.
func benchParse(b *testing.B, stream string) {
	p := []byte(stream)
	lim := &Limits{}
	var s Parser
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		for rest := p; len(rest) > 0; {
			n, ev, _, err := s.Next(rest, lim)
			if err != nil || ev == None {
				b.Fatal(ev, err)
			}
			rest = rest[n:]
		}
	}
}

// asciiFrame returns a text frame whose payload is ASCII both masked and unmasked.
func asciiFrame(size int) string {
	f := frame(text, strings.Repeat("z", size))
	return f[:len(f)-size-len(testKey)] + "\x01\x02\x03\x04" + strings.Repeat("z", size)
}

func BenchmarkParser64Texts128B(b *testing.B) {
	benchParse(b, strings.Repeat(asciiFrame(128), 64))
}

func BenchmarkParser64Binary128B(b *testing.B) {
	benchParse(b, strings.Repeat(frame(binar, strings.Repeat("z", 128)), 64))
}

func BenchmarkParserText64KiB(b *testing.B) {
	benchParse(b, asciiFrame(64<<10))
}

func BenchmarkParserBinary64KiB(b *testing.B) {
	benchParse(b, frame(binar, strings.Repeat("z", 64<<10)))
}

// BenchmarkParserText4KiBInTwoReads measures the cost of a message that arrives in two parts, which needs a buffer.
func BenchmarkParserText4KiBInTwoReads(b *testing.B) {
	p := []byte(asciiFrame(4 << 10))
	lim := &Limits{}
	var s Parser
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := s.Next(p[:len(p)/2], lim); err != nil {
			b.Fatal(err)
		}
		if _, ev, _, err := s.Next(p[len(p)/2:], lim); ev != Text {
			b.Fatal(ev, err)
		}
	}
}

// BenchmarkUnmask uses payloads as large as heartbeats, chat messages, documents and the largest message.
func BenchmarkUnmask(b *testing.B) {
	for _, size := range []int{32, 128, 1024, 64 << 10} {
		p := make([]byte, size)
		b.Run(fmt.Sprint(size, "B"), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				unmask(p, 0x3d21fa37)
			}
		})
	}
}

func BenchmarkUTF8(b *testing.B) {
	for _, test := range []struct{ name, sample string }{
		{"ASCII", "The quick brown fox jumps over the lazy dog. "},
		{"German", "Zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich. "},
		{"Japanese", "いろはにほへと ちりぬるを わかよたれそ つねならむ "},
	} {
		p := []byte(strings.Repeat(test.sample, 1000))[:16<<10]
		for _, size := range []int{128, 16 << 10} {
			b.Run(fmt.Sprint(test.name, size, "B"), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					var s textState
					if !s.next(p[:size]) {
						b.Fatal("refused")
					}
				}
			})
		}
	}
}

func BenchmarkScanHead(b *testing.B) {
	p := []byte(browserHead)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		if n, err := heads.Scan(p); n != len(p) {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkScanHeadDripped measures the whole cost of a head of 16 KiB that arrives byte by byte. This is the most work that a
// peer can cause with one connection.
func BenchmarkScanHeadDripped(b *testing.B) {
	p := []byte(get(strings.Repeat("Name: "+strings.Repeat("x", 120)+"\r\n", 62)))
	p = append(p[:len(p)-2], strings.Repeat("x", DefaultMaxHead)...)[:DefaultMaxHead] // the name of the last field does not end
	b.ReportAllocs()
	for b.Loop() {
		for i, seen := 0, 0; i < len(p); i++ {
			if !heads.Again(p[:i], seen) {
				continue
			}
			if n, err := heads.Scan(p[:i]); n != 0 || err != nil {
				b.Fatal(n, err)
			}
			seen = i
		}
	}
}

func BenchmarkSwitchingProtocols(b *testing.B) {
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendSwitchingProtocols(dst[:0], sampleKey, "dots.v2")
	}
}
