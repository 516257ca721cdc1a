package runtimeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/quiesce/quiesce/functions/edge"
	"github.com/quiesce/quiesce/shared/fault"
)

// Handler is a function in this process.
type Handler func(context.Context, json.RawMessage) (json.RawMessage, error)

// Edge makes a handler of a step with the edge around it that is deployed.
func Edge(e edge.Edge) Handler {
	return func(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
		out, failed := e.Invoke(ctx, payload)
		if failed != nil {
			return nil, &Failed{Type: failed.Type, Message: failed.Message}
		}
		return out, nil
	}
}

// Local runs handlers in this process, alike to a Host for the workflow: each
// has its timeout, and goes on when its caller has given up.
type Local struct {
	Handlers map[string]Handler
	Timeouts map[string]time.Duration // default 3 s, as Lambda's

	mu      sync.Mutex
	wg      sync.WaitGroup
	serial  int
	seen    map[string]bool
	records []Record
}

// Invocations returns every invocation that has ended so far. Cold is the
// first of each function.
func (l *Local) Invocations() []Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.records)
}

// Wait waits for the functions that still run.
func (l *Local) Wait() { l.wg.Wait() }

// Invoke runs a handler until its answer or its timeout. After the timeout its
// context is over and nobody hears it any more, as if it had been killed.
func (l *Local) Invoke(ctx context.Context, function string, payload json.RawMessage) (json.RawMessage, error) {
	handler, ok := l.Handlers[function]
	if !ok {
		return nil, &Failed{Type: "Lambda.ResourceNotFoundException", Message: "Function not found: " + function}
	}
	timeout := l.Timeouts[function]
	if timeout == 0 {
		timeout = 3 * time.Second
	}
	l.mu.Lock()
	l.serial++
	record := Record{Function: function, RequestID: requestID(l.serial), At: time.Now(), Cold: !l.seen[function]}
	if l.seen == nil {
		l.seen = make(map[string]bool)
	}
	l.seen[function] = true
	l.mu.Unlock()

	type answer struct {
		output json.RawMessage
		err    error
	}
	done := make(chan answer, 1)
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	l.wg.Go(func() {
		defer cancel()
		inner := make(chan answer, 1)
		l.wg.Go(func() {
			out, err := l.call(own, handler, slices.Clone(payload))
			inner <- answer{out, err}
		})
		var a answer
		select {
		case a = <-inner:
		case <-own.Done():
			a.err = timedOut(record.RequestID, timeout)
		}
		record.Duration = time.Since(record.At)
		var failed *Failed
		if errors.As(a.err, &failed) {
			record.Error = failed.Type
		}
		l.mu.Lock()
		l.records = append(l.records, record)
		l.mu.Unlock()
		done <- a
	})
	select {
	case a := <-done:
		return a.output, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *Local) call(ctx context.Context, handler Handler, payload json.RawMessage) (out json.RawMessage, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, &Failed{Type: "Runtime.ExitError", Message: fmt.Sprintf("Error: Runtime exited with error: panic: %v", p)}
		}
	}()
	if out, err = handler(ctx, payload); err == nil {
		return out, nil
	}
	var failed *Failed
	if errors.As(err, &failed) { // named by its edge
		return nil, failed
	}
	return nil, &Failed{Type: string(fault.CodeOf(err)), Message: err.Error()}
}
