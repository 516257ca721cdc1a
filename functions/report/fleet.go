package report

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// child is one execution of the Map as a file of results describes it.
type child struct {
	Input, Output string
	Error, Cause  string
	Status        string
}

// fleet counts what the Map has written.
func fleet(ctx context.Context, c Cloud, in Input) (*run.Report, error) {
	r := &run.Report{Instances: in.Targets.Total}
	keys, err := c.List(ctx, in.Targets.Results+"/")
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if path.Base(key) == "manifest.json" {
			continue
		}
		data, err := c.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		var children []child
		if err := json.Unmarshal(data, &children); err != nil {
			return nil, fault.Wrap(fault.Internal, err, "read the results in %s", key)
		}
		for _, one := range children {
			if err := add(r, one); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(r.Failures, func(a, b run.Ended) int { return cmp.Compare(a.InstanceID, b.InstanceID) })
	r.Failures = r.Failures[:min(len(r.Failures), run.Listed)]
	r.NotStarted = r.Instances - r.Completed - r.Degraded - r.Failed - r.TakenBefore
	conclude(r, in)
	return r, nil
}

// add counts one child. One that was not started, or stopped when the budget
// was spent, is what is left over in the end.
func add(r *run.Report, one child) error {
	switch one.Status {
	case "SUCCEEDED":
		var out struct{ Outcome string }
		if err := json.Unmarshal([]byte(one.Output), &out); err != nil {
			return fault.Wrap(fault.Internal, err, "read the output of a run")
		}
		switch out.Outcome {
		case string(run.OutcomeCompleted):
			r.Completed++
		case "taken-before":
			r.TakenBefore++
		default:
			r.Degraded++
		}
	case "FAILED", "TIMED_OUT":
		r.Failed++
		var who run.Member
		_ = json.Unmarshal([]byte(one.Input), &who) // one that cannot be read is counted all the same
		name, reason, ok := nested(one.Cause)
		if !ok {
			name, reason = one.Error, one.Cause
		}
		r.Failures = append(r.Failures, run.Ended{
			InstanceID: cmp.Or(who.InstanceID, "?"), RunID: cmp.Or(who.RunID, "?"), Error: cmp.Or(name, one.Status), Reason: clip(reason),
		})
	}
	return nil
}

// clip keeps a reason short: twenty of them share an event.
func clip(s string) string {
	const longest = 400
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return s
}

// nested reads how an execution ended that another one waited for.
func nested(cause string) (name, reason string, ok bool) {
	var doc struct{ Error, Cause, Status, ExecutionArn string }
	if json.Unmarshal([]byte(cause), &doc) != nil || doc.ExecutionArn == "" {
		return "", "", false
	}
	return cmp.Or(doc.Error, doc.Status), clip(doc.Cause), true
}

// conclude says how the fleet as a whole ended.
func conclude(r *run.Report, in Input) {
	taken := r.Completed + r.Degraded + r.TakenBefore
	switch {
	case in.Failures.Runs != nil && r.Failed > in.Targets.MaxErrors:
		r.Outcome, r.Code = run.FleetFailed, in.Failures.Runs.Error
		r.Reason = fmt.Sprintf("%d of %d instances failed, the policy allows %d: %d were not started or not waited for", r.Failed, r.Instances, in.Targets.MaxErrors, r.NotStarted)
	case in.Failures.Runs != nil:
		r.Outcome, r.Code = run.FleetFailed, in.Failures.Runs.Error
		r.Reason = "the runs could not be started or counted: " + clip(in.Failures.Runs.Cause)
	case taken == 0:
		r.Outcome = run.FleetFailed
		r.Reason = fmt.Sprintf("all %d instances failed", r.Instances)
	case r.Failed+r.Degraded+r.NotStarted > 0:
		r.Outcome = run.FleetWithErrors
		r.Reason = fmt.Sprintf("%d of %d instances failed, %d proved less than was asked for", r.Failed, r.Instances, r.Degraded)
	default:
		r.Outcome = run.FleetCompleted
		r.Reason = fmt.Sprintf("all %d instances were snapshotted as asked for", r.Instances)
	}
}
