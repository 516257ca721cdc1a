package main

import (
	"context"
	"encoding/json"
	"sync"

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
		Name      string  `json:"name"`
		Status    string  `json:"status"`
		Error     *string `json:"error"`
		Cause     *string `json:"cause"`
		StartDate int64   `json:"startDate"` // in milliseconds
		Input     *string `json:"input"`     // a document as text; null if the service left it out for its size
	} `json:"detail"`
}

const statusChange = "Step Functions Execution Status Change"

// janitor lets thaw be started by the event of an execution that ended, too:
// the run's id is the execution's name, the request is its input. A rule
// cannot make this input, because it passes text on as text. The event of a
// group stands for all of its members, who were held side by side.
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
		request := json.RawMessage(*event.Detail.Input)
		members := membersOf(request)
		if members == nil {
			return sweep(ctx, next, event.Detail.Name, request, ended)
		}
		failed := make([]error, len(members))
		var all sync.WaitGroup
		for i, m := range members {
			all.Go(func() { _, failed[i] = sweep(ctx, next, m.RunID, m.request, ended) })
		}
		all.Wait()
		for _, err := range failed {
			if err != nil {
				return nil, err // the whole is tried again: a thaw is idempotent
			}
		}
		return json.RawMessage("null"), nil
	}
}

// member is one of a group, with the request that its run alone would have had.
type member struct {
	run.Member
	request json.RawMessage
}

// membersOf reads a group's members out of its input, nil if it is a run's.
func membersOf(input json.RawMessage) []member {
	var group struct {
		Policy  json.RawMessage `json:"policy"`
		Members []run.Member    `json:"members"`
	}
	if json.Unmarshal(input, &group) != nil || len(group.Members) == 0 || len(group.Members) > run.MaxMembers {
		return nil
	}
	list := make([]member, len(group.Members))
	for i, m := range group.Members {
		request := map[string]any{"instanceId": m.InstanceID}
		if group.Policy != nil {
			request["policy"] = group.Policy
		}
		text, err := json.Marshal(request)
		if err != nil {
			return nil
		}
		list[i] = member{m, text}
	}
	return list
}

// sweep thaws what one run held.
func sweep(ctx context.Context, next step.Handler, runID string, request json.RawMessage, ended thaw.Ended) (json.RawMessage, error) {
	input, err := json.Marshal(map[string]any{"run": run.Run{ID: runID}, "request": request, "ended": ended, "plan": nil})
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "encode the janitor's input")
	}
	return next(ctx, input)
}
