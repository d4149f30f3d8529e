package scenario

import (
	"errors"
	"fmt"
	"time"
)

// maxMessages is what the numbers in a stamp can tell apart.
const maxMessages = 1 << 27

// MaxConns is how many senders they can.
const MaxConns = 1<<21 - 2

// Validate says what does not fit together.
func (s Scenario) Validate() error {
	switch {
	case s.Conns < 1 || s.Conns > MaxConns:
		return fmt.Errorf("conns: %d, and 1 to %d are possible", s.Conns, MaxConns)
	case s.Rooms < 1 || s.Rooms > s.Conns:
		return fmt.Errorf("rooms: %d, and there must be 1 to conns (%d)", s.Rooms, s.Conns)
	case s.Burst < 1:
		return fmt.Errorf("burst: %d, and at least 1 is needed", s.Burst)
	case s.Duration < time.Second:
		return fmt.Errorf("duration: %v, and at least 1s is needed", s.Duration)
	case s.Warmup < 0 || s.Settle < 0 || s.Beat < 0:
		return errors.New("warmup, settle and beat must not be negative")
	case s.Rate.PerSecond*(s.Duration+s.Warmup).Seconds() > maxMessages:
		return fmt.Errorf("rate: %s is more messages than a run can number", s.Rate)
	case s.Open.PerSecond == 0 && !s.Open.Max:
		return errors.New("open: 0/s opens nothing; it takes a rate such as 2000/s, or max")
	}
	for _, n := range s.Sizes {
		if n < MinSize || n > MaxSize {
			return fmt.Errorf("size: %d, and a message takes %d to %d bytes (the stamp needs the first)", n, MinSize, MaxSize)
		}
	}
	return s.validateParts()
}

// validateParts looks at what some scenarios do beside sending.
func (s Scenario) validateParts() error {
	switch {
	case s.Churn.PerSecond*(s.Duration+s.Warmup).Seconds() > maxMessages:
		return fmt.Errorf("churn: %s is more connections than a run can number", s.Churn)
	case s.Churn.Max:
		return errors.New("churn: max is not possible; it takes a rate such as 2000/s")
	case s.Silent > 0 && (s.Beat <= 0 || s.Beat >= s.MaxAge):
		return fmt.Errorf("beat: %v must be below max-age %v, or nobody is alive", s.Beat, s.MaxAge)
	case s.Silent > 0 && s.Duration+s.Warmup < s.MaxAge+time.Second:
		return fmt.Errorf("duration: %v, and with silent members max-age (%v) and a second are needed", s.Duration, s.MaxAge)
	case s.Slow+s.Silent > 1:
		return errors.New("slow and silent must not be more than all together")
	case s.Restart < 0 || s.Restart >= s.Duration:
		return fmt.Errorf("restart: %v is not within the duration of %v", s.Restart, s.Duration)
	case s.Restart > 0 && (s.Rate.Max || s.Rate.PerSecond > 0 || s.Churn.PerSecond > 0 || s.Slow+s.Silent > 0):
		return errors.New("restart: wants rate 0/s and no slow, silent or churn: what a killed server had is lost, as it must be")
	case s.Hurt < 0 || s.Heal < 0 || s.Hurt >= s.Duration || s.Heal >= s.Duration || s.Heal > 0 && s.Heal <= s.Hurt:
		return fmt.Errorf("hurt and heal: want 0 < hurt < heal < duration (%v)", s.Duration)
	}
	return nil
}
