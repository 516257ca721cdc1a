package main

import (
	"context"
	"encoding/json"

	"github.com/quiesce/quiesce/functions/verifyclean"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/step"
)

// testJanitor lets verify-clean be started by the event of a restore test that
// ended past its catchers, as janitor does thaw. Without the input, which the
// service leaves out for its size, the copies go all the same.
func testJanitor(next step.Handler) step.Handler {
	return func(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
		var event stopped
		if err := json.Unmarshal(payload, &event); err != nil || event.Type != statusChange {
			return next(ctx, payload) // which refuses what it cannot read
		}
		request := json.RawMessage("null")
		if event.Detail.Input != nil && json.Valid([]byte(*event.Detail.Input)) {
			request = json.RawMessage(*event.Detail.Input)
		}
		ended := verifyclean.Ended{Status: event.Detail.Status}
		if event.Detail.Error != nil {
			ended.Error = *event.Detail.Error
		}
		input, err := json.Marshal(map[string]any{
			"run": run.Run{ID: event.Detail.Name}, "created": nil, "before": nil, "request": request, "ended": ended,
		})
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "encode the janitor's input")
		}
		return next(ctx, input)
	}
}
