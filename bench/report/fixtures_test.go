package report

import (
	"math"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/proof"
	"dotsconnect/bench/result"
)

// lobby returns the result of a typical run of 30 s with 3 s of warm-up. A
// single second in the second half is slow. All numbers are fixed, so that
// the page is always the same.
func lobby() *result.Result {
	r := &result.Result{
		Schema: result.Schema, Program: "dotsbench", Started: "2026-03-14T15:09:26Z", Name: "lobby", Seed: 1,
		URL: "ws://127.0.0.1:8000/ws/chat/{room}/",
		Scenario: map[string]string{"conns": "8000", "rooms": "1000", "rate": "500/s", "size": "128", "duration": "27s",
			"warmup": "3s", "burst": "1", "order": "room", "seed": "1"},
		Machine: result.Machine{CPU: "Example 7000 at 3.1 GHz", CPUs: 2, Memory: 25_276_510_208, Kernel: "6.1.0", Arch: "amd64",
			Go: "go1.26.0", Commit: "0123456789abcdef0123456789abcdef01234567", Modified: true},
		Latency:  result.Quantiles{Count: 108_000, Mean: 235.3, P50: 224, P90: 293, P99: 612, P999: 2919, Max: 48_320},
		First:    result.Quantiles{Count: 13_500, Mean: 190.2, P50: 181, P90: 240, P99: 480, P999: 2100, Max: 47_800},
		Last:     result.Quantiles{Count: 13_500, Mean: 280.1, P50: 265, P90: 340, P99: 790, P999: 3300, Max: 48_320},
		Lateness: result.Quantiles{Count: 13_500, Mean: 5.8, P50: 4, P90: 9, P99: 35, P999: 310, Max: 950},
		Connect:  result.Quantiles{Count: 8000, Mean: 10_489, P50: 8319, P90: 22_735, P99: 31_135, P999: 33_183, Max: 33_663},
		Traffic: result.Traffic{Conns: 8000, MeasuredS: 27, Due: 15_000, Sent: 15_000, SentRate: 500, Delivered: 108_000,
			DeliveredRate: 4000, Beats: 11_000, PerRead: 1.4},
		Proof: result.Verdict{Sent: 15_000, Expected: 120_000, Received: 120_000, Notes: []string{}},
		Server: &result.Server{CPUSeconds: 3.78, CPUPerDelivery: 34.97, CPUPerMessage: 279.7, CPUs: 0.14, RSSBefore: 15_364_096,
			RSSOpen: 26_423_296, RSSEnd: 28_004_352, BytesPerConn: 1382.4, KernelPerConn: 2304, CPUPerConnect: 61.2,
			Descriptors: 8025, Threads: 10, Go: &result.Go{Collections: 4, Goroutines: 12, HeapAlloc: 9_100_000, HeapInuse: 11_200_000, StackInuse: 640_000}},
		Generator:  result.Generator{ThreadCPU: 0.068, PerDelivery: 17.02, BytesPerConn: 142, Processes: 1, Steal: 0.001, PSI: 0.083},
		Thresholds: []result.Outcome{{Threshold: "latency.p99<20ms", Got: 612, Met: true}, {Threshold: "server.cpu_us_per_delivery<50", Got: 34.97, Met: true}},
	}
	for i, x := range []float64{0, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.995, 99.999, 100} {
		r.Plots.Latency = append(r.Plots.Latency, result.Point{X: x, Y: []float64{96, 170, 198, 224, 257, 293, 330, 612, 940, 2919, 4800, 21_000, 39_000, 47_500, 48_320}[i]})
	}
	r.Seconds = seconds(30, 3)
	return r
}

