package redisbridge

import (
	"testing"

	"dotsconnect/loop"
	"dotsconnect/loop/bustest"
)

// TestTheBridgeIsABus checks that the bus through Redis fulfils the contract of loop.Bus.
func TestTheBridgeIsABus(t *testing.T) {
	for name, lanes := range map[string]int{"one lane": 1, "four lanes": 4} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(startRedis(t).url())
			cfg.Lanes = lanes
			bustest.Run(t, 2, func(t testing.TB, configs []loop.Config, serve func(int, *loop.Node)) (nodes []*loop.Node) {
				for i, c := range configs {
					b := connect(t, cfg)
					t.Cleanup(func() {
						if err := b.Close(); err != nil {
							t.Error(err)
						}
					})
					c.Lanes, c.LaneOf = b.Lanes(), b.LaneOf
					n := loop.New(c)
					n.Use(b)
					b.Start(n)
					serve(i, n)
					nodes = append(nodes, n)
				}
				return nodes
			})
		})
	}
}
