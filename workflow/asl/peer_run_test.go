package asl_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/workflow/asl"
)

// ours runs the case in our interpreter and tells what became of it.
func (c *scenario) ours(t *testing.T) (text string) {
	t.Helper()
	m, err := asl.Parse(c.Definition, map[string]string{})
	if err != nil {
		t.Log(err)
		return (&outcome{Refused: true}).text(c)
	}
	var o outcome
	synctest.Test(t, func(t *testing.T) {
		w := &stand{c: c, callbacks: &asl.Callbacks{}, used: map[*answer]int{}}
		var work sync.WaitGroup
		defer work.Wait()
		began := time.Now()
		out, err := m.Run(t.Context(), asl.Execution{
			ID: "arn:aws:states:eu-central-1:123456789012:execution:m:run-1", Name: "run-1", RoleARN: "arn:aws:iam::123456789012:role/r",
			MachineID: "arn:aws:states:eu-central-1:123456789012:stateMachine:m", MachineName: "m",
			Input: c.Input, Tasks: w, Seed: 1, Callbacks: w.callbacks, Work: &work,
			Observe: func(e asl.Event) {
				if strings.HasSuffix(e.Type, "StateEntered") {
					w.outcome.Path = append(w.outcome.Path, e.Name)
				}
			},
		})
		w.mu.Lock() // a call that was given up on may go on
		o = w.outcome
		w.mu.Unlock()
		o.Seconds = time.Since(began).Seconds()
		var f *asl.Failure
		switch {
		case errors.As(err, &f):
			o.Error = f.Name
			if !strings.HasPrefix(f.Name, "States.") {
				o.Cause = f.Cause
			}
		case err != nil:
			t.Error(err)
		default:
			o.Output = decode(t, out)
		}
	})
	return o.text(c)
}

// stand answers the tasks of one case, and notes how they were called.
type stand struct {
	c         *scenario
	callbacks *asl.Callbacks

	mu      sync.Mutex
	used    map[*answer]int
	outcome outcome
}

func (w *stand) Invoke(_ context.Context, resource string, input json.RawMessage) (json.RawMessage, error) {
	task := strings.SplitN(resource, ":", 7)[6]
	token := ""
	if strings.HasSuffix(task, ".waitForTaskToken") {
		var p struct{ Payload struct{ Token string } }
		if err := json.Unmarshal(input, &p); err != nil {
			return nil, err
		}
		token = p.Payload.Token
		input = json.RawMessage(strings.Replace(string(input), token, "the token", 1))
	}
	a := w.answer(task, input)
	time.Sleep(time.Duration(a.Seconds) * time.Second)
	if a.Error != "" {
		return nil, &asl.Error{Name: a.Error, Cause: a.Cause}
	}
	result := a.Result
	if result == nil {
		result = input
	}
	if token != "" {
		// A token that was given up on is answered by nobody.
		if err := w.callbacks.Succeed(token, result); err != nil && !errors.Is(err, asl.ErrTaskOver) {
			return nil, err
		}
	}
	return result, nil
}

// answer picks the first reply that fits and is not used up, else the last
// that fits.
func (w *stand) answer(task string, input json.RawMessage) *answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	var v any
	if err := json.Unmarshal(input, &v); err != nil {
		return &answer{Error: "Unscripted", Cause: err.Error()}
	}
	if w.outcome.Calls == nil {
		w.outcome.Calls = map[string][]any{}
	}
	w.outcome.Calls[task] = append(w.outcome.Calls[task], v)
	var last *answer
	for _, a := range w.c.Tasks[task] {
		var want any
		if a.For != nil && (json.Unmarshal(a.For, &want) != nil || canonical(want) != canonical(v)) {
			continue
		}
		if last = a; w.used[a] < max(a.Times, 1) {
			break
		}
	}
	if last == nil {
		return &answer{Error: "Unscripted", Cause: canonical(v)}
	}
	w.used[last]++
	return last
}

func decode(t *testing.T, data json.RawMessage) (v any) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Error(err)
	}
	return v
}
