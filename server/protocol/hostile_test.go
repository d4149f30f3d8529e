package protocol_test

import (
	"strings"
	"testing"
	"time"

	"dotsconnect/server/protocol"
)

// hostile returns messages of size bytes that are made to keep a decoder busy.
func hostile(size int) map[string]string {
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
		"error at depth":        strings.Repeat(`{"`+strings.Repeat("/", size/131)+`":`, 128) + "x",
		"error under long keys": `{"` + strings.Repeat("~", size/2) + `":{"` + strings.Repeat("/", size/3) + `":x}}`,
	}
}

// A message with eight times as many bytes must take about eight times as long. If the work grew with the square of the size,
// the message would take 64 times as long, and one message could keep a loop busy. BenchmarkHostile shows the times for
// messages of 64 KiB: at most 1 ms on a slow machine.
func TestHostileMessagesCostTimeInProportionToTheirSize(t *testing.T) {
	const large, factor, most = 64 << 10, 8, 3 * 8
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	best := func(p []byte, before time.Duration) time.Duration {
		begin := time.Now()
		_, _, _ = decoder.DecodeV1(p)
		return min(before, time.Since(begin))
	}
	smalls := hostile(large / factor)
	for name, text := range hostile(large) {
		p, q := []byte(text), []byte(smalls[name])
		slow, fast := time.Hour, time.Hour // the minimum of many runs, because the machine has other work
		for range 100 {
			slow, fast = best(p, slow), best(q, fast)
		}
		if slow > most*max(fast, time.Microsecond) {
			t.Errorf("%s: %d bytes took %v, and %d bytes %v", name, len(p), slow, len(q), fast)
		}
	}
}

func BenchmarkHostile(b *testing.B) {
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	for name, text := range hostile(64 << 10) {
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
