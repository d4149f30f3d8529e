package protocol_test

import (
	"strings"
	"testing"
	"time"

	"dotsconnect/server/protocol"
)

// hostile is what 64 KiB can be made of to keep a decoder busy.
func hostile() map[string]string {
	const size = 64 << 10
	fill := func(head, body, tail string) string {
		return head + strings.Repeat(body, (size-len(head)-len(tail))/len(body)) + tail
	}
	return map[string]string{
		"open arrays":           fill("", "[", ""),
		"open objects":          fill("", `{"":`, ""),
		"nested at the limit":   fill(`{"message":[`, strings.Repeat("[", 127)+strings.Repeat("]", 127)+",", `0]}`),
		"digits":                fill(`{"message":`, "7", "}"),
		"digits, exponent":      fill(`{"message":1e`, "9", "}"),
		"numbers":               fill(`{"message":[`, "0,", "0]}"),
		"empty keys":            fill("{", `"":0,`, `"message":0}`),
		"duplicate messages":    fill("{", `"message":0,`, `"message":0}`),
		"escaped keys":          fill("{", `"\u006dessage":0,`, `"message":0}`),
		"escapes":               fill(`{"message":"`, `\u00e9`, `"}`),
		"surrogate pairs":       fill(`{"message":"`, `\ud83d\ude00`, `"}`),
		"quotes":                fill(`{"message":"`, `\"`, `"}`),
		"brackets in a string":  fill(`{"message":"`, `[\"`, `"}`),
		"three-byte characters": fill(`{"message":"`, "\u20ac", `"}`),
		"white space":           fill("", " \n\t\r", `{"message":0}`),
		"white space after":     fill(`{"message":0}`, "\n", "x"),
		"one long key":          fill(`{"`, "k", `":0}`),
		"one long escaped key":  fill(`{"`, `\u006d`, `":0}`),
		"string, escaped":       fill(`"`, `\u0068`, `"`),
		"unfinished string":     fill(`{"message":"`, "x", ""),
		"error at the end":      fill(`{"message":[`, "0,", "]}"),
		"error at depth":        strings.Repeat(`{"`+strings.Repeat("/", 500)+`":`, 128) + "x",
		"error under long keys": `{"` + strings.Repeat("~", size/2) + `":{"` + strings.Repeat("/", size/3) + `":x}}`,
	}
}

func TestHostileMessagesTakeAMillisecondAtMost(t *testing.T) {
	limit := time.Millisecond * raceFactor
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	for name, text := range hostile() {
		p := []byte(text)
		best := time.Hour // of several, as the machine has other things to do
		for range 50 {
			begin := time.Now()
			_, _, _ = decoder.DecodeV1(p)
			if best = min(best, time.Since(begin)); best <= limit/4 {
				break
			}
		}
		if best > limit {
			t.Errorf("%s: got %v, want at most %v", name, best, limit)
		}
	}
}

func BenchmarkHostile(b *testing.B) {
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	for name, text := range hostile() {
		b.Run(name, func(b *testing.B) {
			p := []byte(text)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				_, _, _ = decoder.DecodeV1(p)
			}
		})
	}
}
