package asl

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// Tasks does the work of Task states. Invoke is called with the state's
// resource as it is written, and once more for every retry; a failure that is
// no *Error is States.TaskFailed. Its context carries values but no deadline
// and no cancellation: as in the cloud, a function that was given up on goes
// on until its own timeout.
type Tasks interface {
	Invoke(ctx context.Context, resource string, input json.RawMessage) (json.RawMessage, error)
}

// TasksFunc is a function as Tasks.
type TasksFunc func(ctx context.Context, resource string, input json.RawMessage) (json.RawMessage, error)

// Invoke calls f.
func (f TasksFunc) Invoke(ctx context.Context, resource string, input json.RawMessage) (json.RawMessage, error) {
	return f(ctx, resource, input)
}

// Execution is one run of a machine: what the context object shows of it, its
// input, and who does its work.
type Execution struct {
	ID, Name, RoleARN      string          // the execution's ARN and name
	MachineID, MachineName string          // the state machine's ARN and name
	Input                  json.RawMessage // empty: {}
	Tasks                  Tasks
	Work                   *sync.WaitGroup     // counts invocations until they end, also those that were given up on; nil: nobody waits
	Seed                   uint64              // of jitter and States.UUID
	Observe                func(Event)         // called for every event in its order, one at a time; nil: none
	Clock                  Clock               // nil: Wall
	Callbacks              *Callbacks          // by which tasks are answered; nil: nobody can
	Child                  func(Execution) Kin // is told of every child of a distributed Map; nil: nobody is
}

// Run executes the machine and returns its output. The error is a *Failure.
// Cancelling ctx aborts the execution past every Catch, as StopExecution does;
// a cause that is an *Error names the reason.
func (m *Machine) Run(ctx context.Context, x Execution) (json.RawMessage, error) {
	if x.Clock == nil {
		x.Clock = Wall{}
	}
	if x.Callbacks == nil {
		x.Callbacks = &Callbacks{}
	}
	alive := &life{}
	if m.TimeoutSeconds > 0 {
		alive.deadline = x.Clock.Now().Add(seconds(m.TimeoutSeconds))
	}
	defer context.AfterFunc(ctx, func() { alive.end(context.Cause(ctx)) })()
	return m.run(ctx, alive, x)
}

// run is one execution from its first event to its last.
func (m *Machine) run(ctx context.Context, alive *life, x Execution) (json.RawMessage, error) {
	r := &execution{Execution: x, started: x.Clock.Now(), limits: m.Limits}
	b := &branch{x: r, ctx: ctx, life: alive, fx: &effects{rand.New(rand.NewPCG(x.Seed, 0))}}
	b.scope.context = b.contextObject
	if len(x.Input) == 0 {
		x.Input = json.RawMessage("{}")
	}
	b.record(Event{Type: "ExecutionStarted", Input: x.Input, RoleARN: x.RoleARN})
	out, err := b.start(m, x.Input)
	if err == nil {
		b.record(Event{Type: "ExecutionSucceeded", Output: out.text})
		return out.text, nil
	}
	f := ended(err)
	b.finish(Event{Type: map[Status]string{Failed: "ExecutionFailed", TimedOut: "ExecutionTimedOut", Aborted: "ExecutionAborted"}[f.Status],
		Error: f.Name, Cause: f.Cause})
	return nil, f
}

// Expired is the cause of an execution whose own time is over. A ctx that ends
// with it ends the execution as the machine's TimeoutSeconds would.
var Expired error = errExpired

var errExpired = &Error{Name: Timeout}

// stopped is an end that no Catch sees.
type stopped struct{ cause error }

func (s *stopped) Error() string { return "stopped: " + s.cause.Error() }

func ended(err error) *Failure {
	var named *Error
	var stop *stopped
	switch {
	case !errors.As(err, &stop):
		errors.As(err, &named)
		return &Failure{Failed, named.Name, named.Cause}
	case stop.cause == error(errExpired):
		return &Failure{TimedOut, errExpired.Name, ""}
	case errors.As(stop.cause, &named):
		return &Failure{Aborted, named.Name, named.Cause}
	}
	return &Failure{Aborted, "", stop.cause.Error()}
}

