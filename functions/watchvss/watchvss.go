// Package watchvss looks once at the command in which AWS's document takes the
// set, and when it has ended at what it left and what is written on it.
package watchvss

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/telemetry"
	"github.com/quiesce/quiesce/shared/vss"
)

// Input is the plan and the command as it stood.
type Input = run.Watched

// Cloud is what the step asks of a provider.
type Cloud interface {
	cloud.Disks
	cloud.Windows
}

// Do looks at the command. Codes: those of Invocation and FindSet; it only reads.
func Do(ctx context.Context, c Cloud, metrics *telemetry.Metrics, in Input) (*run.Plugin, error) {
	started, p := time.Now(), *in.Plugin
	inv, err := c.Invocation(ctx, in.Plan.Target.InstanceID, p.CommandID)
	if err != nil {
		return nil, err
	}
	p.Polls++
	late := started.Sub(p.SentAt) > vss.Limit(in.Plan)+run.Patience
	if !inv.Done && !late && p.State != run.PluginLost {
		p.Waits(started)
		return &p, nil
	}
	if err := conclude(ctx, c, in.Plan, &p, inv); err != nil {
		return nil, err
	}
	if p.State == run.PluginTaken {
		metrics.Emit(in.Plan.Policy.Name, "watch-vss", in.Plan.RunID, telemetry.Count(telemetry.SetStarted))
	}
	p.Record = run.Record{StartedAt: started, EndedAt: time.Now()}
	return &p, nil
}

// conclude weighs a command that has ended. A set is looked for whatever the
// command said: one that failed may have made snapshots all the same, and none is
// left unlabelled.
func conclude(ctx context.Context, c Cloud, plan run.Plan, p *run.Plugin, inv cloud.Invocation) error {
	exit, said := vss.Weigh(inv)
	p.ExitCode, p.Code = exitCode(inv), string(exit.Code)
	p.Reason = exit.Meaning
	if said != "" {
		p.Reason += " (" + said + ")"
	}
	found, err := look(ctx, c, plan, exit.Code == "")
	if err != nil {
		return err
	}
	switch {
	case len(found) > 0:
		take(p, found)
	case exit.Code == "":
		p.State, p.Code = run.PluginEnded, string(fault.VssFailed)
		p.Reason = "the document ended well, and there is no snapshot with the run's tag"
	case exit.Lost && left(plan, p) > 0:
		p.State, p.WaitSeconds = run.PluginLost, left(plan, p)
	case p.Attempt < exit.Tries:
		p.State, p.WaitSeconds = run.PluginAgain, exit.Wait
	default:
		p.State = run.PluginEnded
	}
	return nil
}

// left is how many seconds a command that nobody hears of may still be under way:
// its own limit ends it on the instance, wherever its answer has gone.
func left(plan run.Plan, p *run.Plugin) int {
	return int((vss.Limit(plan) + run.Patience - time.Since(p.SentAt)).Seconds())
}

// look finds the run's snapshots. Of a command that ended well all are waited for,
// with the component's word on each, as long as lists may lag behind.
func look(ctx context.Context, c Cloud, plan run.Plan, well bool) ([]cloud.TaggedSnapshot, error) {
	give := time.Now().Add(cloud.Settle)
	found, err := cloud.Find(ctx, c, plan.RunID, cloud.Settle)
	for pause := time.Second; well && err == nil && !whole(plan, found) && time.Now().Add(pause).Before(give); {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return found, fault.Wrap(fault.Unavailable, ctx.Err(), "look for the set of the run %s", plan.RunID)
		}
		found, err = c.FindSet(ctx, plan.RunID)
	}
	return found, err
}

func whole(plan run.Plan, found []cloud.TaggedSnapshot) bool {
	return len(found) >= len(plan.Volumes) &&
		!slices.ContainsFunc(found, func(s cloud.TaggedSnapshot) bool { return !vss.Written(s.Tags) })
}

// exitCode is the set's step's, -1 if there is none.
func exitCode(inv cloud.Invocation) int {
	for _, s := range inv.Steps {
		if s.Name == vss.Step {
			return s.ExitCode
		}
	}
	return -1
}

// take makes the snapshots the run's set, with what is written on each of them.
func take(p *run.Plugin, found []cloud.TaggedSnapshot) {
	p.State, p.Labels = run.PluginTaken, nil
	set := &run.Set{CallStartedAt: p.SentAt, CallEndedAt: time.Now(), Found: true}
	slices.SortFunc(found, func(a, b cloud.TaggedSnapshot) int { return strings.Compare(a.ID, b.ID) })
	for _, m := range found {
		set.Snapshots = append(set.Snapshots, m.Snapshot)
		p.Labels = append(p.Labels, run.PluginLabel{SnapshotID: m.ID, Application: vss.Written(m.Tags)})
	}
	set.Record = run.Record{StartedAt: p.SentAt, EndedAt: set.CallEndedAt}
	p.Set = set
}
