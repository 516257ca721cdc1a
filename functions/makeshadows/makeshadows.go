// Package makeshadows has Windows make shadow copies of the set's volumes, with
// the applications' writers, before the set is taken.
package makeshadows

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/shadow"
)

// Input is the plan.
type Input struct {
	Plan run.Plan `json:"plan"`
}

// Check refuses an input without a plan or with one that names no volumes.
func (in Input) Check() error {
	if err := in.Plan.Check(); err != nil {
		return err
	}
	if len(in.Plan.Volumes) == 0 {
		return fault.Input("plan.volumes", "is empty")
	}
	return nil
}

// Cloud is what the step asks of a provider.
type Cloud interface {
	cloud.Agent
	cloud.Windows
}

// Do makes the copies; asked again for the same run the instance repeats its
// answer. Codes: Shadow*, Vss*, VolumeUnsupported, RunInProgress, TooLate, and a
// command's own.
func Do(ctx context.Context, c Cloud, in Input) (*run.Plugin, error) {
	started := time.Now()
	asked := shadow.Request{Verb: shadow.Make, RunID: in.Plan.RunID}
	for _, v := range in.Plan.Volumes {
		asked.Volumes = append(asked.Volumes, v.ID)
	}
	reply, command, err := shadow.Ask(ctx, c, in.Plan.Target.InstanceID, asked)
	if err != nil {
		return nil, err
	}
	return &run.Plugin{
		State: run.PluginMade, CommandID: command, Windows: true, Shadows: reply.Shadows, SentAt: started,
		Record: run.Record{StartedAt: started, EndedAt: time.Now()},
	}, nil
}
