package asl

import (
	"sync"
	"time"
)

// Clock is the time that executions live in: everything that they wait for
// goes through it, so that a simulation can let hours pass at once.
type Clock interface {
	Now() time.Time

	// Go runs f beside its caller.
	Go(f func())

	// Wait blocks its caller until one of at most three gates is open, and
	// returns the index of the first that is, or until d has passed, and
	// returns -1. A negative d never passes.
	Wait(d time.Duration, gates ...*Gate) int
}

// Gate opens once and stays open. The zero value is closed.
type Gate struct {
	mu      sync.Mutex
	opened  bool
	channel chan struct{} // made for whoever waits on one
	notify  []func()
}

// Open lets everybody through who waits, now and later.
func (g *Gate) Open() {
	g.mu.Lock()
	if g.opened {
		g.mu.Unlock()
		return
	}
	g.opened = true
	if g.channel != nil {
		close(g.channel)
	}
	notify := g.notify
	g.notify = nil
	g.mu.Unlock()
	for _, f := range notify {
		f()
	}
}

// IsOpen reports whether the gate is open.
func (g *Gate) IsOpen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opened
}

// Notify has f called by whoever opens the gate, or at once if it is open.
func (g *Gate) Notify(f func()) {
	g.mu.Lock()
	if !g.opened {
		g.notify = append(g.notify, f)
		g.mu.Unlock()
		return
	}
	g.mu.Unlock()
	f()
}

func (g *Gate) done() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.channel == nil {
		g.channel = make(chan struct{})
		if g.opened {
			close(g.channel)
		}
	}
	return g.channel
}

// Wall is the machine's own time, which a synctest bubble makes virtual.
type Wall struct{}

func (Wall) Now() time.Time { return time.Now() }
func (Wall) Go(f func())    { go f() }

func (Wall) Wait(d time.Duration, gates ...*Gate) int {
	var passed <-chan time.Time
	if d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		passed = t.C
	}
	var open [3]<-chan struct{}
	for i, g := range gates {
		open[i] = g.done()
	}
	select {
	case <-open[0]:
	case <-open[1]:
	case <-open[2]:
	case <-passed:
	}
	return First(gates)
}

// First is the index of the first open gate, -1 for none.
func First(gates []*Gate) int {
	for i, g := range gates {
		if g.IsOpen() {
			return i
		}
	}
	return -1
}

// life ends a line of states and all that it started: by a stop from above, or
// by the failure of a sibling.
type life struct {
	gate     Gate
	mu       sync.Mutex
	cause    error
	deadline time.Time // zero: none
}

// end ends the life; the first cause counts.
func (l *life) end(cause error) {
	l.mu.Lock()
	if l.cause == nil {
		l.cause = cause
	}
	l.mu.Unlock()
	l.gate.Open()
}

// over returns why the life has ended, nil if it has not.
func (l *life) over() error {
	if !l.gate.IsOpen() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return &stopped{l.cause}
}

// below makes a life that ends with this one, if not before.
func (l *life) below() *life {
	child := &life{deadline: l.deadline}
	l.gate.Notify(func() { child.end(l.cause) })
	return child
}

// turnstile lets at most so many in at a time.
type turnstile struct {
	mu    sync.Mutex
	in    int
	freed *Gate
}

// enter waits until fewer than limit are in.
func (t *turnstile) enter(c Clock, limit int) {
	for {
		t.mu.Lock()
		if t.in < limit {
			t.in++
			t.mu.Unlock()
			return
		}
		t.freed = new(Gate)
		freed := t.freed
		t.mu.Unlock()
		c.Wait(-1, freed)
	}
}

func (t *turnstile) leave() {
	t.mu.Lock()
	t.in--
	freed := t.freed
	t.freed = nil
	t.mu.Unlock()
	if freed != nil {
		freed.Open()
	}
}

// empty waits until nobody is in.
func (t *turnstile) empty(c Clock) {
	t.enter(c, 1)
	t.leave()
}
