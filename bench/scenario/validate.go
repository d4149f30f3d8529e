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
	case s.Hurt < 0 || s.Heal < 0 || s.Hurt >= s.Duration || s.Heal >= s.Duration || s.Heal > 0 && s.Heal <= s.Hurt:
		return fmt.Errorf("hurt and heal: want 0 < hurt < heal < duration (%v)", s.Duration)
	case s.Grace < 0 || s.Grace > 0 && (s.Hurt == 0 || s.Hurt+s.Grace >= s.Duration || s.Heal > 0 && s.Hurt+s.Grace > s.Heal):
		return fmt.Errorf("grace: %v is not within the harm, which begins at %v", s.Grace, s.Hurt)
	}
	return s.validateRestart()
}

func (s Scenario) validateRestart() error {
	sends := s.Rate.Max || s.Rate.PerSecond > 0
	switch {
	case s.Restart < 0 || s.Restart >= s.Duration:
		return fmt.Errorf("restart: %v is not within the duration of %v", s.Restart, s.Duration)
	case s.Away < 0 || s.Away > 0 && (s.Restart == 0 || s.Restart+s.Away >= s.Duration):
		return fmt.Errorf("away: %v from restart %v on is not within the duration of %v", s.Away, s.Restart, s.Duration)
	case s.Restart > 0 && (s.Churn.PerSecond > 0 || s.Slow+s.Silent > 0):
		return errors.New("restart: wants no slow, silent or churn: nobody could tell them from those that the kill ended")
	case s.Restart > 0 && sends && (s.Rate.Max || s.Publish == PublishAll):
		return errors.New("restart: wants rate 0/s, or publish others and no rate max: what members of a killed server had sent is lost, as it must be")
	}
	return nil
}
