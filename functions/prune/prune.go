// Package prune deletes the sets that a policy's retention does not keep:
// whole sets, within a budget of calls, and nothing that is in doubt.
package prune

import (
	"context"
	"log/slog"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/telemetry"
)

// Input is what a schedule, or a person, starts it with.
type Input struct {
	Run     run.Run `json:"run"`
	Request Request `json:"request"`
}

// Request names the policy. Its retention decides, and its name finds the sets.
type Request struct {
	Policy policy.Document `json:"policy"`
	DryRun bool            `json:"dryRun"`           // delete nothing, and say of every set what would become of it
	Copies *Copies         `json:"copies,omitempty"` // go through the copies in a Region, by their own retention; null: the sets themselves
}

// Copies are the sets of one Region that are copied to another.
type Copies struct {
	Region string `json:"region"` // where they are; one of the policy's
	From   string `json:"from"`   // where their sources are
}

// Rule is what is kept, and of which Region's sets.
func (r Request) Rule() (rule policy.Retention, from string) {
	if r.Copies == nil {
		return r.Policy.Retention, ""
	}
	for _, one := range r.Policy.Copies {
		if one.Region == r.Copies.Region {
			rule = one.Retention
		}
	}
	return rule, r.Copies.From
}

// Check refuses what nobody could decide by.
func (in Input) Check() error {
	rule, from := in.Request.Rule()
	switch d := in.Request.Policy; {
	case in.Run.ID == "":
		return fault.Input("run.id", "is missing")
	case in.Request.Copies != nil && from == "":
		return fault.Input("request.copies.from", "is missing: there may be copies of several Regions")
	case in.Request.Copies != nil && rule.IsZero():
		return fault.Input("request.copies.region", "wants a Region of policy.copies with a retention, got %q", in.Request.Copies.Region)
	case rule.IsZero():
		return fault.Input("request.policy.retention", "is missing: without it every set is kept")
	default:
		return d.Check(time.Now())
	}
}

// Do looks, decides and deletes. What could not be deleted is told by the event
// and by an error: the schedule's next run goes on with it. Codes: InvalidInput,
// and what the calls return.
func Do(ctx context.Context, k cloud.Keeper, bus cloud.Bus, metrics *telemetry.Metrics, in Input) (*Report, error) {
	plan, err := Look(ctx, k, in.Request)
	if err != nil {
		return nil, err
	}
	if in.Request.DryRun {
		if err := plan.Ask(ctx, k); err != nil {
			return nil, err
		}
		return plan.Report(), nil
	}
	failed := plan.Delete(ctx, k, time.Now)
	r := plan.Report()
	tell(ctx, bus, metrics, in, r)
	return r, failed
}

// tell publishes the report. A bus that does not answer undoes no deletion.
func tell(ctx context.Context, bus cloud.Bus, metrics *telemetry.Metrics, in Input, r *Report) {
	metrics.Emit(r.Policy, "prune", in.Run.ID,
		telemetry.Metric{Name: telemetry.SetsKept, Value: float64(r.Kept)},
		telemetry.Metric{Name: telemetry.SetsDeleted, Value: float64(r.Deleted)},
		telemetry.Metric{Name: telemetry.SetsOrphaned, Value: float64(r.Orphaned)})
	detail := events.Retention{
		Subject: events.Subject{RunID: in.Run.ID, Policy: r.Policy},
		Outcome: r.Outcome(), Reason: r.String(), Code: string(r.Code), NextMove: r.Code.NextMove(),
		Sets: r.Sets, Kept: r.Kept, Deleted: r.Deleted, Orphaned: r.Orphaned, Left: r.Left, Failed: r.Failed,
		Snapshots: r.Snapshots, GiB: r.GiB, Lines: []events.Fate{},
	}
	for _, l := range r.Lines {
		if l.Fate != Kept && len(detail.Lines) < run.Listed {
			detail.Lines = append(detail.Lines, events.Fate{RunID: l.RunID, InstanceID: l.InstanceID, Fate: string(l.Fate), Why: l.Why})
		}
	}
	if err := bus.Publish(ctx, []events.Event{{Type: events.TypeRetention, Time: time.Now(), Detail: detail}}); err != nil {
		slog.Error("the report was not published", "run", in.Run.ID, "policy", r.Policy, "error", err)
	}
}
