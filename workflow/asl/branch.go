package asl

import (
	"errors"
	"sync"
)

// parallel runs every branch on the same input; its result is the list of
// theirs, in the order they are written.
func (b *branch) parallel(s *State, in scope) (any, error) {
	input, err := s.Parameters.apply(in, b.fx)
	if err != nil {
		return nil, err
	}
	data, err := seal(input)
	if err != nil {
		return nil, err
	}
	b.record(Event{Type: "ParallelStateStarted"})
	out, err := b.fan(len(s.Branches), len(s.Branches), func(child *branch, i int) (any, error) {
		out, err := child.walk(s.Branches[i], data)
		return out.value, err
	})
	return b.joined("Parallel", out, err)
}

// inlineAtOnce is how many iterations of an inline Map the service runs at a
// time, whatever MaxConcurrency says.
const inlineAtOnce = 40

// each runs the processor once for every item.
func (b *branch) each(s *State, in scope) (any, error) {
	if s.Distributed != nil {
		return b.distribute(s, in)
	}
	items, err := b.items(s, in)
	if err != nil {
		return nil, err
	}
	limit, err := b.limit(s, in, min(len(items), inlineAtOnce))
	if err != nil {
		return nil, err
	}
	b.record(Event{Type: "MapStateStarted", Length: len(items)})
	out, err := b.fan(len(items), limit, func(child *branch, i int) (any, error) {
		child.item = map[string]any{"Index": number(i), "Value": items[i]}
		child.record(Event{Type: "MapIterationStarted", Name: s.Name, Index: i})
		out, err := child.iterate(s, in, items[i])
		child.record(Event{Type: "MapIteration" + outcome(err), Name: s.Name, Index: i})
		return out, err
	})
	return b.joined("Map", out, err)
}

func (b *branch) iterate(s *State, in scope, item any) (any, error) {
	if s.Parameters != nil {
		var err error
		if item, err = s.Parameters.render(scope{in.input, b.scope.context}, b.fx); err != nil {
			return nil, err
		}
	}
	data, err := seal(item)
	if err != nil {
		return nil, err
	}
	out, err := b.walk(s.Branches[0], data)
	return out.value, err
}

func outcome(err error) string {
	var stop *stopped
	switch {
	case err == nil:
		return "Succeeded"
	case errors.As(err, &stop):
		return "Aborted"
	}
	return "Failed"
}

func (b *branch) joined(kind string, out []any, err error) (any, error) {
	if result := outcome(err); result != "Aborted" {
		b.record(Event{Type: kind + "State" + result})
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

var errSibling = errors.New("another branch failed")

// fan runs n branches, at most limit at a time. The first failure stops the
// others and is the state's; a stop from above stays a stop.
func (b *branch) fan(n, limit int, do func(child *branch, i int) (any, error)) ([]any, error) {
	var (
		alive = b.life.below()
		out   = make([]any, n)
		gate  turnstile
		once  sync.Once
		first error
	)
	for i := range n {
		child := b.fork(alive, i)
		gate.enter(b.x.Clock, max(limit, 1))
		if alive.over() != nil {
			gate.leave()
			break
		}
		b.x.Clock.Go(func() {
			defer gate.leave()
			v, err := do(child, i)
			if err != nil {
				once.Do(func() { first = err })
				alive.end(errSibling)
			}
			out[i] = v
		})
	}
	gate.empty(b.x.Clock)
	if err := b.life.over(); err != nil && alive.over() != nil {
		return nil, err
	}
	return out, first
}
