package asl

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Limits of the service for one distributed Map of standard executions.
const (
	MaxChildren = 10_000                // at once
	dispatch    = 10 * time.Millisecond // between two starts: 100 a second
)

// ExceedTolerated is the error of a Map of which too many children failed.
const ExceedTolerated = "States.ExceedToleratedFailureThreshold"

// Kin is how whoever runs the parent follows a child execution.
type Kin struct {
	Observe func(Event)                  // as an execution's own; nil: none
	Ended   func(json.RawMessage, error) // nil: not told
}

// child is one execution of a distributed Map.
type child struct {
	x              Execution
	started, ended time.Time
	output         json.RawMessage
	failure        *Failure // nil: it succeeded
	done           bool
}

// distribute runs the processor once for every item, each as an execution of
// its own. Beyond the tolerated failures those that run are stopped and those
// that wait are not started.
func (b *branch) distribute(s *State, in scope) (any, error) {
	items, err := b.items(s, in)
	if err != nil {
		return nil, err
	}
	limit, err := b.limit(s, in, MaxChildren)
	if err != nil {
		return nil, err
	}
	tolerated, err := s.Distributed.tolerated(in, len(items))
	if err != nil {
		return nil, err
	}
	b.record(Event{Type: "MapStateStarted", Length: len(items)})
	run := mapRun{b: b, s: s, alive: b.life.below(), children: make([]child, len(items)), tolerated: tolerated}
	run.id = b.fx.uuid()
	b.record(Event{Type: "MapRunStarted", Resource: run.arn()})
	run.start(in, items, limit)
	if err := b.life.over(); err != nil {
		return nil, err
	}
	result, err := run.result(in)
	if run.failed > tolerated {
		err = &Error{ExceedTolerated, fmt.Sprintf("The specified tolerated failure threshold was exceeded: %d of %d failed", run.failed, len(items))}
	}
	if err != nil {
		b.record(Event{Type: "MapRunFailed"})
		b.record(Event{Type: "MapStateFailed"})
		return nil, err
	}
	b.record(Event{Type: "MapRunSucceeded"})
	b.record(Event{Type: "MapStateSucceeded"})
	return result, nil
}

// items are read from S3 or found by the path.
func (b *branch) items(s *State, in scope) ([]any, error) {
	v := in.input
	switch reader := s.distributedReader(); {
	case reader != nil:
		parameters, err := reader.Parameters.render(in, b.fx)
		if err != nil {
			return nil, err
		}
		if v, err = b.fetch(reader.Resource, parameters); err != nil {
			return nil, err
		}
	case s.ItemsPath != nil:
		var err error
		if v, err = s.ItemsPath.must(in, "ItemsPath"); err != nil {
			return nil, err
		}
	}
	items, ok := v.([]any)
	if !ok {
		return nil, runtimeError("The items of the Map state %q are no list", s.Name)
	}
	return items, nil
}

func (s *State) distributedReader() *Object {
	if s.Distributed == nil {
		return nil
	}
	return s.Distributed.Reader
}

// readFailed is the error of items or results that S3 does not give or take.
const (
	readFailed  = "States.ItemReaderFailed"
	writeFailed = "States.ResultWriterFailed"
)

func (b *branch) fetch(resource string, parameters any) (any, error) {
	reply, err := b.invoke(resource, appendValue(nil, parameters), 0, 0, nil)
	if err != nil {
		return nil, storage(readFailed, err)
	}
	var object struct{ Body string }
	if err := json.Unmarshal(reply, &object); err != nil {
		return nil, &Error{readFailed, err.Error()}
	}
	v, err := decode([]byte(object.Body))
	if err != nil {
		return nil, &Error{readFailed, err.Error()}
	}
	return v, nil
}

// storage names a failed call of S3, and lets a stop be one.
func storage(name string, err error) error {
	if _, stop := err.(*stopped); stop {
		return err
	}
	return &Error{name, err.Error()}
}

// limit is how many iterations may run at once.
func (b *branch) limit(s *State, in scope, most int) (int, error) {
	n := s.MaxConcurrency
	if s.Concurrency != nil {
		var err error
		if n, err = s.Concurrency.seconds(in, "MaxConcurrencyPath"); err != nil {
			return 0, err
		}
	}
	if n == 0 {
		n = most
	}
	return min(n, most), nil
}

