package selftest

import (
	"testing"

	"dotsconnect/bench/load"
	"dotsconnect/bench/proof"
)

// overlooking is a wrong ledger: its verdict leaves out one kind of violation.
type overlooking struct {
	*proof.Ledger
	forget func(c *proof.Counts)
}

func (o overlooking) Verdict() proof.Verdict {
	v := o.Ledger.Verdict()
	o.forget(&v.Counts)
	return v
}

func TestInjectedFaultsAreFoundAndABrokenCheckerFails(t *testing.T) {
	forget := []func(c *proof.Counts){
		func(c *proof.Counts) { c.Lost = 0 },
		func(c *proof.Counts) { c.Doubled = 0 },
		func(c *proof.Counts) { c.Reordered = 0 },
	}
	for i, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			if text, err := injected(Config{}, k, 32, 4); err != nil {
				t.Errorf("not found: %v", err)
			} else {
				t.Log(text)
			}
		})
		t.Run(k.name+" overlooked", func(t *testing.T) {
			t.Parallel()
			broken := Config{NewLedger: func(roomOf []int32, roomOrder bool) load.Ledger {
				return overlooking{proof.New(roomOf, roomOrder), forget[i]}
			}}
			if text, err := injected(broken, k, 32, 4); err == nil {
				t.Errorf("the selftest passes with a ledger that overlooks it: %s", text)
			}
		})
	}
}
