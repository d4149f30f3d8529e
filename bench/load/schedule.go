package load

import (
	"math"
	"math/rand/v2"
	"sort"
	"time"

	"dotsconnect/bench/scenario"
)

// schedule says when each message is due. With equidistant arrivals, message k
// is due at start + k/rate. With Poisson arrivals the times are random and
// independent of each other, as those of many users are; their number is the
// same. All messages of a burst are due at the same time as its first message.
// The schedule never moves. A generator that is late sends the overdue messages
// at once, and their delay counts in the latency. So a server that stalls does
// not get fewer messages, which would hide the stall (coordinated omission).
type schedule struct {
	start int64
	rate  float64 // messages per second; 0: no messages
	burst int64
	total int64
	times []int64 // Poisson arrivals: by burst, its time after start; nil: equidistant arrivals
}

// newSchedule makes the schedule of a scenario. All generators of a run make the
// same one.
func newSchedule(s *scenario.Scenario, start int64, length time.Duration) schedule {
	d := schedule{start: start, rate: s.Rate.PerSecond, burst: int64(s.Burst)}
	d.total = int64(math.Round(d.rate * length.Seconds()))
	if s.Arrivals == scenario.Poisson && d.total > 0 {
		d.times = poisson(s.Seed, int((d.total+d.burst-1)/d.burst), float64(length))
	}
	return d
}

// poisson returns n times of a Poisson process in the time length, if it has n
// events in it. The gaps of the process are exponential. They are scaled so that
// gap n+1 ends at the end of the time.
func poisson(seed uint64, n int, length float64) []int64 {
	rng := rand.New(rand.NewPCG(seed, 0x706f6973))
	ends, sum := make([]float64, n), 0.0
	for i := range ends {
		sum += rng.ExpFloat64()
		ends[i] = sum
	}
	sum += rng.ExpFloat64()
	times := make([]int64, n)
	for i, end := range ends {
		times[i] = int64(end / sum * length)
	}
	return times
}

// at returns the time at which message k is due, in nanoseconds.
func (s *schedule) at(k int64) int64 {
	if k >= s.total {
		return math.MaxInt64
	}
	if s.times != nil {
		return s.start + s.times[k/s.burst]
	}
	k -= k % s.burst
	return s.start + int64(float64(k)*1e9/s.rate)
}

// has reports whether a message is due in this microsecond. t is a multiple of
// 1,000, like all times in stamps.
func (s *schedule) has(t int64) bool {
	i := int64(sort.Search(int((s.total+s.burst-1)/s.burst), func(i int) bool { return s.at(int64(i)*s.burst) >= t }))
	at := s.at(i * s.burst)
	return at >= t && at-t < 1000
}

// deal gives each member a room. Each room gets at least one member.
func deal(s *scenario.Scenario) []int32 {
	roomOf := make([]int32, s.Conns)
	if s.Spread == scenario.Even {
		for i := range roomOf {
			roomOf[i] = int32(i % s.Rooms)
		}
		return roomOf
	}
	sum := 0.0
	for r := range s.Rooms {
		sum += math.Pow(float64(r+1), -s.ZipfS)
	}
	// Each room gets one member. The other members are divided by Zipf's law.
	share, next, room := 0.0, s.Rooms, 0
	for i := range s.Rooms {
		roomOf[i] = int32(i)
	}
	for ; room < s.Rooms; room++ {
		share += math.Pow(float64(room+1), -s.ZipfS) / sum
		for until := s.Rooms + int(math.Round(share*float64(s.Conns-s.Rooms))); next < min(until, s.Conns); next++ {
			roomOf[next] = int32(room)
		}
	}
	for ; next < s.Conns; next++ {
		roomOf[next] = 0
	}
	return roomOf
}

// picker chooses the senders of messages at random.
type picker struct {
	rng   *rand.Rand
	conns int
}

func newPicker(seed uint64, conns int) *picker {
	return &picker{rand.New(rand.NewPCG(seed, 0x646f7473)), conns}
}

// first returns a random member; all members have the same chance.
func (p *picker) first() int32 { return int32(p.rng.IntN(p.conns)) }

// from returns the member start if this member can send. Otherwise it returns
// the next member after start that can send.
func (p *picker) from(start int32, can func(int32) bool) (int32, bool) {
	for i := range int32(p.conns) {
		if m := (start + i) % int32(p.conns); can(m) {
			return m, true
		}
	}
	return 0, false
}