// tolerated is how many of n may fail: as the count says, or the share, or
// none.
func (d *Distributed) tolerated(in scope, n int) (int, error) {
	count, share := d.Tolerated, d.Percentage
	if d.ToleratedPath != nil {
		var err error
		if count, err = d.ToleratedPath.seconds(in, "ToleratedFailureCountPath"); err != nil {
			return 0, err
		}
	}
	if d.PercentagePath != nil {
		percent, err := d.PercentagePath.seconds(in, "ToleratedFailurePercentagePath")
		if err != nil {
			return 0, err
		}
		share = float64(percent)
	}
	return max(count, int(share/100*float64(n))), nil
}

// mapRun is one run of a distributed Map.
type mapRun struct {
	b         *branch
	s         *State
	id        string
	alive     *life
	children  []child
	tolerated int

	mu     sync.Mutex
	failed int
}

func (r *mapRun) name() string { return r.b.x.MachineName + "/" + r.s.Distributed.Label }

// arn names the run after the execution's own ARN.
func (r *mapRun) arn() string { return r.named(":mapRun:", r.id) }

func (r *mapRun) named(kind, name string) string {
	account, _, _ := strings.Cut(r.b.x.ID, ":execution:")
	return account + kind + r.name() + ":" + name
}

// start starts every child in turn, no faster than the service does, and
// waits for them.
func (r *mapRun) start(in scope, items []any, limit int) {
	var gate turnstile
	clock, next := r.b.x.Clock, r.b.x.Clock.Now()
	for i, item := range items {
		clock.Wait(max(0, next.Sub(clock.Now())), &r.alive.gate)
		gate.enter(clock, max(limit, 1))
		if r.alive.over() != nil {
			gate.leave()
			break
		}
		next = clock.Now().Add(dispatch)
		c := &r.children[i]
		input, err := r.input(in, i, item)
		c.x = r.execution(input)
		c.started = clock.Now()
		clock.Go(func() {
			defer gate.leave()
			r.run(c, err)
		})
	}
	gate.empty(clock)
}

// input is the item, or what the selector makes of it.
func (r *mapRun) input(in scope, i int, item any) (json.RawMessage, error) {
	if r.s.Parameters != nil {
		r.b.item = map[string]any{"Index": number(i), "Value": item}
		v, err := r.s.Parameters.render(scope{in.input, r.b.contextObject}, r.b.fx)
		r.b.item = nil
		if err != nil {
			return nil, err
		}
		item = v
	}
	data, err := seal(item)
	return data.text, err
}

func (r *mapRun) execution(input json.RawMessage) Execution {
	x := r.b.x.Execution
	x.Name = r.b.fx.uuid()
	x.ID = r.named(":execution:", x.Name)
	x.MachineName, x.MachineID = r.name(), r.b.x.MachineID+"/"+r.s.Distributed.Label
	x.Input, x.Observe, x.Seed = input, nil, r.b.fx.rand.Uint64()
	return x
}

// run runs one child to its end and counts its failure.
func (r *mapRun) run(c *child, err error) {
	kin := Kin{}
	if c.x.Child != nil {
		kin = c.x.Child(c.x)
	}
	c.x.Observe = kin.Observe
	if err == nil {
		c.output, err = r.s.Branches[0].run(r.b.ctx, r.alive.below(), c.x)
	}
	c.ended, c.done = r.b.x.Clock.Now(), true
	if err != nil {
		f, isFailure := err.(*Failure)
		if !isFailure {
			f = ended(err)
		}
		c.failure, err = f, f
		r.mu.Lock()
		if f.Status != Aborted {
			r.failed++
		}
		over := r.failed > r.tolerated
		r.mu.Unlock()
		if over {
			r.alive.end(errThreshold)
		}
	}
	if kin.Ended != nil {
		kin.Ended(c.output, err)
	}
}

var errThreshold = &Error{ExceedTolerated, "The tolerated failure threshold was exceeded"}
