package asl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const waitFor = `"Type":"Task","Resource":"arn:aws:states:::lambda:invoke.waitForTaskToken","Next":"Z",
	"Parameters":{"FunctionName":"f","Payload":{"token.$":"$$.Task.Token"}}`

// asker is a function that is given a token, and what becomes of it.
type asker struct {
	callbacks Callbacks
	tokens    []string
	do        func(token string) error // nil: nothing
}

func (a *asker) Invoke(_ context.Context, _ string, input json.RawMessage) (json.RawMessage, error) {
	var in struct{ Payload struct{ Token string } }
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, err
	}
	a.tokens = append(a.tokens, in.Payload.Token)
	if a.do == nil {
		return json.RawMessage(`{}`), nil
	}
	return json.RawMessage(`{}`), a.do(in.Payload.Token)
}

// later does something after a while in a goroutine of its own.
func later(d time.Duration, do func()) error {
	time.AfterFunc(d, do)
	return nil
}

func TestCallbacks(t *testing.T) {
	var a *asker
	succeed := func(token string) error { return a.callbacks.Succeed(token, json.RawMessage(`{"ok":1}`)) }
	for _, c := range []struct {
		name, more string
		do         func(token string) error
		want       string
		took       time.Duration
		history    string // of the task
	}{
		{"answered", `,"TimeoutSeconds":60`, func(token string) error { return later(5*time.Second, func() { _ = succeed(token) }) },
			`{"ok":1}`, 5 * time.Second, "TaskScheduled TaskStarted TaskSubmitted TaskSucceeded"},
		{"answered before the function ends", `,"TimeoutSeconds":60`, func(token string) error { defer time.Sleep(time.Second); return succeed(token) },
			`{"ok":1}`, 0, "TaskScheduled TaskStarted TaskSucceeded"},
		{"answered by a function that then fails", `,"TimeoutSeconds":60`, func(token string) error { return errors.Join(succeed(token), &Error{Name: "E"}) },
			`{"ok":1}`, 0, "TaskScheduled TaskStarted TaskSucceeded"},
		{"never answered", `,"TimeoutSeconds":60`, nil,
			"FAILED States.Timeout", time.Minute, "TaskScheduled TaskStarted TaskSubmitted TaskTimedOut"},
		{"never answered, in a time that is given", `,"TimeoutSecondsPath":"$.t"`, nil,
			"FAILED States.Timeout", 3 * time.Second, "TaskScheduled TaskStarted TaskSubmitted TaskTimedOut"},
		{"in no time", `,"TimeoutSecondsPath":"$.zero"`, nil, "FAILED States.Runtime", 0, ""},
		{"the function fails", `,"TimeoutSeconds":60`, func(string) error { return &Error{Name: "E"} },
			"FAILED E", 0, "TaskScheduled TaskStarted TaskFailed"},
		{"failed by its token", `,"TimeoutSeconds":60`, func(token string) error {
			return later(time.Second, func() { _ = a.callbacks.Fail(token, "E", "because") })
		}, "FAILED E", time.Second, "TaskScheduled TaskStarted TaskSubmitted TaskFailed"},
		{"silent", `,"TimeoutSeconds":60,"HeartbeatSeconds":10`, nil,
			"FAILED States.HeartbeatTimeout", 10 * time.Second, "TaskScheduled TaskStarted TaskSubmitted TaskTimedOut"},
		{"heard once", `,"TimeoutSeconds":60,"HeartbeatSeconds":10`, func(token string) error {
			return later(8*time.Second, func() { _ = a.callbacks.Beat(token) })
		}, "FAILED States.HeartbeatTimeout", 18 * time.Second, "TaskScheduled TaskStarted TaskSubmitted TaskTimedOut"},
		{"asked again with another token", `,"TimeoutSeconds":60,"Retry":[{"ErrorEquals":["States.Timeout"],"MaxAttempts":1}]`, func(token string) error {
			if len(a.tokens) == 1 {
				return nil
			}
			if err := a.callbacks.Succeed(a.tokens[0], json.RawMessage(`0`)); !errors.Is(err, ErrTaskOver) {
				return fmt.Errorf("the first token: got %w", err)
			}
			return later(4*time.Second, func() { _ = succeed(token) })
		}, `{"ok":1}`, 65 * time.Second, "TaskScheduled TaskStarted TaskSubmitted TaskTimedOut TaskScheduled TaskStarted TaskSubmitted TaskSucceeded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a = &asker{do: c.do}
				var work sync.WaitGroup
				var history []string
				started := time.Now()
				out, err := parse(t, one(`{`+waitFor+c.more+`}`)).Run(t.Context(), Execution{
					Input: json.RawMessage(`{"t":3,"zero":0}`), Tasks: a, Work: &work, Callbacks: &a.callbacks, Seed: 1,
					Observe: func(e Event) {
						if strings.HasPrefix(e.Type, "Task") && !strings.HasPrefix(e.Type, "TaskState") {
							history = append(history, e.Type)
						}
					},
				})
				took, got := time.Since(started), string(out)
				var f *Failure
				if errors.As(err, &f) {
					got = string(f.Status) + " " + f.Name
				}
				if got != c.want || took != c.took || strings.Join(history, " ") != c.history {
					t.Errorf("got %s after %v by %v, want %s after %v by %s", got, took, history, c.want, c.took, c.history)
				}
				work.Wait()
				for _, token := range a.tokens {
					if err := a.callbacks.Succeed(token, json.RawMessage(`{}`)); !errors.Is(err, ErrTaskOver) {
						t.Errorf("a token whose task is over: got %v", err)
					}
				}
			})
		})
	}
}

func TestRefusedAnswers(t *testing.T) {
	var c Callbacks
	stranger := (&branch{x: &execution{}, fx: &effects{rand.New(rand.NewPCG(9, 0))}}).newToken()
	for _, err := range []struct{ got, want error }{
		{c.Succeed("nonsense", json.RawMessage(`{}`)), ErrToken},
		{c.Fail("", "E", ""), ErrToken},
		{c.Succeed(stranger, json.RawMessage(`{}`)), ErrNoTask},
		{c.Beat(stranger), ErrNoTask},
		{c.Succeed(stranger, json.RawMessage(`{`)), ErrOutput},
		{c.Succeed(stranger, json.RawMessage(`"`+strings.Repeat("x", MaxPayload)+`"`)), ErrOutput},
	} {
		if !errors.Is(err.got, err.want) {
			t.Errorf("got %v, want %v", err.got, err.want)
		}
	}
}

// The same seed draws the same tokens, another seed others.
func TestTokens(t *testing.T) {
	tokens := func(seed uint64) []string {
		a := &asker{do: func(string) error { return &Error{Name: "E"} }}
		definition := one(`{` + waitFor + `,"TimeoutSeconds":60,"Retry":[{"ErrorEquals":["E"],"IntervalSeconds":1,"MaxAttempts":2}]}`)
		synctest.Test(t, func(t *testing.T) {
			_, _ = parse(t, definition).Run(t.Context(), Execution{ID: "x", Tasks: a, Callbacks: &a.callbacks, Seed: seed})
		})
		return a.tokens
	}
	first, again, other := tokens(1), tokens(1), tokens(2)
	if len(first) != 3 || !slices.Equal(first, again) {
		t.Errorf("got %v, then %v", first, again)
	}
	all := slices.Concat(first, other)
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != 6 {
		t.Errorf("got %d tokens, want 6", n)
	}
}
