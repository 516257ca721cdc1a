// Package watchplugin looks once at the command in which the provider's own
// tool takes the set, and when it has ended at what it left.
package watchplugin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/plugin"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/telemetry"
)

// Input is the plan and the command as it stood.
type Input = run.Watched

// Cloud is what the step asks of a provider.
type Cloud interface {
	cloud.Agent
	cloud.Plugin
}

// Do looks at the command. Codes: those of Result and Group; it only reads.
func Do(ctx context.Context, c Cloud, metrics *telemetry.Metrics, in Input) (*run.Plugin, error) {
	started, p := time.Now(), *in.Plugin
	result, err := c.Result(ctx, in.Plan.Target.InstanceID, p.CommandID)
	if err != nil {
		return nil, err
	}
	p.Polls++
	switch late := started.Sub(p.SentAt) > plugin.Limit+run.Patience; {
	case !result.Done && !late:
		p.Waits(started)
		return &p, nil
	case !result.Done:
		result = cloud.Result{Status: "Timeout", TimedOut: true, ExitCode: -1}
	}
	if err := conclude(ctx, c, in.Plan, &p, result); err != nil {
		return nil, err
	}
	if p.State == run.PluginTaken {
		metrics.Emit(in.Plan.Policy.Name, "watch-plugin", in.Plan.RunID, telemetry.Count(telemetry.SetStarted))
	}
	p.Record = run.Record{StartedAt: started, EndedAt: time.Now()}
	return &p, nil
}

// conclude weighs a command that has ended. A group is looked for wherever one
// may exist, because a set is never made twice and none is left unlabelled.
func conclude(ctx context.Context, c Cloud, plan run.Plan, p *run.Plugin, result cloud.Result) error {
	exit := plugin.Weigh(result)
	output := plugin.Decode(result.Stdout) + plugin.Decode(result.Stderr)
	id, said := plugin.Group(output)
	p.ExitCode, p.Code, p.Dirty = result.ExitCode, string(exit.Code), exit.Dirty
	p.Reason = reason(exit, result.ExitCode, said)
	if exit.Inspect || id != "" {
		group, err := whole(ctx, c, plan, id, p.Attempt)
		if err != nil {
			return err
		}
		if group != nil && len(group.Members) > 0 {
			take(p, *group)
			return nil
		}
	}
	switch {
	case exit.Code == "":
		p.State, p.Code, p.Dirty = run.PluginEnded, string(fault.PluginFailed), true
		p.Reason = "the plug-in ended well, and there is no group of its name"
	case p.Attempt < exit.Tries:
		p.State, p.WaitSeconds = run.PluginAgain, exit.Wait
	default:
		p.State = run.PluginEnded
	}
	return nil
}

// whole reads the group until it shows each disk of the plan, or until no list
// lags behind any more: a part of a set would be judged as if it were all.
func whole(ctx context.Context, c Cloud, plan run.Plan, id string, attempt int) (*cloud.Group, error) {
	for give := time.Now().Add(cloud.Settle); ; {
		group, err := c.Group(ctx, id, plan.Target.InstanceID, plugin.Name(plan.RunID, attempt))
		if err != nil || group != nil && len(group.Members) >= len(plan.Volumes) || !time.Now().Before(give) {
			return group, err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return group, nil
		}
	}
}

func reason(exit plugin.Exit, code int, said string) string {
	text := "the plug-in: " + exit.Meaning
	if code >= 0 {
		text = fmt.Sprintf("the plug-in ended with %d: %s", code, exit.Meaning)
	}
	if said != "" && exit.Code != "" {
		text += " (" + clip(said) + ")"
	}
	return text
}

// clip keeps what a closed program says short enough for a tag.
func clip(said string) string {
	if r := []rune(strings.ToValidUTF8(said, "")); len(r) > 120 {
		return string(r[:120]) + "…"
	}
	return said
}

// take makes the group the run's set, with what is written on each member.
func take(p *run.Plugin, group cloud.Group) {
	p.State, p.GroupID, p.Labels = run.PluginTaken, group.ID, nil
	set := &run.Set{CallStartedAt: p.SentAt, CallEndedAt: time.Now(), Found: true}
	slices.SortFunc(group.Members, func(a, b cloud.TaggedSnapshot) int { return strings.Compare(a.ID, b.ID) })
	for _, m := range group.Members {
		app, fs := plugin.Label(m.Tags)
		set.Snapshots = append(set.Snapshots, m.Snapshot)
		p.Labels = append(p.Labels, run.PluginLabel{SnapshotID: m.ID, Application: app, Filesystem: fs})
	}
	set.Record = run.Record{StartedAt: p.SentAt, EndedAt: set.CallEndedAt}
	p.Set = set
}
