package restoreplan

import (
	"context"
	"fmt"
	"strconv"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/run"
)

// whole refuses a set of which anything is missing, mixed or not done, and
// tells whose it is.
func whole(runID string, set []cloud.Source) (instance string, err error) {
	refuse := func(format string, args ...any) (string, error) {
		err := fault.New(fault.SetNotRestorable, "the set of %s: "+format, append([]any{runID}, args...)...)
		err.Field = "request.runId"
		return "", err
	}
	if len(set) == 0 {
		return refuse("no snapshot of this account and Region carries the run's tag")
	}
	first := set[0]
	volumes := map[string]string{}
	for _, s := range set {
		if other, twice := volumes[s.VolumeID]; twice {
			return refuse("it is mixed: %s and %s are both of %s", other, s.ID, s.VolumeID)
		}
		volumes[s.VolumeID] = s.ID
		if since, going := s.Tags[cloud.TagDeleting]; going {
			return refuse("its deletion has begun (%s, %s): it is no set any more", s.ID, since)
		}
		for _, key := range []string{cloud.TagInstance, cloud.TagHold, cloud.TagMembers, cloud.TagConsistency} {
			if a, b := first.Tags[key], s.Tags[key]; a != b {
				return refuse("it is mixed: %s has %s=%q, %s has %q", first.ID, key, a, s.ID, b)
			}
		}
		if !s.StartedAt.Equal(first.StartedAt) {
			return refuse("it is mixed: %s and %s are not of one moment", first.ID, s.ID)
		}
		switch s.State {
		case run.Completed:
			if s.Archived {
				return refuse("%s is archived: bring it back to the standard tier first, which takes up to 72 hours", s.ID)
			}
		case run.Pending:
			return refuse("%s is still pending", s.ID)
		default:
			return refuse("%s is in error", s.ID)
		}
	}
	members, err := strconv.Atoi(first.Tags[cloud.TagMembers])
	if err != nil {
		return refuse("it does not say how many members it has (%s), so that nobody knows what is missing", cloud.TagMembers)
	}
	if members != len(set) {
		return refuse("it is incomplete: %d of %d members are there", len(set), members)
	}
	switch proved := run.Consistency(first.Tags[cloud.TagConsistency]); {
	case proved == "":
		return refuse("nobody has judged it: its run has not ended, or did not get that far")
	case proved.Rank() == 0:
		return refuse("its run failed: it is labelled %q", proved)
	}
	return first.Tags[cloud.TagInstance], nil
}

// look takes in the instance, and refuses one that must not be touched.
func (p *planner) look(ctx context.Context, instance string) (err error) {
	if instance == "" {
		return fault.Input("request.instanceId", "is missing: the set does not say whose it is")
	}
	if p.host, err = p.c.Host(ctx, instance); fault.CodeOf(err) == fault.InstanceNotFound {
		return &fault.Error{Code: fault.InstanceNotFound, Field: "request.instanceId", Message: "names no instance of this account and Region", Cause: err}
	} else if err != nil {
		return err
	}
	p.plan.Target, p.plan.Zone = p.host.Target, p.host.Zone
	switch h := p.host; {
	case h.Tags[p.in.OptIn.Key] != p.in.OptIn.Value:
		return &fault.Error{Code: fault.InstanceNotOptedIn, Field: "request.instanceId", Message: fmt.Sprintf("%s does not carry the tag %s=%s", instance, p.in.OptIn.Key, p.in.OptIn.Value)}
	case h.State != cloud.HostRunning && h.State != cloud.HostStopped:
		return fault.Input("request.instanceId", "%s is neither running nor stopped", instance)
	case p.in.Zone != "" && p.in.Zone != h.Zone:
		return fault.Input("request.zone", "%s is in %s, not in %s", instance, h.Zone, p.in.Zone)
	}
	return nil
}

// may asks the provider whether it would make the disks for this caller.
func (p *planner) may(ctx context.Context) error {
	if p.plan.Resets {
		return p.mayReset(ctx)
	}
	if p.plan.Zone == "" { // of an image without an instance no disk is made
		return nil
	}
	for _, d := range p.plan.Disks {
		spec := cloud.DiskSpec{Snapshot: d.Snapshot, Zone: p.plan.Zone, Kind: d.Kind, SizeGiB: d.SizeGiB, IOPS: d.IOPS, Throughput: d.Throughput,
			Tags: map[string]string{cloud.TagRestore: p.plan.RestoreID}}
		if !p.plan.Unchecked {
			spec.Key = d.Key
		}
		if err := p.c.MayMake(ctx, spec); err != nil {
			return p.refused(err, d)
		}
	}
	return nil
}

// refused says what a person can do about a disk that may not be made.
func (p *planner) refused(err error, d restore.Disk) error {
	said := fmt.Sprintf("no disk may be made of %s", d.Snapshot)
	if d.Key != "" && fault.CodeOf(err) == fault.AccessDenied {
		said += ", or its key may not be used; if the key's policy lets EC2 alone use it, so that nobody can ask, say acceptUncheckedKeys"
	}
	return &fault.Error{Code: fault.CodeOf(err), Field: "request.runId", Message: said, Cause: err}
}

// alone refuses an instance on which a run is going on; a plan may be made
// beside it.
func (p *planner) alone(ctx context.Context) error {
	err := restore.Alone(ctx, p.c, p.host.ID)
	if fault.CodeOf(err) == fault.RunInProgress && p.in.DryRun {
		p.plan.Warnings = append(p.plan.Warnings, err.Error()+": until that has ended nothing is done")
		return nil
	}
	return err
}

// tested warns of what a restore test says of the set. One that is going on is
// in nobody's way: both read the snapshots and write on disks of their own.
func (p *planner) tested(how string) {
	switch retention.Test(how) {
	case retention.Running:
		p.plan.Warnings = append(p.plan.Warnings, "a restore test of the set is going on: it may be restored all the same, nobody knows yet how the test ends")
	case retention.TestFailed:
		p.plan.Warnings = append(p.plan.Warnings, "the last restore test of the set has failed")
	}
}
