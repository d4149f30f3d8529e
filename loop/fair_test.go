package loop

import "testing"

// A publisher that always has more to send uses up the room's credit in each turn. So if no message of a publisher was
// parsed in this turn, this publisher must go first in the next turn.
func TestAPublisherThatFloodsItsRoomDoesNotSilenceTheOthers(t *testing.T) {
	r := newRig(t, func(c *Config) { c.RoomCredit = 2000 })
	flooder, quiet := r.open(0, "room", 0), r.open(0, "room", 0)
	for turn := range 200 {
		for range 20 {
			flooder.arrive(message(500))
		}
		r.read(flooder)
		if turn == 10 {
			quiet.arrive("at last")
			r.read(quiet)
		}
		r.turn(0)
		flooder.take(-1)
		quiet.take(-1)
		if len(quiet.parsed) > 0 {
			if turn > 20 {
				t.Errorf("parsed %d turns later, want within 10", turn-10)
			}
			return
		}
	}
	t.Error("one message was not parsed in 190 turns beside a flooder")
}