// seconds returns n rows of seconds. The first rows, as many as warmup says,
// are warm-up. They vary a little, and a single second in the second half is
// slow.
func seconds(n, warmup int) []result.Second {
	var all []result.Second
	for t := range n {
		wave := 1 + 0.12*math.Sin(float64(t)*1.7) + 0.08*math.Cos(float64(t)*0.6)
		s := result.Second{T: t, Warmup: t < warmup, Sent: 500, Delivered: int64(4000 * (1 + 0.01*math.Sin(float64(t)*3))),
			ServerCPU: 0.14 * wave, ThreadCPU: 0.068 * wave, ServerRSS: 26_423_296 + int64(t)*52_000}
		if !s.Warmup {
			s.P50, s.P99, s.Max = int64(224*wave), int64(480*wave*wave), int64(1900*wave*wave*wave)
		}
		if t == n*3/5 {
			s.P99, s.Max, s.ServerCPU, s.Delivered = 9_400, 48_320, 0.31, 3710
		}
		all = append(all, s)
	}
	return all
}

func missed() *result.Result {
	r := lobby()
	r.Exit = cli.Missed
	r.Thresholds = append(r.Thresholds, result.Outcome{Threshold: "latency.max<20ms", Got: 48_320}, result.Outcome{Threshold: "rate.sent>1000", Got: 500})
	return r
}

func invalid() *result.Result {
	r := lobby()
	r.Name, r.Exit = "overload", cli.Invalid
	r.Traffic.Sent, r.Generator.ThreadCPU = 11_200, 0.97
	r.Invalid = []string{
		"only 11,200 of 15,000 messages of the schedule were sent (74.7 %), and 99 % are needed",
		"the generator's thread was busy for 97 % of the time, and more than 85 % measures the generator",
	}
	for i := range r.Seconds {
		s := &r.Seconds[i]
		s.Sent, s.ThreadCPU, s.ServerCPU = s.Sent*3/4, 0.97, 1.36+0.1*math.Sin(float64(i))
		s.P50, s.P99, s.Max = s.P50*40, s.P99*60, s.Max*30
	}
	return r
}

func violated() *result.Result {
	r := lobby()
	r.Name, r.Exit = "lossy", cli.Violated
	r.Proof.Counts = proof.Counts{Lost: 4, Doubled: 1}
	r.Proof.Received -= 4
	r.Proof.Notes = []string{"room 17: member 3 lost numbers 41 to 44 of sender 139", "room 201: member 1 got number 9 of sender 1604 twice"}
	return r
}

// silent returns the result of a run in which clients send no heartbeats and
// are kicked.
func silent() *result.Result {
	r := lobby()
	r.Name = "silence" // not a built-in scenario, because a change of its fields would change the page
	r.Latency, r.First, r.Last, r.Lateness = result.Quantiles{}, result.Quantiles{}, result.Quantiles{}, result.Quantiles{}
	r.Plots = result.Plots{}
	for i := range 40 {
		x := (float64(i) - 18) / 6
		r.Plots.Kick = append(r.Plots.Kick, result.Point{X: float64(i+1) * 2500, Y: math.Round(130 * math.Exp(-x*x/2))})
	}
	r.Kick = result.Quantiles{Count: 1950, Mean: 46_000, P50: 46_100, P90: 66_000, P99: 84_000, P999: 91_000, Max: 98_200}
	r.Kicks = &result.Kicks{Silent: 1950, Kicked: 1950, Codes: map[string]int{"4101 no heartbeat": 1948, "TCP reset": 2}}
	r.Traffic.Delivered, r.Traffic.DeliveredRate = 0, 0
	r.Server.CPUPerDelivery, r.Server.CPUPerBeat = 0, 2.31
	r.Proof = result.Verdict{}
	for i := range r.Seconds {
		s := &r.Seconds[i]
		s.Sent, s.Delivered, s.P50, s.P99, s.Max = 0, 0, 0, 0, 0
	}
	return r
}

