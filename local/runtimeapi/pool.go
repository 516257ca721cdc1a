package runtimeapi

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"
)

// process is one of a function's, up until it is killed or has ended.
type process interface {
	comparable
	kill()
	name() string // of its function
	base() *child
}

// pool is the processes that a host has started, and what they have done.
type pool[P process] struct {
	mu      sync.Mutex
	closed  bool
	up      []P
	records []Record
	serial  int
	wg      sync.WaitGroup
}

// Close kills every process that the host has started and waits for them.
func (p *pool[P]) Close() {
	p.mu.Lock()
	p.closed = true
	all := slices.Clone(p.up)
	p.mu.Unlock()
	for _, one := range all {
		one.kill()
	}
	p.wg.Wait()
}

// Invocations returns every invocation that has ended so far.
func (p *pool[P]) Invocations() []Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.records)
}

// Processes counts the processes that are up, by function.
func (p *pool[P]) Processes() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := make(map[string]int)
	for _, one := range p.up {
		n[one.name()]++
	}
	return n
}

func (p *pool[P]) forget(one P) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up = slices.DeleteFunc(p.up, func(other P) bool { return other == one })
}

// invoke gives a payload to the process that choose takes, or to a new one
// where it takes none, and lets the caller go when its context ends.
func (p *pool[P]) invoke(ctx context.Context, payload json.RawMessage, choose func() P, run func(P, *invocation)) (json.RawMessage, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errClosed
	}
	p.serial++
	inv := &invocation{id: requestID(p.serial), payload: payload, done: make(chan struct{})}
	one := choose()
	var none P
	inv.cold = one == none
	p.wg.Add(1)
	p.mu.Unlock()

	go func() {
		defer p.wg.Done()
		run(one, inv)
		close(inv.done)
	}()
	select {
	case <-inv.done:
		return inv.output, inv.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begin is the record of an invocation, to be ended by note.
func begin(function string, inv *invocation) *Record {
	return &Record{Function: function, RequestID: inv.id, At: time.Now(), Cold: inv.cold}
}

// note keeps the record of an invocation that has ended.
func (p *pool[P]) note(record *Record, inv *invocation) {
	var failed *Failed
	if errors.As(inv.err, &failed) {
		record.Error = failed.Type
	} else if inv.err != nil {
		record.Error = inv.err.Error()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.records = append(p.records, *record)
}
