// Package report counts how the runs of a fleet or of a group ended, and tells
// it by one event.
package report

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/step"
	"github.com/quiesce/quiesce/shared/telemetry"
)

// Input is a fleet's document, or a group's: then Members is there.
type Input struct {
	Run      run.Run           `json:"run"`
	Request  run.Typed         `json:"request"`
	Targets  *run.Targets      `json:"targets"`
	Group    *run.GroupEnd     `json:"group"`
	Failures run.FleetFailures `json:"failures"`
	Members  []run.GroupMember `json:"members"`
	Lost     run.GroupFailures `json:"lost"` // of a group's phases
	Together bool              `json:"together"`
	Attempt  int               `json:"attempt"`
}

// Cloud is what report asks of a provider.
type Cloud interface {
	cloud.Store
	cloud.Bus
}

// insist is how many attempts are spent on a bus that does not answer, before
// the report stands without its event.
const insist = 3

// Do counts and publishes. Codes: what the calls return.
func Do(ctx context.Context, c Cloud, metrics *telemetry.Metrics, now time.Time, in Input) (*run.Report, error) {
	if in.Run.ID == "" {
		return nil, fault.Input("run.id", "is missing")
	}
	r, err := count(ctx, c, in)
	if err != nil {
		return nil, err
	}
	if in.Targets != nil {
		r.Skipped = in.Targets.SkippedTotal
	}
	if r.Failures == nil {
		r.Failures = []run.Ended{}
	}
	r.Seconds = now.Sub(in.Run.StartedAt).Seconds()
	r.Record = run.Record{StartedAt: now, EndedAt: now}
	if in.Group != nil {
		return r, nil // the group has told it
	}
	name := policyOf(in)
	switch err := c.Publish(ctx, []events.Event{event(in, name, r)}); {
	case err != nil && in.Attempt < insist:
		return nil, err
	case err != nil:
		slog.Error("the report was not published", "run", in.Run.ID, "outcome", r.Outcome, "error", err)
	}
	metrics.Emit(name, "report", in.Run.ID,
		telemetry.Metric{Name: telemetry.FleetInstances, Value: float64(r.Instances)},
		telemetry.Metric{Name: telemetry.FleetFailed, Value: float64(r.Failed + r.NotStarted)},
		telemetry.Millis(telemetry.FleetDuration, 1000*r.Seconds))
	return r, nil
}

func count(ctx context.Context, c Cloud, in Input) (*run.Report, error) {
	switch {
	case in.Together:
		return together(in), nil
	case in.Failures.Targets != nil:
		return failed(in, in.Failures.Targets), nil
	case in.Group != nil:
		r := in.Group.Report
		if r.Outcome != string(run.OutcomeCompleted) {
			r.Outcome = run.FleetWithErrors
		}
		return &r, nil
	case in.Failures.Group != nil:
		r := failed(in, in.Failures.Group)
		r.Together, r.Failed = true, r.Instances
		return r, nil
	case in.Targets == nil:
		return failed(in, &run.Failure{Error: string(fault.Internal), Cause: "there are neither targets nor a reason"}), nil
	}
	return fleet(ctx, c, in)
}

// failed is the report of a fleet that did not come to its runs.
func failed(in Input, f *run.Failure) *run.Report {
	r := &run.Report{Outcome: run.FleetFailed, Code: f.Error}
	r.Reason, _, _ = step.Explain(f.Error, f.Cause)
	if name, reason, ok := nested(f.Cause); ok {
		r.Code, r.Reason = name, reason
	}
	if in.Targets != nil {
		r.Instances = in.Targets.Total
	}
	return r
}

func event(in Input, policy string, r *run.Report) events.Event {
	detail := events.Fleet{
		Subject: events.Subject{RunID: in.Run.ID, Policy: policy},
		Outcome: r.Outcome, Reason: r.Reason, Code: r.Code, NextMove: fault.Code(r.Code).NextMove(),
		Together: r.Together, Consistency: string(r.Consistency),
		Instances: r.Instances, Completed: r.Completed, Degraded: r.Degraded, Failed: r.Failed,
		TakenBefore: r.TakenBefore, NotStarted: r.NotStarted, Skipped: r.Skipped, Seconds: r.Seconds,
		Failures: []events.Failed{},
	}
	for _, f := range r.Failures {
		detail.Failures = append(detail.Failures, events.Failed(f))
	}
	return events.Event{Type: events.TypeFleet, Time: r.Record.EndedAt, Detail: detail}
}

// policyOf is the policy's name, out of whatever was typed.
func policyOf(in Input) string {
	var request struct{ Policy struct{ Name string } }
	_ = json.Unmarshal(in.Request, &request) // refused already, if it cannot be read
	return cmp.Or(request.Policy.Name, policy.Default().Name)
}
