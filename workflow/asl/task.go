package asl

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"sync"
	"time"
)

// attempt runs a state that can fail: again as long as a retrier allows, then
// on to a catcher, else the branch fails.
func (b *branch) attempt(s *State, in scope) (document, string, error) {
	spent := make([]int, len(s.Retry))
	for {
		out, err := b.once(s, in)
		if err == nil {
			return out, s.Next, nil
		}
		var named *Error
		if !errors.As(err, &named) { // stopped
			return document{}, "", err
		}
		if i := s.retrier(named.Name); i >= 0 && spent[i] < s.Retry[i].MaxAttempts {
			if err := b.sleep(s.Retry[i].delay(spent[i], b.fx)); err != nil {
				return document{}, "", err
			}
			spent[i]++
			b.tries++
			if err := b.alive(); err != nil {
				return document{}, "", err
			}
			continue
		}
		for _, c := range s.Catch {
			if matches(c.ErrorEquals, named.Name) {
				v, err := c.ResultPath.put(in.input, map[string]any{"Error": named.Name, "Cause": named.Cause})
				if err != nil {
					return document{}, "", err
				}
				out, err := seal(v)
				return out, c.Next, err
			}
		}
		return document{}, "", named
	}
}

// retrier returns the first entry that takes the error. Its exhausted budget
// is not taken over by a later one.
func (s *State) retrier(name string) int {
	for i, r := range s.Retry {
		if matches(r.ErrorEquals, name) {
			return i
		}
	}
	return -1
}

// delay before the retry after n earlier ones.
func (r *Retrier) delay(n int, fx *effects) time.Duration {
	d := float64(r.IntervalSeconds) * math.Pow(r.BackoffRate, float64(n))
	if r.MaxDelaySeconds > 0 {
		d = min(d, float64(r.MaxDelaySeconds))
	}
	if r.FullJitter {
		d *= fx.rand.Float64()
	}
	return time.Duration(min(d, 99_999_999) * float64(time.Second))
}

// once is one attempt from the state's input to its output. A result that is
// too large fails here, where a catcher still sees it.
func (b *branch) once(s *State, in scope) (out document, err error) {
	effective, err := s.InputPath.narrow(in, "InputPath")
	if err != nil {
		return out, err
	}
	given := scope{effective, in.context}
	var result any
	switch s.Type {
	case Task:
		result, err = b.task(s, given)
	case Parallel:
		result, err = b.parallel(s, given)
	case Map:
		result, err = b.each(s, given)
	}
	if err != nil {
		return out, err
	}
	if result, err = s.ResultSelector.apply(scope{result, in.context}, b.fx); err != nil {
		return out, err
	}
	v, err := s.ResultPath.put(in.input, result)
	if err != nil {
		return out, err
	}
	if v, err = s.OutputPath.narrow(scope{v, in.context}, "OutputPath"); err != nil {
		return out, err
	}
	return seal(v)
}

// limits are the seconds that a task and its heartbeat may take, 0 for any.
func (s *State) limits(in scope) (timeout, heartbeat int, err error) {
	timeout, heartbeat = s.TimeoutSeconds, s.HeartbeatSeconds
	if s.TimeoutSecondsPath != nil {
		if timeout, err = s.TimeoutSecondsPath.seconds(in, "TimeoutSecondsPath"); err != nil {
			return 0, 0, err
		}
	}
	if s.HeartbeatSecondsPath != nil {
		if heartbeat, err = s.HeartbeatSecondsPath.seconds(in, "HeartbeatSecondsPath"); err != nil {
			return 0, 0, err
		}
	}
	if timeout == 0 && s.TimeoutSecondsPath != nil || heartbeat == 0 && s.HeartbeatSecondsPath != nil {
		return 0, 0, runtimeError("A limit of the state %q is read by a path and is 0, it must be positive", s.Name)
	}
	return timeout, heartbeat, nil
}

