package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/quiesce/quiesce/functions/restorereport"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/step"
)

// unreported lets restore-report be started by the event of a restore that
// ended without its own report, too: what it left is seen on the disks, which
// carry the execution's name. An input that the service left out for its size
// was of a restore: the other actions have none that is long.
func unreported(next step.Handler) step.Handler {
	return func(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
		var event stopped
		if err := json.Unmarshal(payload, &event); err != nil || event.Type != statusChange {
			return next(ctx, payload) // which refuses what it cannot read
		}
		d := event.Detail
		in := restorereport.Input{
			Run:   run.Run{ID: d.Name, StartedAt: time.UnixMilli(d.StartDate)},
			Ended: &restorereport.Ended{Status: d.Status},
		}
		if d.Error != nil {
			in.Ended.Error = *d.Error
		}
		if d.Cause != nil {
			in.Ended.Cause = *d.Cause
		}
		if d.Input != nil && json.Valid([]byte(*d.Input)) {
			in.Request = run.Typed(*d.Input)
		}
		input, err := json.Marshal(in)
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "encode the end of the restore %s", d.Name)
		}
		return next(ctx, input)
	}
}
