package thaw

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/shadow"
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
// started with, which nobody has checked yet. With an error comes as much of it
// as is needed to tell how the run ended.
func janitor(ctx context.Context, c Cloud, in Input) (*run.Plan, error) {
	request := in.Request.Read()
	plan := &run.Plan{RunID: in.Run.ID, Target: run.Target{InstanceID: request.InstanceID}, Policy: request.Policy}
	if in.Run.ID == "" || request.InstanceID == "" {
		return plan, fault.Input("run", "wants a plan, or a run's id and its instance")
	}
	instance, err := c.Instance(ctx, request.InstanceID)
	if err != nil {
		return plan, err
	}
	plan.Target = instance.Target
	if in := request.Policy.OptIn; instance.Tags[in.Key] != in.Value { // its run was refused, and is no reason to command it
		return plan, fault.New(fault.InstanceNotOptedIn, "%s does not carry the tag %s=%s", instance.ID, in.Key, in.Value)
	}
	if request.Policy.Mode != policy.Orchestrated { // which lets go by itself: no helper is there that could
		return plan, nil
	}
	asset, err := c.Helper(ctx, instance.Arch)
	if err != nil {
		return plan, err
	}
	plan.Helper = run.Helper{SHA256: asset.SHA256, Arch: instance.Arch}
	return plan, nil
}

// drop has Windows delete the shadow copies of a run that broke off, which nobody
// will come back to. A request for them that is still on its way is refused after
// it.
func drop(ctx context.Context, c Cloud, plan *run.Plan) error {
	agent, ok := c.(shadow.Agent)
	if !ok {
		return nil // there is no such mode on this cloud
	}
	_, _, err := shadow.Ask(ctx, agent, plan.Target.InstanceID, shadow.Request{Verb: shadow.Drop, RunID: plan.RunID})
	return err
}

// unsure concludes a run whose instance did not answer, and returns why it did
// not: another attempt may yet let it go, but nobody knows whether there is one
// that succeeds, and a run whose end is never told looks as if it went on.
func unsure(ctx context.Context, c Cloud, metrics *telemetry.Metrics, in Input, err error) error {
	if in.Run.ID == "" || !in.Ended.unjudged() {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return errors.Join(err, conclude(ctx, c, metrics, in, err))
}

// broke begins the reason of every set that the janitor has labelled.
const broke = "the execution ended as "

// conclude does for a run that broke off what its tag step would have done: it
// tells how the run ended, and that a person must look if trouble tells why the
// instance was not, or not wholly, let go; then it labels what snapshots there are
// as judged by nobody. In this order, because the label says to another attempt
// that all of it was done: what is told twice does less harm than what is not.
func conclude(ctx context.Context, c Cloud, metrics *telemetry.Metrics, in Input, trouble error) error {
	plan := in.Plan
	code, reason := fault.Internal, broke+in.Ended.Status+" before its verdict; "
	next := "Look at the execution's history for why it broke off, and delete its snapshots."
	alarm := false
	switch cause := fault.CodeOf(trouble); {
	case cause == "" && plan.Policy.Mode == policy.Plugin:
		reason += "the plug-in goes on by itself"
	case cause == "" && plan.Policy.Mode == policy.ByVSS:
		reason += "AWS's document goes on by itself, and Windows lets go within ten seconds"
	case cause == "" && plan.Policy.Mode == policy.ByDiskshadow:
		reason += "Windows has let go by itself, and no shadow copy of the run is left on the instance"
	case plan.Policy.Mode == policy.ByDiskshadow && cause != fault.InstanceNotOptedIn:
		reason += "Windows has let go by itself, and shadow copies of the run may stay on the instance until its next one: " + trouble.Error()
	case cause == "":
		reason += "the instance was let go"
	case cause == fault.InstanceNotOptedIn:
		reason += "the instance may not be commanded, and was not"
	case cause == fault.ScriptFailed:
		alarm, code, next = true, fault.ScriptFailed, fault.ThawFailed.NextMove()
		reason += "the instance was thawed, and its application may still be at rest"
	default:
		alarm, code, next = true, fault.ThawFailed, fault.ThawFailed.NextMove()
		reason += "it is not known whether the instance was let go: " + trouble.Error()
	}
	found, err := cloud.Find(ctx, c, plan.RunID, cloud.Settle) // a function that was running goes on
	if err != nil {
		return err
	}
	who, now := telemetry.Subject(plan), time.Now()
	outcome := events.Outcome{
		Subject: who, Outcome: string(run.OutcomeFailedDirty), Asked: plan.Policy.Asked(), Reason: reason, Code: string(code), NextMove: next,
	}
	unjudged := slices.DeleteFunc(slices.Clone(found), func(s cloud.TaggedSnapshot) bool { return s.Tags[cloud.TagConsistency] != "" })
	ids := cloud.IDs(unjudged)
	if len(found) > 0 && len(ids) == 0 {
		if strings.HasPrefix(found[0].Tags[cloud.TagReason], broke) {
			return nil // an attempt before this one has told it
		}
		// Its tag step had come so far, and goes on by itself; but nobody learns whether that gets to tell.
		ids = judged(found, alarm, &outcome)
	}
	outcome.SnapshotIDs = ids
	final := map[string]string{string(run.OutcomeCompleted): events.TypeCompleted, string(run.OutcomeDegraded): events.TypeDegraded}[outcome.Outcome]
	if final == "" {
		final = events.TypeFailed
		metrics.Emit(plan.Policy.Name, "thaw", plan.RunID, telemetry.Count(telemetry.SetFailed))
	}
	told := []events.Event{{Type: final, Time: now, Resources: ids, Detail: outcome}}
	if alarm {
		metrics.Emit(plan.Policy.Name, "thaw", plan.RunID, telemetry.Count(telemetry.ThawFailed))
		told = append(told, events.Event{Type: events.TypeThawFailed, Time: now, Detail: events.Thaw{
			Subject: who, Code: string(code), Reason: reason, NextMove: next,
		}})
	}
	if err := c.Publish(ctx, told); err != nil || len(unjudged) == 0 {
		return err
	}
	return c.TagSnapshots(ctx, cloud.IDs(unjudged), map[string]string{
		cloud.TagRun: plan.RunID, cloud.TagConsistency: "none", cloud.TagReason: cloud.TagValue(reason),
	})
}

// judged reads the outcome of a run off its set, which the run's own tag step has
// labelled, and returns the set's snapshots. Where the application may be held
// still, it is the thaw that counts.
func judged(found []cloud.TaggedSnapshot, alarm bool, o *events.Outcome) []string {
	set := slices.DeleteFunc(slices.Clone(found), func(s cloud.TaggedSnapshot) bool { return s.Tags[cloud.TagConsistency] == "none" })
	if len(set) == 0 {
		return cloud.IDs(found)
	}
	tags := set[0].Tags
	level := run.Consistency(tags[cloud.TagConsistency])
	o.Consistency = string(level)
	o.FrozenMs, _ = strconv.ParseFloat(tags[cloud.TagFrozenMs], 64)
	switch {
	case alarm:
		return cloud.IDs(set)
	case level.Rank() >= run.Consistency(o.Asked).Rank():
		o.Outcome, o.NextMove = string(run.OutcomeCompleted), ""
	default:
		o.Outcome, o.NextMove = string(run.OutcomeDegraded), "Read the reason; the snapshots are what they are called."
	}
	o.Reason, o.Code = tags[cloud.TagReason], ""
	return cloud.IDs(set)
}
