// Package dropshadows has Windows delete the shadow copies of a run from the
// instance. They lie in the set by then, and would only take room.
package dropshadows

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/shadow"
)

// Input is the plan.
type Input struct {
	Plan run.Plan `json:"plan"`
}

// Check refuses an input without a plan.
func (in Input) Check() error { return in.Plan.Check() }

// Output is how many copies were deleted.
type Output struct {
	Dropped int        `json:"dropped"`
	Record  run.Record `json:"record"`
}

// Cloud is what the step asks of a provider.
type Cloud interface {
	cloud.Agent
	cloud.Windows
}

// Do deletes the copies; none are no error. Whatever it leaves behind the next
// run on the instance deletes. Codes: those of a command.
func Do(ctx context.Context, c Cloud, in Input) (*Output, error) {
	started := time.Now()
	reply, _, err := shadow.Ask(ctx, c, in.Plan.Target.InstanceID, shadow.Request{Verb: shadow.Drop, RunID: in.Plan.RunID})
	if err != nil {
		return nil, err
	}
	return &Output{Dropped: reply.Dropped, Record: run.Record{StartedAt: started, EndedAt: time.Now()}}, nil
}
