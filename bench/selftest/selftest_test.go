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
	forget := map[proof.Counts]func(c *proof.Counts){
		{Lost: 1}:             func(c *proof.Counts) { c.Lost = 0 },
		{Doubled: 1}:          func(c *proof.Counts) { c.Doubled = 0 },
		{Reordered: 1}:        func(c *proof.Counts) { c.Reordered = 0 },
		{Damaged: 1}:          func(c *proof.Counts) { c.Damaged = 0 },
		{Damaged: 1, Lost: 1}: func(c *proof.Counts) { c.Damaged = 0 },
	}
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			if text, err := injected(Config{}, f, 32, 4); err != nil {
				t.Errorf("not found: %v", err)
			} else {
				t.Log(text)
			}
		})
		t.Run(f.name+" overlooked", func(t *testing.T) {
			t.Parallel()
			broken := Config{NewLedger: func(roomOf []int32, roomOrder bool) load.Ledger {
				return overlooking{proof.New(roomOf, roomOrder), forget[f.want]}
			}}
			if text, err := injected(broken, f, 32, 4); err == nil {
				t.Errorf("the selftest passes with a ledger that overlooks it: %s", text)
			}
		})
	}
}

func TestOtherFaultsAreFound(t *testing.T) {
	for name, check := range map[string]func(Config) (string, error){"no echo": withoutEcho, "heartbeat": brokenBeat, "zombie": zombie} {
		t.Run(name, func(t *testing.T) {
			if name != "zombie" { // signals belong to the whole process, so only one Spec may run
				t.Parallel()
			}
			if text, err := check(Config{}); err != nil {
				t.Error(err)
			} else {
				t.Log(text)
			}
		})
	}
}
