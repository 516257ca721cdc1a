package restoreplan

import (
	"context"
	"fmt"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
)

// mayReset asks the provider whether it would set each disk back for this
// caller.
func (p *planner) mayReset(ctx context.Context) error {
	r, err := cloud.ResetterOf(p.c)
	if err != nil {
		return err
	}
	for _, d := range p.plan.Disks {
		if err := r.MayReset(ctx, p.host.ID, d.Origin, d.Snapshot); err != nil {
			return err
		}
	}
	return nil
}

// explainResets says what happens where disks are not swapped.
func (p *planner) explainResets(gib int32) {
	id := p.plan.Target.InstanceID
	p.plan.CostHint = fmt.Sprintf("%d snapshots of %d GiB of disks in all are billed, by what has changed since the last ones, until the restore is confirmed", len(p.plan.Disks), gib)
	say := func(format string, args ...any) { p.plan.Steps = append(p.plan.Steps, fmt.Sprintf(format, args...)) }
	if p.plan.Starts {
		say("stop %s, with its resources kept", id)
	}
	say("snapshot its %d disks as they are then, by one call, and wait until the snapshots are complete", len(p.plan.Disks))
	for _, d := range p.plan.Disks {
		say("set %s (%s) back to %s", d.Origin, d.Device, d.Snapshot)
	}
	if p.plan.Starts {
		say("start %s", id)
	}
	p.plan.Warnings = append(p.plan.Warnings, fmt.Sprintf("%s stands still until the snapshots of what is on its disks are complete, which takes the longer the more was written since the last ones", id))
	p.next()
}

// goOnReset plans what becomes of a restore that set disks back, and is false
// for any other. What was kept is known by the restore's mark, and how far each
// disk is by its own.
func (p *planner) goOnReset(ctx context.Context, made, old []cloud.Disk) (bool, error) {
	r, resets := p.c.(cloud.Resetter)
	if !resets || len(made) > 0 {
		return false, nil
	}
	kept, err := r.Kept(ctx, p.plan.RestoreID)
	if err != nil {
		return false, err
	}
	if len(old) == 0 && len(kept) == 0 {
		return false, nil
	}
	id := p.plan.RestoreID
	p.plan.Resets, p.plan.Mode, p.plan.Do = true, restore.InPlace, restore.DoSettle
	before := map[string]string{}
	for _, s := range kept {
		before[s.VolumeID] = s.ID
		p.plan.Target.InstanceID = s.Tags[cloud.TagInstance]
	}
	for _, d := range old {
		p.plan.Target.InstanceID = d.Tags[cloud.TagInstance]
	}
	switch p.in.Action {
	case restore.Rollback:
		return true, p.rollback(ctx, made, old)
	case restore.Cleanup:
		if len(old) > 0 {
			return true, fault.Input("request.runId", "%s may have to go back to what was kept of it: roll back first, or confirm and keep what is there", old[0].ID)
		}
	case restore.Confirm:
		if len(old) == 0 {
			return true, fault.Input("request.runId", "there is nothing to confirm of %s: no disk is set back by it any more, or it is confirmed already", id)
		}
		for _, d := range old {
			content := d.Tags[cloud.TagContent]
			switch {
			case !cloud.Became(content) || d.State != cloud.DiskAttached:
				return true, fault.Input("request.runId", "%s is not set back: the restore %s has not ended", d.ID, id)
			case content == before[d.ID]:
				return true, fault.Input("request.runId", "%s has what was on it before the restore %s: there is nothing to confirm", d.ID, id)
			}
		}
	}
	return true, nil
}
