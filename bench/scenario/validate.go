package scenario

import (
	"errors"
	"fmt"
	"time"
)

// maxMessages is the largest number of a message that a stamp can have.
const maxMessages = 1 << 27

// MaxConns is the largest number of senders that stamps can distinguish.
const MaxConns = 1<<21 - 2

// Validate returns an error for the first field that is out of range or
// contradicts another one.
func (s Scenario) Validate() error {
	switch {
	case s.Conns < 1 || s.Conns > MaxConns:
		return fmt.Errorf("conns: %d is out of range; write a value from 1 to %d", s.Conns, MaxConns)
	case s.Rooms < 1 || s.Rooms > s.Conns:
		return fmt.Errorf("rooms: %d is out of range; write a value from 1 to conns (%d)", s.Rooms, s.Conns)
	case s.Burst < 1:
		return fmt.Errorf("burst: %d is out of range; write at least 1", s.Burst)
	case s.Duration < time.Second:
		return fmt.Errorf("duration: %v is too short; write at least 1s", s.Duration)
	case s.Warmup < 0 || s.Settle < 0 || s.Beat < 0:
		return errors.New("warmup, settle and beat must not be negative")
	case s.Rate.PerSecond*(s.Duration+s.Warmup).Seconds() > maxMessages:
		return fmt.Errorf("rate: %s is too high: a run cannot number that many messages", s.Rate)
	case s.Echo == EchoNo && s.Rate.Max:
		return errors.New("echo: no is not possible with rate max: a closed loop waits for its own messages")
	case s.Echo == EchoNo && s.Rooms == s.Conns:
		return errors.New("echo: no is not possible with rooms of one connection: nobody would get a message")
	case s.Open.PerSecond == 0 && !s.Open.Max:
		return errors.New("open: 0/s opens no connection; write a rate such as 2000/s, or max")
	}
	for _, n := range s.Sizes {
		if n < MinSize || n > MaxSize {
			return fmt.Errorf("size: %d is out of range; write a value from %d to %d bytes (a smaller message has no room for the stamp)", n, MinSize, MaxSize)
		}
	}
	return s.validateParts()
}

// validateParts checks the fields that only some scenarios use: churn, silent
// and slow members, faults.
func (s Scenario) validateParts() error {
	switch {
	case s.Churn.PerSecond*(s.Duration+s.Warmup).Seconds() > maxMessages:
		return fmt.Errorf("churn: %s is too high: a run cannot number that many connections", s.Churn)
	case s.Churn.Max:
		return errors.New("churn: max is not possible; write a rate such as 2000/s")
	case s.Silent > 0 && (s.Beat <= 0 || s.Beat >= s.MaxAge):
		return fmt.Errorf("beat: %v must be shorter than max-age %v, or the server closes every connection", s.Beat, s.MaxAge)
	case s.Silent > 0 && s.Duration+s.Warmup < s.MaxAge+time.Second:
		return fmt.Errorf("duration: %v is too short: with silent members, duration plus warmup must be at least max-age (%v) plus 1s", s.Duration, s.MaxAge)
	case s.Slow+s.Silent > 1:
		return errors.New("slow and silent together must not be more than 100%")
	case s.Hurt < 0 || s.Heal < 0 || s.Hurt >= s.Duration || s.Heal >= s.Duration || s.Heal > 0 && s.Heal <= s.Hurt:
		return fmt.Errorf("hurt and heal: the order must be 0 < hurt < heal < duration, which is %v", s.Duration)
	case s.Grace < 0 || s.Grace > 0 && (s.Hurt == 0 || s.Hurt+s.Grace >= s.Duration || s.Heal > 0 && s.Hurt+s.Grace > s.Heal):
		return fmt.Errorf("grace: needs hurt, and hurt plus grace must be at most heal and less than duration; got hurt %v, grace %v, heal %v, duration %v",
			s.Hurt, s.Grace, s.Heal, s.Duration)
	}
	return s.validateRestart()
}

func (s Scenario) validateRestart() error {
	sends := s.Rate.Max || s.Rate.PerSecond > 0
	switch {
	case s.Restart < 0 || s.Restart >= s.Duration:
		return fmt.Errorf("restart: %v must be less than duration, which is %v", s.Restart, s.Duration)
	case s.Away < 0 || s.Away > 0 && (s.Restart == 0 || s.Restart+s.Away >= s.Duration):
		return fmt.Errorf("away: needs restart, and restart plus away must be less than duration; got restart %v, away %v, duration %v",
			s.Restart, s.Away, s.Duration)
	case s.Restart > 0 && (s.Churn.PerSecond > 0 || s.Slow+s.Silent > 0):
		return errors.New("restart: cannot be combined with slow, silent or churn: connections that end because of these fields would look like connections that the kill ended")
	case s.Restart > 0 && sends && (s.Rate.Max || s.Publish == PublishAll):
		return errors.New("restart: needs rate 0/s, or publish others without rate max: messages that members on the killed server send may be lost, and such a loss is not a violation")
	}
	return nil
}
