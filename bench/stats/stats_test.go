package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

func near(got, want, by float64) bool { return math.Abs(got-want) <= by }

func TestMediansAndQuartilesOfKnownValues(t *testing.T) {
	odd, even := []float64{9, 1, 5, 3, 7}, []float64{4, 1, 3, 2}
	if got := Median(odd); got != 5 {
		t.Errorf("median of five: got %v, want 5", got)
	}
	if got := Median(even); got != 2.5 {
		t.Errorf("median of four: got %v, want 2.5", got)
	}
	if got, want := Describe(even), (Sample{4, 2.5, 1.75, 3.25}); got != want {
		t.Errorf("got %+v, want %+v (numpy.quantile)", got, want)
	}
	if got := Describe(even).Spread(); !near(got, 0.6, 1e-12) {
		t.Errorf("spread: got %v, want 0.6", got)
	}
	if !math.IsNaN(Median(nil)) || Describe(nil) != (Sample{}) || (Sample{}).Spread() != 0 {
		t.Error("nothing has a median")
	}
	if odd[0] != 9 {
		t.Error("the values of the caller were sorted")
	}
}

func TestTheWalkFindsTheMedianThatSortingFinds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{2, 3, 6, 7, 8} {
		values := noisy(random, n, 1, 0.3)
		w := newWalk(values)
		for range 200 {
			counts, drawn := make([]int, n), []float64{}
			for range n {
				i := random.IntN(n)
				counts[i]++
				drawn = append(drawn, values[i])
			}
			if got, want := w.median(counts), Median(drawn); !near(got, want, 1e-15) {
				t.Fatalf("%d rounds, %v: got %v, want %v", n, counts, got, want)
			}
		}
	}
}

func TestEqualSamplesHaveRatio1ForSure(t *testing.T) {
	a := []float64{1.21, 1.34, 1.18, 1.25, 1.3, 1.22, 1.27}
	r, err := MedianRatio(a, a, 1)
	if err != nil || r != (Ratio{1, 1, 1, 7}) || Judge(r, nil) != Same {
		t.Errorf("got %+v, %v", r, err)
	}
	// The values differ from round to round, but b is always 0.9 times a. So
	// the ratio is 0.9 in each resample.
	b := make([]float64, len(a))
	for i := range a {
		b[i] = a[i] * 0.9
	}
	if r, err = MedianRatio(a, b, 1); err != nil || !near(r.Low, 0.9, 1e-9) || !near(r.High, 0.9, 1e-9) || Judge(r, nil) != Less {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestAFixedDuelHasAFixedAnswer(t *testing.T) {
	a := []float64{100, 101, 99, 100.5, 99.5, 100.2, 99.8}
	b := []float64{110, 111.5, 109.2, 110.1, 109.9, 110.6, 109.5}
	r, err := MedianRatio(a, b, 7)
	if err != nil || !near(r.Of, 1.1, 1e-12) || r.Low < 1.08 || r.High > 1.12 || Judge(r, nil) != Greater {
		t.Errorf("10 %% at 1 %% noise: got %+v, %v", r, err)
	}
	if again, _ := MedianRatio(a, b, 7); again != r {
		t.Errorf("the same seed gave %+v and %+v", r, again)
	}
	wide := []float64{88, 112, 97, 105, 93, 101, 108}
	other := []float64{107, 93, 113, 95, 104, 110, 90}
	if r, err = MedianRatio(wide, other, 7); err != nil || Judge(r, nil) != Same {
		t.Errorf("3 %% at 10 %% noise: got %+v, %v", r, err)
	}
}

func TestADifferenceWithinTheNoiseFloorIsNone(t *testing.T) {
	r := Ratio{0.97, 0.96, 0.98, 7}
	for _, c := range []struct {
		noise *Ratio
		want  Finding
	}{
		{nil, Less},
		{&Ratio{1, 0.99, 1.01, 7}, Less},
		{&Ratio{1.02, 1, 1.04, 7}, Same}, // the factor 1.04 counts downwards too
		{&Ratio{0.98, 0.96, 0.99, 7}, Same},
	} {
		if got := Judge(r, c.noise); got != c.want {
			t.Errorf("noise %+v: got %v, want %v", c.noise, got, c.want)
		}
	}
	if got := Judge(Ratio{1.2, 1.1, 1.3, 7}, &Ratio{1, 0.95, 1.05, 7}); got != Greater {
		t.Errorf("got %v, want Greater", got)
	}
}

func TestARatioOfTooLittleIsAnError(t *testing.T) {
	for _, c := range [][2][]float64{{nil, nil}, {{1}, {1}}, {{1, 2}, {1}}, {{1, 0}, {1, 1}}, {{1, math.NaN()}, {1, 1}}} {
		if r, err := MedianRatio(c[0], c[1], 1); err == nil {
			t.Errorf("%v: got %+v", c, r)
		}
	}
}

// noisy returns n values around middle with a log-normal distribution, which is
// like the distribution of real runs.
func noisy(random *rand.Rand, n int, middle, noise float64) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = middle * math.Exp(noise*random.NormFloat64())
	}
	return values
}

// simulate makes duels of a server with the value 1 and one with the value
// shift. It returns the share of duels in which a difference was found: without
// (bare) and with (floored) the noise floor.
func simulate(t *testing.T, duels, rounds int, shift, noise float64) (bare, floored float64) {
	t.Helper()
	random := rand.New(rand.NewPCG(42, uint64(rounds)))
	for d := range duels {
		a, b, again := noisy(random, rounds, 1, noise), noisy(random, rounds, shift, noise), noisy(random, rounds, 1, noise)
		// A drift of the machine changes all values of a round by the same
		// factor.
		for i := range a {
			drift := math.Exp(0.1 * random.NormFloat64())
			a[i], b[i], again[i] = a[i]*drift, b[i]*drift, again[i]*drift
		}
		r, err := medianRatio(a, b, uint64(d), 1000)
		if err != nil {
			t.Fatal(err)
		}
		floor, err := medianRatio(a, again, uint64(d), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if Judge(r, nil) != Same {
			bare++
		}
		if Judge(r, &floor) != Same {
			floored++
		}
	}
	return bare / float64(duels), floored / float64(duels)
}

func TestEqualServersAreSeldomFoundDifferent(t *testing.T) {
	for _, rounds := range []int{7, 8, 15} {
		bare, floored := simulate(t, 1000, rounds, 1, 0.05)
		t.Logf("%d rounds: %.1f %% of A/A duels found a difference, %.1f %% with the noise floor", rounds, 100*bare, 100*floored)
		if bare > 0.07 || floored > 0.05 {
			t.Errorf("%d rounds: %.3f and %.3f, want at most 0.07 and 0.05", rounds, bare, floored)
		}
	}
}

func TestADifferenceTenTimesTheNoiseIsFoundAndOneOfAThirdIsNot(t *testing.T) {
	if _, found := simulate(t, 200, 7, 1.1, 0.01); found < 0.80 {
		t.Errorf("10 %% at 1 %% noise was found in %.0f %% of duels", 100*found)
	}
	if _, found := simulate(t, 200, 7, 1.03, 0.1); found > 0.1 {
		t.Errorf("3 %% at 10 %% noise was found in %.0f %% of duels", 100*found)
	}
}

func BenchmarkMedianRatio(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 1))
	x, y := noisy(random, 7, 1, 0.1), noisy(random, 7, 1, 0.1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := MedianRatio(x, y, 1); err != nil {
			b.Fatal(err)
		}
	}
}
