package wire

import (
	"sync"
	"time"
)

// Limit is a published request limit: a bucket's size and its refill a second.
type Limit struct{ Capacity, Refill float64 }

// Buckets throttles by token buckets, one a name, full at first use.
type Buckets struct {
	mu    sync.Mutex
	state map[string]*bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

// Take takes one token of the named bucket; false means throttled.
func (b *Buckets) Take(name string, limit Limit, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == nil {
		b.state = make(map[string]*bucket)
	}
	s := b.state[name]
	if s == nil {
		s = &bucket{tokens: limit.Capacity, at: now}
		b.state[name] = s
	}
	s.tokens = min(limit.Capacity, s.tokens+now.Sub(s.at).Seconds()*limit.Refill)
	s.at = now
	if s.tokens < 1 {
		return false
	}
	s.tokens--
	return true
}
