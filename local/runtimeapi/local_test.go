package runtimeapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/shared/fault"
)

func TestHandlersInProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended time.Time
		l := &runtimeapi.Local{
			Handlers: map[string]runtimeapi.Handler{
				"echo": func(_ context.Context, in json.RawMessage) (json.RawMessage, error) { return in, nil },
				"fail": func(context.Context, json.RawMessage) (json.RawMessage, error) {
					return nil, fault.New(fault.HoldLost, "lost")
				},
				"panic": func(context.Context, json.RawMessage) (json.RawMessage, error) { panic("planned") },
				"hang": func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
					<-ctx.Done()
					ended = time.Now()
					return nil, ctx.Err()
				},
			},
			Timeouts: map[string]time.Duration{"hang": time.Minute},
		}
		if out, err := l.Invoke(t.Context(), "echo", json.RawMessage(`{"a":1}`)); err != nil || string(out) != `{"a":1}` {
			t.Errorf("got %s, %v", out, err)
		}
		for function, want := range map[string]string{
			"fail": "HoldLost", "panic": "Runtime.ExitError", "hang": "Sandbox.Timedout", "none": "Lambda.ResourceNotFoundException",
		} {
			var failed *runtimeapi.Failed
			if _, err := l.Invoke(t.Context(), function, nil); !errors.As(err, &failed) || failed.Type != want {
				t.Errorf("%s: got %v, want %s", function, err, want)
			}
		}
		l.Wait()
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Invoke(ctx, "hang", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want that the caller gave up", err)
		}
		l.Wait()
		if got := ended.Sub(began); got != time.Minute {
			t.Errorf("the function went on for %v, want its own timeout", got)
		}
	})
}
