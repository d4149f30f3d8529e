package load

import (
	"testing"

	"dotsconnect/bench/client"
	"dotsconnect/bench/proof"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// BenchmarkDelivery measures how long the generator needs to process a delivery
// that it has read. There is one room of 1,000 members, and each member gets 32
// messages in a row.
func BenchmarkDelivery(b *testing.B) {
	const members, burst = 1000, 32
	s := scenario.Default()
	s.Conns, s.Rooms = members, 1
	r := &run{s: &s, id: 42, roomOf: make([]int32, members), memberOf: make([]int32, members), to: 1 << 62,
		interval: newRecorder(), first: result.NewHistogram(), lastOne: result.NewHistogram(), fromSend: newRecorder()}
	for m := range r.memberOf {
		r.memberOf[m] = int32(m)
	}
	r.frames = newTemplates(42, s.Sizes, Frames{}, nil)
	r.frames.sent = r.wasSent
	r.ledger = proof.New(r.roomOf, true)
	var texts [burst][]byte
	now := int64(1e12)
	b.ReportAllocs()
	for n := 0; n < b.N; {
		b.StopTimer()
		for i := range texts {
			sender := int32((n/members + i*7) % members)
			now += 1000
			s := stamp{run: 42, sender: uint32(sender), seq: r.ledger.Next(sender), intended: now}
			f := r.frames.frame(0, s)
			r.ledger.Sent(sender)
			r.sends.add(s, 0)
			at := len(f) - 128
			texts[i] = append(texts[i][:0], f[at:]...)
			for j := range texts[i] {
				texts[i][j] ^= f[at-4+j&3]
			}
		}
		b.StartTimer()
		for m := range int32(members) {
			for i := range texts {
				r.onMessage(m, client.OpText, texts[i], now+200_000)
			}
		}
		n += members * burst
	}
	if v := r.ledger.Verdict(); v.Sum() != 0 || v.Received != v.Expected {
		b.Fatalf("%+v", v)
	}
}