// execution is what the branches of one run share.
type execution struct {
	Execution
	started time.Time
	input   any
	limits  Limits

	mu     sync.Mutex
	events int64
}

// branch is one line of states. Branches share no mutable value: documents are
// copied on write, chance is drawn from the branch's own source.
type branch struct {
	x     *execution
	ctx   context.Context // its values alone
	life  *life
	fx    *effects
	prev  int64 // the event before
	state string
	since time.Time // the state was entered
	tries int
	token string // of a task that waits for an answer, else empty
	item  any    // of a Map, else nil
	scope scope
}

// fork makes a branch with a source of chance that depends on its number
// alone, not on which branch gets there first.
func (b *branch) fork(alive *life, n int) *branch {
	child := &branch{x: b.x, ctx: b.ctx, life: alive, prev: b.prev, item: b.item,
		fx: &effects{rand.New(rand.NewPCG(b.fx.rand.Uint64(), uint64(n)))}}
	child.scope.context = child.contextObject
	return child
}

func (b *branch) start(m *Machine, input json.RawMessage) (document, error) {
	v, err := decode(input)
	if err != nil {
		return document{}, runtimeError("The input is not JSON: %v", err)
	}
	b.x.input = v
	in, err := seal(v)
	if err != nil {
		return document{}, err
	}
	return b.walk(m, in)
}

// contextObject is built when a path asks for it.
func (b *branch) contextObject() any {
	object := map[string]any{
		"Execution": map[string]any{
			"Id": b.x.ID, "Input": b.x.input, "Name": b.x.Name, "RoleArn": b.x.RoleARN,
			"StartTime": b.x.started.UTC().Format("2006-01-02T15:04:05.000Z"), "RedriveCount": json.Number("0"),
		},
		"StateMachine": map[string]any{"Id": b.x.MachineID, "Name": b.x.MachineName},
		"State": map[string]any{
			"EnteredTime": b.since.UTC().Format("2006-01-02T15:04:05.000Z"), "Name": b.state, "RetryCount": number(b.tries),
		},
	}
	if b.token != "" {
		object["Task"] = map[string]any{"Token": b.token}
	}
	if b.item != nil {
		object["Map"] = map[string]any{"Item": b.item}
	}
	return object
}

// record appends to the history; past its limit the execution is stopped.
func (b *branch) record(e Event) {
	b.x.mu.Lock()
	defer b.x.mu.Unlock()
	b.x.events++
	e.ID, e.PreviousID, e.Timestamp = b.x.events, b.prev, b.x.Clock.Now()
	b.prev = e.ID
	if b.x.Observe != nil {
		b.x.Observe(e)
	}
}

// finish records the last event, which comes after those of every branch.
func (b *branch) finish(e Event) {
	b.x.mu.Lock()
	b.prev = b.x.events
	b.x.mu.Unlock()
	b.record(e)
}

// alive tells why the branch must not go on, nil if it may.
func (b *branch) alive() error {
	if b.ctx.Err() != nil {
		b.life.end(context.Cause(b.ctx)) // whoever tells it may not have come to it yet
	}
	if err := b.life.over(); err != nil {
		return err
	}
	b.x.mu.Lock()
	defer b.x.mu.Unlock()
	most := int64(cmp.Or(b.x.limits.Events, MaxEvents))
	if b.x.events >= most-5 {
		return runtimeError("The execution reached the maximum number of history events (%d).", most)
	}
	return nil
}

// walk runs a machine's states until one ends it.
func (b *branch) walk(m *Machine, data document) (document, error) {
	for s := m.States[m.StartAt]; ; {
		if err := b.alive(); err != nil {
			return document{}, err
		}
		b.state, b.since, b.tries = s.Name, b.x.Clock.Now(), 0
		b.record(Event{Type: s.Type + "StateEntered", Name: s.Name, Input: data.text})
		out, next, err := b.enter(s, data)
		if err != nil {
			var stop *stopped
			if errors.As(err, &stop) && (s.Type == Task || s.Type == Wait || s.Type == Map || s.Type == Parallel) {
				b.record(Event{Type: s.Type + "StateAborted"})
			}
			return document{}, err
		}
		data = out
		if most := b.x.limits.Payload; most > 0 && len(data.text) > most {
			return document{}, runtimeError("The state '%s' hands on %d bytes, of %d allowed.", s.Name, len(data.text), most)
		}
		b.record(Event{Type: s.Type + "StateExited", Name: s.Name, Output: data.text})
		if next == "" {
			return data, nil
		}
		s = m.States[next]
	}
}

