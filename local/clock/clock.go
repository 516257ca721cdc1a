// Package clock is time that passes at once: a discrete-event scheduler for
// executions. One coroutine runs at a time, in an order that depends on nothing
// but what they do, so that a simulation is the same every time.
package clock

import (
	"container/heap"
	"context"
	"iter"
	"sync"
	"time"

	"github.com/quiesce/quiesce/workflow/asl"
)

// Virtual implements asl.Clock. Everything that waits on it must have been
// started by Run or Go.
type Virtual struct {
	mu      sync.Mutex // gates may be opened from outside, by a signal's end
	now     time.Time
	serial  uint64
	timers  timers
	ready   []*coroutine
	current *coroutine
	asleep  int // coroutines that wait
	steps   int
	woken   chan struct{}
}

// New makes a clock that stands at a moment.
func New(at time.Time) *Virtual { return &Virtual{now: at, woken: make(chan struct{}, 1)} }

// coroutine is one line of work; yield hands control back to Run.
type coroutine struct {
	next  func() (struct{}, bool)
	yield func(struct{}) bool
}

// waiter is one Wait; the first to wake it counts.
type waiter struct {
	co    *coroutine
	woken bool
}

type timer struct {
	at     time.Time
	serial uint64
	w      *waiter
}

type timers []timer

func (t timers) Len() int      { return len(t) }
func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t timers) Less(i, j int) bool {
	return t[i].at.Before(t[j].at) || t[i].at.Equal(t[j].at) && t[i].serial < t[j].serial
}
func (t *timers) Push(x any) { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}

// Now is the virtual time.
func (v *Virtual) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

// Steps counts how often control changed hands.
func (v *Virtual) Steps() int { return v.steps }

// Go starts f after what is ready already.
func (v *Virtual) Go(f func()) {
	co := &coroutine{}
	co.next, _ = iter.Pull(func(yield func(struct{}) bool) {
		co.yield = yield
		f()
	})
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ready = append(v.ready, co)
}

// Sleep lets d pass.
func (v *Virtual) Sleep(d time.Duration) { v.Wait(d) }

// Wait implements asl.Clock.
func (v *Virtual) Wait(d time.Duration, gates ...*asl.Gate) int {
	if i := asl.First(gates); i >= 0 || d == 0 {
		return i
	}
	co := v.current
	w := &waiter{co: co}
	v.mu.Lock()
	v.asleep++
	if d > 0 {
		v.serial++
		heap.Push(&v.timers, timer{v.now.Add(d), v.serial, w})
	}
	v.mu.Unlock()
	for _, g := range gates {
		g.Notify(func() { v.wake(w) })
	}
	co.yield(struct{}{})
	return asl.First(gates)
}

func (v *Virtual) wake(w *waiter) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if w.woken {
		return
	}
	w.woken = true
	v.asleep--
	v.ready = append(v.ready, w.co)
	select {
	case v.woken <- struct{}{}:
	default:
	}
}

// Run runs f and all that it starts until nothing is left to do, or until ctx
// ends, which leaves everything as it stands. What waits for a gate that nobody
// can open any more waits for one from outside.
func (v *Virtual) Run(ctx context.Context, f func()) error {
	v.Go(f)
	for ctx.Err() == nil {
		co, idle := v.pick()
		switch {
		case co != nil:
			v.current = co
			v.steps++
			co.next()
			v.current = nil
		case idle:
			return nil
		default:
			select {
			case <-v.woken:
			case <-ctx.Done():
			}
		}
	}
	return ctx.Err()
}

// pick takes what is ready, or lets time pass until something is; idle means
// that nothing waits either.
func (v *Virtual) pick() (co *coroutine, idle bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for len(v.ready) == 0 && len(v.timers) > 0 {
		t := heap.Pop(&v.timers).(timer)
		if t.w.woken {
			continue
		}
		t.w.woken, v.now = true, t.at
		v.asleep--
		v.ready = append(v.ready, t.w.co)
	}
	if len(v.ready) == 0 {
		return nil, v.asleep == 0
	}
	co, v.ready = v.ready[0], v.ready[1:]
	return co, false
}
