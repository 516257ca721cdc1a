// Package thaw lets the instance go and brings the evidence home. It runs on
// every path once run-prescript was attempted, and as a janitor when an
// execution was stopped; it needs a run id and a target, nothing else.
package thaw

import (
	"context"
	"log/slog"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/document"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/helper"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/telemetry"
)

// Input is the plan and what happened since. A janitor knows only Run, Request
// and how the execution ended; then the plan is null.
type Input struct {
	Run       run.Run        `json:"run,omitzero"`
	Request   run.Typed      `json:"request,omitempty"`
	Ended     *Ended         `json:"ended,omitempty"`
	Plan      *run.Plan      `json:"plan"`
	Prescript *run.Prescript `json:"prescript"`
	Freeze    *run.Freeze    `json:"freeze"`
	Set       *run.Set       `json:"set"`
	Failures  run.Failures   `json:"failures"`
}

// Cloud is what thaw asks of a provider.
type Cloud interface {
	cloud.Disks
	cloud.Agent
	cloud.Assets
	cloud.Bus
}

// Do thaws, releases and reports. Codes: ThawFailed when the instance said so,
// and a command's own when it was not reached; all are worth another attempt.
func Do(ctx context.Context, c Cloud, metrics *telemetry.Metrics, in Input) (*run.Thaw, error) {
	started := time.Now()
	if in.Plan == nil {
		plan, err := janitor(ctx, c, in)
		if in.Plan = plan; err != nil {
			return nil, unsure(ctx, c, metrics, in, err)
		}
	}
	plan, p := in.Plan, in.Plan.Policy
	thawed := &run.Thaw{}
	if plan.Helper.SHA256 != "" {
		evidence, err := ask(ctx, c, in)
		if owed(in, evidence) { // also after a thaw that failed
			thawed.Document = document.Release(ctx, c, plan)
		}
		if err != nil {
			return nil, unsure(ctx, c, metrics, in, err)
		}
		thawed.Evidence = evidence
	}
	if in.Ended != nil && p.Mode == policy.ByDiskshadow {
		if err := drop(ctx, c, plan); err != nil {
			return nil, unsure(ctx, c, metrics, in, err)
		}
	}
	thawed.Record = run.Record{StartedAt: started, EndedAt: time.Now()}

	// The window is over: only now is there time to tell what happened in it.
	who := telemetry.Subject(plan)
	state := run.State{Prescript: in.Prescript, Freeze: in.Freeze, Set: in.Set, Failures: in.Failures}
	metrics.Emit(p.Name, "thaw", plan.RunID, append(Measures(thawed.Evidence), documented(in.Prescript, thawed.Document)...)...)
	if deferred := telemetry.Deferred(who, state, time.Now()); len(deferred) > 0 {
		if err := c.Publish(ctx, deferred); err != nil {
			slog.Error("events not published; the tag step tries again", "run", plan.RunID, "error", err)
		} else {
			thawed.Published = true
		}
	}
	if in.Ended.unjudged() {
		trouble := held(thawed.Document)
		if trouble == nil && thawed.Evidence.Resting() {
			trouble = fault.New(fault.ScriptFailed, "the application was not released")
		}
		return thawed, conclude(ctx, c, metrics, in, trouble)
	}
	return thawed, nil
}

// ask sends the thaw; there may be evidence beside an error. What ended the hold
// is told, because only a thaw that was sent after the snapshot call had
// returned proves the hold to its end.
func ask(ctx context.Context, c Cloud, in Input) (*protocol.Evidence, error) {
	plan := in.Plan
	request := &protocol.ThawRequest{Reason: "failure"}
	switch {
	case in.Set != nil:
		request.Reason, request.CallEnded = "snapshot-taken", in.Set.Hold
	case in.Run.ID != "":
		request.Reason = "janitor"
	}
	reply, err := helper.Ask(ctx, c, helper.Call{
		InstanceID: plan.Target.InstanceID,
		Asset:      cloud.Asset{SHA256: plan.Helper.SHA256},
		Execution:  execution(plan.Policy.Application),
		Request:    protocol.Request{Verb: protocol.Thaw, RunID: plan.RunID, Thaw: request},
	})
	switch fault.CodeOf(err) {
	case "":
		return reply.Evidence, nil
	case fault.NoSession:
		return nil, nil // nothing of this run is held there
	case fault.HoldLost, fault.ScriptFailed, fault.ScriptTimedOut, fault.ScriptUnsafe,
		fault.ApplicationNotFound, fault.ApplicationRefused, fault.ApplicationBusy:
		return reply.Evidence, nil // thawed; what became of hold and application is in the evidence
	}
	return reply.Evidence, err
}

// Measures are the metrics that evidence yields; none of none.
func Measures(e *protocol.Evidence) (list []telemetry.Metric) {
	if e == nil {
		return nil
	}
	if e.FrozenMs > 0 {
		list = append(list, telemetry.Millis(telemetry.FrozenWindow, e.FrozenMs))
	}
	if e.AutoThawed {
		list = append(list, telemetry.Count(telemetry.AutoThawed))
	}
	a := e.Application
	if a == nil || a.Kind == policy.None {
		return list
	}
	if pause := a.ReleasedAt.Mono - a.QuiesceAt.Mono; a.ReleasedAt.Mono > 0 && pause > 0 {
		list = append(list, telemetry.Millis(telemetry.ApplicationPause, float64(pause)/1e6))
	}
	if a.Post != nil {
		list = append(list, telemetry.Count(telemetry.PostScriptStarted))
		if a.Post.ExitCode == 0 && !a.Post.TimedOut {
			list = append(list, telemetry.Count(telemetry.PostScriptDone))
		} else {
			list = append(list, telemetry.Count(telemetry.PostScriptFailed))
		}
	}
	return list
}
