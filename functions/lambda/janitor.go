package main

import (
	"context"
	"encoding/json"

	"github.com/quiesce/quiesce/functions/thaw"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/step"
)

// stopped is "Step Functions Execution Status Change" of aws.states, as far as
// it is read.
type stopped struct {
	Type   string `json:"detail-type"`
	Detail struct {
		Name   string  `json:"name"`
		Status string  `json:"status"`
		Error  *string `json:"error"`
		Input  *string `json:"input"` // a document as text; null if the service left it out for its size
	} `json:"detail"`
}

const statusChange = "Step Functions Execution Status Change"

// janitor lets thaw be started by the event of an execution that ended, too:
// the run's id is the execution's name, the request is its input. A rule
// cannot make this input, because it passes text on as text.
func janitor(next step.Handler) step.Handler {
	return func(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
		var event stopped
		if err := json.Unmarshal(payload, &event); err != nil || event.Type != statusChange {
			return next(ctx, payload) // which refuses what it cannot read
		}
		if event.Detail.Input == nil || !json.Valid([]byte(*event.Detail.Input)) {
			return nil, fault.Input("detail.input", "is not in the event: nobody knows which instance the run %s holds", event.Detail.Name)
		}
		ended := thaw.Ended{Status: event.Detail.Status}
		if event.Detail.Error != nil {
			ended.Error = *event.Detail.Error
		}
		input, err := json.Marshal(map[string]any{
			"run":     run.Run{ID: event.Detail.Name},
			"request": json.RawMessage(*event.Detail.Input),
			"ended":   ended,
			"plan":    nil,
		})
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "encode the janitor's input")
		}
		return next(ctx, input)
	}
}
