package server

import (
	"cmp"
	"crypto/sha256"
	"sync"
	"time"

	"dotsconnect/loop"
)

// An Idempotency-Key lets a client send a POST again whose answer it did not get: the message is published once. The node remembers the key
// with the outcome, for keyAge after the first request. It keeps digests of a fixed size, at most mostKeys of them, and forgets the oldest
// first. Other nodes do not know the key.
type keyring struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]*keyed
	queue []*keyed // the oldest first; some may be forgotten already
	most  int      // 0: mostKeys
}

// keyed is a key and what became of its message.
type keyed struct {
	key, body [sha256.Size]byte
	until     time.Duration // on the clock of the server

	// Guarded by keyring.mu.
	answered bool
	outcome  loop.Outcome
	at       loop.ID
}

const (
	keyAge   = 2 * time.Minute
	mostKeys = 1 << 16 // they take about 12 MiB
)

// begin returns what is known of a key. If nothing is, it remembers the key, and the caller must call settle or forget.
func (r *keyring) begin(key, body [sha256.Size]byte, now time.Duration) (k *keyed, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shrink(now, mostKeys)
	if k = r.known[key]; k != nil {
		return k, true
	}
	if r.known == nil {
		r.known = map[[sha256.Size]byte]*keyed{}
	}
	r.shrink(now, cmp.Or(r.most, mostKeys)-1)
	k = &keyed{key: key, body: body, until: now + keyAge}
	r.known[key] = k
	r.queue = append(r.queue, k)
	return k, false
}

// shrink forgets the keys that are too old, and those beyond a number. mu is held.
func (r *keyring) shrink(now time.Duration, most int) {
	for len(r.queue) > 0 && (r.queue[0].until <= now || len(r.queue) > most) {
		r.remove(r.queue[0])
		r.queue[0] = nil
		r.queue = r.queue[1:]
	}
}

// settle remembers the outcome. A message that was refused can be sent again, so its key is forgotten. k may be nil.
func (r *keyring) settle(k *keyed, o loop.Outcome, at loop.ID) {
	if k == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if o == loop.Refused {
		r.remove(k)
		return
	}
	k.answered, k.outcome, k.at = true, o, at
}

// forget makes the key of a message that was not published unknown again. k may be nil.
func (r *keyring) forget(k *keyed) { r.settle(k, loop.Refused, loop.ID{}) }

// remove removes k, unless its key was used again after it was forgotten. mu is held.
func (r *keyring) remove(k *keyed) {
	if r.known[k.key] == k {
		delete(r.known, k.key)
	}
}

// answer returns the outcome, if there is one yet.
func (r *keyring) answer(k *keyed) (o loop.Outcome, at loop.ID, answered bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return k.outcome, k.at, k.answered
}

// len is the number of keys that are remembered.
func (r *keyring) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.known)
}