// restarted returns the result of a run in which the server was killed at
// second 12.
func restarted() *result.Result {
	r := lobby()
	r.Name = "killed"
	r.Recovery = &result.Recovery{Conns: 8000, Back: 7999, Server: 214_000, At50: 840_000, At90: 1_420_000, At99: 2_210_000}
	r.Reconnect = result.Quantiles{Count: 7999, Mean: 880_000, P50: 840_000, P90: 1_420_000, P99: 2_210_000, P999: 3_870_000, Max: 4_120_000}
	for i := 12; i < 15; i++ {
		s := &r.Seconds[i]
		s.Delivered, s.P50, s.P99, s.Max, s.ServerRSS, s.ServerCPU = 0, 0, 0, 0, 9_000_000, 0.6
	}
	return r
}

// bare returns a result that has only a name.
func bare() *result.Result { return &result.Result{Schema: result.Schema, Name: "bare"} }

func oneSecond() *result.Result {
	r := lobby()
	r.Name, r.Seconds = "one second", seconds(1, 0)
	r.Seconds[0].P50, r.Seconds[0].P99, r.Seconds[0].Max = 212, 212, 212
	r.Latency = result.Quantiles{Count: 1, Mean: 212, P50: 212, P90: 212, P99: 212, P999: 212, Max: 212}
	r.First, r.Last, r.Lateness, r.Plots.Latency = result.Quantiles{}, result.Quantiles{}, result.Quantiles{}, nil
	return r
}

// extreme returns a result with very large values, and with figures that are
// NaN or infinite.
func extreme() *result.Result {
	const worst = 120_000_000
	r := lobby()
	r.Name, r.Seconds = "extreme", seconds(7200, 60)
	for i := range r.Seconds {
		s := &r.Seconds[i]
		s.Sent, s.Delivered, s.P50, s.P99, s.Max = 9_800_000, 4_000_000_000_000, 1, 3_000_000, worst
		s.ServerCPU, s.ThreadCPU, s.ServerRSS = 127.4, math.NaN(), 812_000_000_000
	}
	r.Seconds[0].Max, r.Seconds[0].ServerRSS = math.MaxInt64, math.MaxInt64
	r.Latency = result.Quantiles{Count: math.MaxInt64, Mean: math.Inf(1), P50: 1, P90: worst, P99: worst, P999: worst, Max: worst}
	r.Plots.Latency[0].Y, r.Plots.Latency[3].X = math.NaN(), math.Inf(1)
	r.Plots.Kick = []result.Point{{X: 1, Y: 1}, {X: 1000, Y: math.NaN()}, {X: worst, Y: 1e18}}
	r.Kick = result.Quantiles{Count: 3, P50: worst, P99: worst, Max: worst}
	r.Recovery = &result.Recovery{Conns: 1_000_000}
	r.Traffic = result.Traffic{Conns: 1_000_000, Due: math.MaxInt64, Sent: math.MaxInt64, Delivered: math.MaxInt64, SentRate: 1e300, DeliveredRate: math.Inf(1)}
	r.Server.CPUPerDelivery, r.Server.BytesPerConn = 1e9, 4e12
	return r
}

const attack = `<script>alert(1)</script>"'&</style><!--`

// hostile returns a result in which every text has HTML markup.
func hostile() *result.Result {
	r := restarted()
	r.Name, r.Program, r.URL, r.Started, r.Died, r.Ended, r.Exit = attack, attack, attack, attack, attack, attack, cli.ServerDied
	r.Scenario = map[string]string{"rate": attack, "rooms": attack, "size": attack, "duration": attack, "warmup": attack, attack: attack}
	r.Machine = result.Machine{CPU: attack, Kernel: attack, Arch: attack, Governor: attack, Go: attack, Commit: attack}
	r.Proof.Notes, r.Invalid, r.Broken = []string{attack}, []string{attack}, []string{attack}
	r.Thresholds = []result.Outcome{{Threshold: "latency.p99<1ms" + attack}, {Threshold: attack, Why: attack}}
	r.Kicks = &result.Kicks{Codes: map[string]int{attack: 1}}
	return r
}