// enter does what the state does and tells what comes next.
func (b *branch) enter(s *State, data document) (out document, next string, err error) {
	in := scope{data.value, b.scope.context}
	switch s.Type {
	case Task, Map, Parallel:
		return b.attempt(s, in)
	case Fail:
		return out, "", b.fail(s, in)
	}
	effective, err := s.InputPath.narrow(in, "InputPath")
	if err != nil {
		return out, "", err
	}
	given := scope{effective, in.context}
	v, next := effective, s.Next
	switch s.Type {
	case Choice:
		next, err = s.choose(given)
	case Wait:
		err = b.wait(s, given)
	case Pass:
		if v, err = s.Parameters.apply(given, b.fx); err == nil {
			if s.hasResult {
				v = s.Result
			}
			v, err = s.ResultPath.put(in.input, v)
		}
	}
	if err != nil {
		return out, "", err
	}
	if s.Type != Pass && s.InputPath == nil && s.OutputPath == nil {
		return data, next, nil // encoded already
	}
	if v, err = s.OutputPath.narrow(scope{v, in.context}, "OutputPath"); err != nil {
		return out, "", err
	}
	out, err = seal(v)
	return out, next, err
}

func (s *State) choose(in scope) (string, error) {
	for _, r := range s.Choices {
		if ok, err := r.holds(in); err != nil || ok {
			return r.Next, err
		}
	}
	if s.Default == "" {
		return "", &Error{NoChoiceMatched, "no choice matches and there is no Default"}
	}
	return s.Default, nil
}

func (b *branch) fail(s *State, in scope) error {
	e := &Error{s.Error, s.Cause}
	for _, field := range []struct {
		t    *Template
		into *string
	}{{s.ErrorPath, &e.Name}, {s.CausePath, &e.Cause}} {
		if field.t == nil {
			continue
		}
		v, err := field.t.render(in, b.fx)
		if err != nil {
			return err
		}
		text, ok := v.(string)
		if !ok {
			return runtimeError("%s: finds no string", field.t.at)
		}
		*field.into = text
	}
	return e
}

func (b *branch) wait(s *State, in scope) error {
	var d time.Duration
	switch {
	case s.Seconds != nil:
		d = seconds(*s.Seconds)
	case s.SecondsPath != nil:
		n, err := s.SecondsPath.seconds(in, "SecondsPath")
		if err != nil {
			return err
		}
		d = seconds(n)
	default:
		var v any = s.Timestamp
		if s.TimestampPath != nil {
			var err error
			if v, err = s.TimestampPath.must(in, "TimestampPath"); err != nil {
				return err
			}
		}
		at, ok := timestamp(v)
		if !ok {
			return runtimeError("The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time format string")
		}
		d = at.Sub(b.x.Clock.Now())
	}
	return b.sleep(d)
}

// sleep waits, unless the branch is stopped.
func (b *branch) sleep(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	_, err := b.await(d)
	return err
}

// await waits for a gate or for d to pass, which is -1, unless the branch is
// stopped or the machine's time is over.
func (b *branch) await(d time.Duration, gates ...*Gate) (int, error) {
	last := false
	if end := b.life.deadline; !end.IsZero() {
		if left := max(0, end.Sub(b.x.Clock.Now())); d < 0 || left < d {
			d, last = left, true
		}
	}
	i := b.x.Clock.Wait(d, append([]*Gate{&b.life.gate}, gates...)...)
	if i < 0 && last {
		b.life.end(errExpired)
	}
	return max(i-1, -1), b.life.over()
}

// seconds reads a whole number of seconds, not negative.
func (p *Path) seconds(in scope, field string) (int, error) {
	v, err := p.must(in, field)
	if err != nil {
		return 0, err
	}
	n := integer(v)
	if n == nil || *n < 0 || *n > 99_999_999 {
		return 0, runtimeError("The %s parameter does not reference a valid number of seconds", field)
	}
	return int(*n), nil
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
