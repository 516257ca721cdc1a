package tag

import (
	"context"
	"slices"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/plugin"
	"github.com/quiesce/quiesce/shared/run"
)

// strays are the snapshots that a call may have made whose answer nobody heard.
// A refusal is definite; after anything else they are looked for as long as
// they may be invisible, or a run would end clean that left some.
func strays(ctx context.Context, c Cloud, s run.State) ([]string, error) {
	if !policyOf(s).Mode.Windows() && (s.Plugin != nil || s.Failures.Plugin != nil) {
		return ofTool(ctx, c, s)
	}
	if s.Set != nil || s.Failures.Snapshot == nil && !adrift(s) {
		return nil, nil
	}
	wait := cloud.Settle
	if f := s.Failures.Snapshot; f != nil {
		switch fault.Code(f.Error) {
		case fault.SnapshotThrottled, fault.SnapshotTooSoon, fault.SnapshotRefused:
			wait = 0
		}
	}
	found, err := cloud.Find(ctx, c, s.Plan.RunID, wait)
	return cloud.IDs(found), err
}

// ofTool are those in groups that carry the name of one of the run's commands
// and are not its set: nobody heard how the command ended, or it came through
// twice. They say of themselves whatever the tool wrote.
func ofTool(ctx context.Context, c Cloud, s run.State) ([]string, error) {
	p, ok := c.(cloud.Plugin)
	if !ok {
		return nil, nil
	}
	var set []string
	if s.Set != nil {
		for _, m := range s.Set.Snapshots {
			set = append(set, m.ID)
		}
	}
	give := time.Now()
	switch {
	case s.Set != nil: // of a command that came through twice the other set is as new as the run's
		give = s.Set.CallEndedAt.Add(cloud.Settle)
	case unreleased(s):
		give = give.Add(cloud.Settle)
	}
	for {
		left, err := named(ctx, p, s, set)
		if err != nil || len(left) > 0 || !time.Now().Before(give) {
			return left, err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, fault.Wrap(fault.Unavailable, ctx.Err(), "look for what the plug-in has left")
		}
	}
}

func named(ctx context.Context, p cloud.Plugin, s run.State, set []string) (left []string, err error) {
	last := 0
	if s.Plugin != nil {
		if last = s.Plugin.Attempt; s.Plugin.State == run.PluginAgain {
			last++ // whose start failed
		}
	}
	for attempt := 0; attempt <= last; attempt++ {
		groups, err := p.Named(ctx, s.Plan.Target.InstanceID, plugin.Name(s.Plan.RunID, attempt))
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			for _, m := range g.Members {
				if !slices.Contains(set, m.ID) {
					left = append(left, m.ID)
				}
			}
		}
	}
	return left, nil
}