func (b *branch) task(s *State, in scope) (any, error) {
	timeout, heartbeat, err := s.limits(in)
	if err != nil {
		return nil, err
	}
	var w *waiting
	if s.Callback() {
		w = b.x.Callbacks.open(b.newToken())
		b.token = w.token
		defer func() { b.token = ""; b.x.Callbacks.close(w) }()
	}
	payload, err := s.Parameters.apply(in, b.fx)
	if err != nil {
		return nil, err
	}
	input, err := seal(payload)
	if err != nil {
		return nil, err
	}
	kind := "Task"
	scheduled := Event{Resource: s.Resource, Input: input.text, TimeoutSeconds: timeout, HeartbeatSeconds: heartbeat}
	if isLambda(s.Resource) {
		kind = "LambdaFunction"
	} else {
		scheduled.Region = region(b.x.ID)
	}
	scheduled.Type = kind + "Scheduled"
	b.record(scheduled)
	b.record(Event{Type: kind + "Started", Resource: s.Resource})
	output, err := b.invoke(s.Resource, input.text, timeout, heartbeat, w)
	var result any
	if err == nil {
		if result, err = decode(output); err != nil {
			err = runtimeError("The result of the task is not JSON: %v", err)
		} else if len(output) > MaxPayload {
			err = &Error{DataLimitExceeded, "The task returned a result with a size exceeding the maximum number of bytes service limit."}
		}
	}
	var stop *stopped
	var named *Error
	switch {
	case err == nil:
		b.record(Event{Type: kind + "Succeeded", Resource: s.Resource, Output: output})
		return result, nil
	case errors.As(err, &stop):
		return nil, err
	case !errors.As(err, &named):
		named = &Error{TaskFailed, err.Error()}
	}
	ending := "Failed"
	if named == errTimeout || named == errSilent {
		ending = "TimedOut"
	}
	b.record(Event{Type: kind + ending, Resource: s.Resource, Error: named.Name, Cause: named.Cause})
	return nil, named
}

// Told apart from an invocation's own failure of that name by identity.
var (
	errTimeout = &Error{Name: Timeout}
	errSilent  = &Error{Name: HeartbeatTimeout}
)

type heartbeats struct{}

// pulse is heard by the state that waits for a task.
type pulse struct {
	mu   sync.Mutex
	beat *Gate
}

func (p *pulse) next() *Gate {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.beat = new(Gate)
	return p.beat
}

func (p *pulse) feel() {
	p.mu.Lock()
	beat := p.beat
	p.mu.Unlock()
	beat.Open()
}

// Heartbeat tells the task's state that its work goes on.
func Heartbeat(ctx context.Context) {
	if p, ok := ctx.Value(heartbeats{}).(*pulse); ok {
		p.feel()
	}
}

// invoke waits for the invocation, or for its token's answer where there is
// one, or gives up on it and lets it go on alone.
func (b *branch) invoke(resource string, input json.RawMessage, timeout, heartbeat int, w *waiting) (json.RawMessage, error) {
	ctx := context.WithoutCancel(b.ctx)
	p := &pulse{beat: new(Gate)}
	if w != nil {
		p = &w.pulse
	} else if heartbeat > 0 {
		ctx = context.WithValue(ctx, heartbeats{}, p)
	}
	var (
		output json.RawMessage
		failed error
		ended  Gate
	)
	done := &ended
	if b.x.Work != nil {
		b.x.Work.Add(1)
	}
	b.x.Clock.Go(func() {
		if b.x.Work != nil {
			defer b.x.Work.Done()
		}
		output, failed = b.x.Tasks.Invoke(ctx, resource, input)
		ended.Open()
	})
	end := b.x.Clock.Now().Add(seconds(timeout))
	for {
		beat := p.next()
		if b.x.Callbacks.answered(w) {
			return w.output, w.failed
		}
		limit, silence := time.Duration(-1), seconds(heartbeat)
		if timeout > 0 {
			limit = max(0, end.Sub(b.x.Clock.Now()))
		}
		silent := heartbeat > 0 && (limit < 0 || silence < limit)
		if silent {
			limit = silence
		}
		switch i, err := b.await(limit, done, beat); {
		case err != nil:
			return nil, err
		case i == 1: // a heartbeat, or the answer
		case i == 0 && w != nil && failed == nil:
			b.record(Event{Type: "TaskSubmitted", Resource: resource, Output: output})
			done = new(Gate) // which stays closed
		case b.x.Callbacks.close(w):
			return w.output, w.failed
		case i == 0:
			return output, failed
		case silent:
			return nil, errSilent
		default:
			return nil, errTimeout
		}
	}
}

func number(n int) json.Number { return json.Number(strconv.Itoa(n)) }
