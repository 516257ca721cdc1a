package thaw

import (
	"context"
	"slices"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/telemetry"
)

// Ended is how an execution ended that a janitor cleans up after: its status,
// and its error if it had one.
type Ended struct {
	Status string `json:"status"`
	Error  string `json:"error,omitempty"`
}

// unjudged reports that the execution broke off before its own verdict, which
// it would have ended with as its error.
func (e *Ended) unjudged() bool {
	return e != nil && e.Error != "FailedClean" && e.Error != "FailedDirty"
}

// janitor makes as much of a plan as a thaw needs from what the execution was
// started with, which nobody has checked yet.
func janitor(ctx context.Context, c Cloud, in Input) (*run.Plan, error) {
	request := in.Request.Read()
	if in.Run.ID == "" || request.InstanceID == "" {
		return nil, fault.Input("run", "wants a plan, or a run's id and its instance")
	}
	instance, err := c.Instance(ctx, request.InstanceID)
	if err != nil {
		return nil, err
	}
	if in := request.Policy.OptIn; instance.Tags[in.Key] != in.Value { // its run was refused, and is no reason to command it
		return nil, fault.New(fault.InstanceNotOptedIn, "%s does not carry the tag %s=%s", instance.ID, in.Key, in.Value)
	}
	asset, err := c.Helper(ctx, instance.Arch)
	if err != nil {
		return nil, err
	}
	return &run.Plan{
		RunID:  in.Run.ID,
		Target: instance.Target,
		Policy: request.Policy,
		Helper: run.Helper{SHA256: asset.SHA256, Arch: instance.Arch},
	}, nil
}

// conclude does for a run that broke off what its tag step would have done: it
// labels what snapshots there are as judged by nobody, and tells how the run
// ended. Both may be done again.
func conclude(ctx context.Context, c Cloud, metrics *telemetry.Metrics, in Input) error {
	plan := in.Plan
	reason := "the execution ended as " + in.Ended.Status + " before its verdict; the instance was let go"
	found, err := cloud.Find(ctx, c, plan.RunID, cloud.Settle) // a function that was running goes on
	if err != nil {
		return err
	}
	unjudged := slices.DeleteFunc(slices.Clone(found), func(s cloud.TaggedSnapshot) bool { return s.Tags[cloud.TagConsistency] != "" })
	if len(found) > 0 && len(unjudged) == 0 {
		return nil // its tag step had come so far, and goes on by itself
	}
	ids := cloud.IDs(unjudged)
	if len(ids) > 0 {
		if err := c.TagSnapshots(ctx, ids, map[string]string{
			cloud.TagRun: plan.RunID, cloud.TagConsistency: "none", cloud.TagReason: reason,
		}); err != nil {
			return err
		}
	}
	metrics.Emit(plan.Policy.Name, "thaw", plan.RunID, telemetry.Count(telemetry.SetFailed))
	return c.Publish(ctx, []events.Event{{Type: events.TypeFailed, Time: time.Now(), Resources: ids, Detail: events.Outcome{
		Subject: telemetry.Subject(plan), Outcome: string(run.OutcomeFailedDirty), Asked: plan.Policy.Asked(),
		Reason: reason, Code: string(fault.Internal), NextMove: "Look at the execution's history for why it broke off, and delete its snapshots.",
		SnapshotIDs: ids,
	}}})
}
