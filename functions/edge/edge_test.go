package edge

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/step"
)

func answering(out string, err error) step.Handler {
	return func(context.Context, json.RawMessage) (json.RawMessage, error) { return json.RawMessage(out), err }
}

// both are the edges of the two runtimes around one step.
func both(next step.Handler) map[string]Edge {
	return map[string]Edge{"Lambda": Lambda(next), "Function Compute": Flow("freeze", next, nil)}
}

func TestTypeIsTheCode(t *testing.T) {
	foreign := errors.New("nobody translated this")
	for _, c := range []struct {
		err  error
		want Failed
	}{
		{fault.New(fault.AgentOffline, "the agent is silent"), Failed{"AgentOffline", "the agent is silent"}},
		{fault.Wrap(fault.HoldLost, foreign, "thaw"), Failed{"HoldLost", "thaw: nobody translated this"}},
		{foreign, Failed{"Internal", "nobody translated this"}},
	} {
		for runtime, e := range both(answering("", c.err)) {
			if _, got := e.Invoke(t.Context(), nil); got == nil || *got != c.want {
				t.Errorf("%s: %v: got %v, want %v", runtime, c.err, got, c.want)
			}
		}
	}
}

func TestAnswersBeforeItIsKilled(t *testing.T) {
	waiting := func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
		<-ctx.Done()
		return nil, fault.Wrap(fault.Unavailable, ctx.Err(), "wait")
	}
	for runtime, e := range both(waiting) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			started := time.Now()
			_, failed := e.Invoke(ctx, nil)
			if got, want := time.Since(started), time.Minute-margin; failed == nil || got != want {
				t.Errorf("%s: got %v after %s, want an error after %s", runtime, failed, got, want)
			}
		})
	}
}

// What a flow has no room for becomes a fault that it can catch, and a long
// sentence keeps its step's times.
func TestNothingOverflowsAFlow(t *testing.T) {
	room := map[string]int{"freeze": maxAnswer, "precheck": maxPlan, "verify-report": maxPlan}
	for name, most := range room {
		for size, fits := range map[int]bool{most: true, most + 1: false} {
			e := Flow(name, answering(`"`+strings.Repeat("x", size-2)+`"`, nil), nil)
			if out, got := e.Invoke(t.Context(), nil); (got == nil) != fits || got != nil && got.Type != string(fault.Internal) {
				t.Errorf("%s with %d bytes: got %d, %v", name, size, len(out), got)
			}
		}
	}
	wordy := step.New("freeze", func(context.Context, struct{}) (any, error) {
		return nil, fault.New(fault.FreezeRefused, "%s", strings.Repeat("é", 3000))
	})
	_, got := Flow("freeze", wordy, nil).Invoke(t.Context(), []byte(`{}`))
	if got == nil || len(got.Message) > maxMessage {
		t.Fatalf("got %v", got)
	}
	if _, name, _, _, ok := step.Unstamp(got.Message); !ok || name != "freeze" {
		t.Errorf("the times are lost: …%s", got.Message[len(got.Message)-80:])
	}
}

// Step Functions has room for four times as much, and catches what is more.
func TestLambdaAnswersInFull(t *testing.T) {
	large := `"` + strings.Repeat("x", 300<<10) + `"`
	if out, failed := Lambda(answering(large, nil)).Invoke(t.Context(), nil); failed != nil || len(out) != len(large) {
		t.Errorf("got %d bytes, %v", len(out), failed)
	}
}

// What is done besides costs a step neither its answer nor much of its time.
func TestSettlingDoesNotHoldAnAnswerUp(t *testing.T) {
	hanging := func(ctx context.Context) { <-ctx.Done() }
	for _, c := range []struct {
		name string
		step time.Duration
		want time.Duration
	}{
		{"poll-status", time.Second, time.Second + settling},
		{"poll-status", time.Hour, time.Minute - margin/2},
		{"freeze", time.Second, time.Second}, // the application waits for it
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			started := time.Now()
			busy := func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
				select {
				case <-time.After(c.step):
				case <-ctx.Done():
				}
				return json.RawMessage("{}"), nil
			}
			out, failed := Flow(c.name, busy, hanging).Invoke(ctx, nil)
			if took := time.Since(started); failed != nil || string(out) != "{}" || took != c.want {
				t.Errorf("%s of %s: got %s, %v after %s, want an answer after %s", c.name, c.step, out, failed, took, c.want)
			}
		})
	}
}
