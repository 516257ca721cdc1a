package restorereport

import (
	"context"
	"encoding/json"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/run"
)

// Ended is how an execution ended whose report was not heard: it was stopped
// from outside, ran out of its time, or its report failed.
type Ended struct {
	Status string `json:"status"`
	Error  string `json:"error,omitempty"`
	Cause  string `json:"cause,omitempty"`
}

// String is the end in a sentence.
func (e Ended) String() string {
	said := "the execution ended as " + e.Status + " before its report"
	if e.Cause != "" {
		said += ": " + e.Cause
	} else if e.Error != "" {
		said += ": " + e.Error
	}
	return said
}

// recall makes of an end without a report what the report would have been
// given: the plan by the marks on the disks, and the end as its failure.
func recall(ctx context.Context, r cloud.Restorer, in *Input) error {
	asked := read(in.Request)
	id := asked.RunID
	if asked.IsRestore() {
		id = in.Run.ID
	}
	plan, marks, err := restore.Recall(ctx, r, id)
	if err != nil {
		return err
	}
	plan.Action = restore.Restore
	if asked.IsRestore() {
		plan.SetID = asked.RunID
	} else {
		plan.Action = asked.Action
	}
	in.Plan = plan
	code := fault.Internal
	if in.Ended.Status == "TIMED_OUT" || in.Ended.Status == "TimedOut" { // of Step Functions, of CloudFlow
		code = fault.RestoreTimedOut
	}
	said := in.Ended.String()
	if len(marks.All())+len(marks.Old) == 0 {
		said += "; nothing carries its mark: it had not begun, or what it made is gone again"
	}
	in.Failures = restore.Failures{Report: &run.Failure{Error: string(code), Cause: said}}
	return nil
}

// read takes out of a request what can be read of it.
func read(typed run.Typed) restore.Request {
	var loose struct {
		Action string `json:"action"`
		RunID  string `json:"runId"`
	}
	_ = json.Unmarshal(typed, &loose)
	return restore.Request{Action: loose.Action, RunID: loose.RunID}
}
