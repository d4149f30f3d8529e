package redisbridge

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// troubles is what is wrong between this node and Redis. Any goroutine.
type troubles struct {
	trouble atomic.Pointer[string]
	spoke   atomic.Int64 // when the last log line about trouble was written, since began; 0: none since the last round trip
	away    atomic.Int64 // when the first trouble since the last round trip was met, since began; 0: none
}

// troubleLines is the time between two log lines about Redis being away.
const troubleLines = time.Second

// failed remembers the newest trouble for Ready, and says it in the log once a second.
func (b *Bridge) failed(err error) {
	if err == nil || b.closed.Load() || errors.Is(err, context.Canceled) || errors.Is(err, errAway) { // why there is no link was said
		return
	}
	text := strings.ToValidUTF8(err.Error(), "?")
	b.trouble.Store(&text)
	now, last := int64(time.Since(b.began)), b.spoke.Load()
	b.away.CompareAndSwap(0, now)
	if (last == 0 || now-last > int64(troubleLines)) && b.spoke.CompareAndSwap(last, now) {
		b.log.Warn("redis: trouble", zap.String("what", text))
	}
}

// relieved takes back what was said of trouble when every lane has had a round trip since.
func (b *Bridge) relieved() {
	since := b.away.Load()
	if since == 0 || int64(b.proven()) <= since || !b.away.CompareAndSwap(since, 0) {
		return
	}
	b.trouble.Store(nil)
	if b.spoke.Swap(0) > 0 {
		b.log.Info("redis: all is well again", zap.Duration("after", (time.Since(b.began)-time.Duration(since)).Round(time.Millisecond)))
	}
}
