package redisbridge

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// The journal writes events of lanes to the log. Usually one event concerns many lanes at the same moment. With a line for each
// lane, a log that drops repeated lines would name only some of the lanes. So the journal collects notes of the same kind for a
// moment, and writes one line that names all lanes concerned.
type journal struct {
	log *zap.Logger

	mu    sync.Mutex
	notes []*note     // guarded by mu
	timer *time.Timer // guarded by mu; nil while there is nothing to write
}

// gatherTime is how long notes are collected.
const gatherTime = 250 * time.Millisecond

// note becomes one line of the log.
type note struct {
	level   zapcore.Level
	message string
	reason  string // notes with different reasons become separate lines
	unit    string // unit of count, "" if there is no count
	count   uint64
	lanes   []int
}

// write adds a lane to the note of its kind.
func (j *journal) write(n note, lane int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := slices.IndexFunc(j.notes, func(o *note) bool { return o.message == n.message && o.reason == n.reason })
	if i < 0 {
		i = len(j.notes)
		j.notes = append(j.notes, &note{level: n.level, message: n.message, reason: n.reason, unit: n.unit})
	}
	have := j.notes[i]
	have.count += n.count
	if !slices.Contains(have.lanes, lane) {
		have.lanes = append(have.lanes, lane)
	}
	if j.timer == nil {
		j.timer = time.AfterFunc(gatherTime, j.flush)
	}
}

// flush writes the collected notes, in the order in which they began.
func (j *journal) flush() {
	j.mu.Lock()
	notes := j.notes
	j.notes = nil
	if j.timer != nil {
		j.timer.Stop()
		j.timer = nil
	}
	j.mu.Unlock()
	for _, n := range notes {
		slices.Sort(n.lanes)
		fields := []zap.Field{zap.Int("lanes", len(n.lanes)), zap.String("which", ranges(n.lanes))}
		if n.unit != "" {
			fields = append(fields, zap.Uint64(n.unit, n.count))
		}
		if n.reason != "" {
			fields = append(fields, zap.String("reason", n.reason))
		}
		j.log.Log(n.level, n.message, fields...)
	}
}

// ranges formats sorted numbers like this: 0-3,7.
func ranges(numbers []int) string {
	var parts []string
	for i := 0; i < len(numbers); {
		last := i
		for last+1 < len(numbers) && numbers[last+1] == numbers[last]+1 {
			last++
		}
		if last == i {
			parts = append(parts, fmt.Sprint(numbers[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", numbers[i], numbers[last]))
		}
		i = last + 1
	}
	return strings.Join(parts, ",")
}
