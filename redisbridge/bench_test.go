package redisbridge

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dotsconnect/loop"
)

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// BenchmarkPublish measures how many messages a second Redis takes over 16 lanes with one call in flight each: in batches of 1,
// 8, 32 and 128 through publish.lua, compared with one PUBLISH per message. A message has 128 bytes.
func BenchmarkPublish(b *testing.B) {
	const lanes, size = 16, 128
	s := startRedis(b)
	a, err := ParseAddress(s.url())
	if err != nil {
		b.Fatal(err)
	}
	cfg := Default()
	st := newStore(&cfg, a)
	st.names = newNames("bench", lanes)
	defer st.close()
	measure := func(b *testing.B, batch int, call func(lane int, n uint64) error) {
		var left atomic.Int64
		left.Store(int64(b.N))
		var wait sync.WaitGroup
		b.ResetTimer()
		for i := range lanes {
			wait.Go(func() {
				for n := uint64(1); left.Add(-int64(batch)) > -int64(batch); n++ {
					if err := call(i, n); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wait.Wait()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	}
	value := make([]byte, size)
	b.Run("PUBLISH", func(b *testing.B) {
		measure(b, 1, func(i int, _ uint64) error {
			return st.client.Publish(context.Background(), st.names.channel(i), value).Err()
		})
	})
	for _, batch := range []int{1, 8, 32, 128} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			node := nodeID(randomUint64() | 1)
			var pubs []*loop.Publication
			for range batch {
				pubs = append(pubs, &loop.Publication{Room: "chat/a-room", Value: value})
			}
			measure(b, batch, func(i int, n uint64) error {
				id := ident{node, n}
				_, err := st.publish(context.Background(), st.client, call{lane: i, id: id, left: time.Minute, batch: appendBatch(nil, newestFormat, id, pubs, nil)})
				return err
			})
		})
	}
}

// BenchmarkBridge measures how many messages a second pass through a whole bridge to Redis and back. It keeps as many
// publications in flight as the bridge takes, so the batch size adjusts itself.
func BenchmarkBridge(b *testing.B) {
	s := startRedis(b)
	cfg := testConfig(s.url())
	cfg.Lanes = 16
	n := startNode(b, cfg, 1)
	n.ready()
	value := make([]byte, 128)
	b.ResetTimer()
	for i := range b.N {
		for n.bridge.held.full.Load() {
			time.Sleep(100 * time.Microsecond)
		}
		n.node.Publish(roomName(i%64), 0, loop.KindText, value)
	}
	if err := n.bridge.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
	st := &n.bridge.stats
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64(st.published.Load())/float64(st.batches.Load()), "msg/batch")
}

// BenchmarkIdleLatency measures how much Redis adds to the latency of a single message, from Publish until it comes back.
func BenchmarkIdleLatency(b *testing.B) {
	s := startRedis(b)
	n := startNode(b, testConfig(s.url()), 1)
	n.ready()
	var all []time.Duration
	for b.Loop() {
		began := time.Now()
		n.node.Publish("chat/x", 0, loop.KindText, []byte("hello"))
		for n.bridge.held.bytes.Load() > 0 {
			time.Sleep(10 * time.Microsecond)
		}
		all = append(all, time.Since(began))
	}
	b.ReportMetric(float64(median(all).Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
}
