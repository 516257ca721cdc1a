package restoreplan

import (
	"context"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
)

// goOn plans what becomes of a restore that was made before.
func (p *planner) goOn(ctx context.Context) error {
	recalled, marks, err := restore.Recall(ctx, p.c, p.plan.RestoreID)
	if err != nil {
		return err
	}
	recalled.Action = p.plan.Action
	p.plan = recalled
	made, old := marks.Made, marks.Old
	if resets, err := p.goOnReset(ctx, made, old); err != nil || resets {
		return err
	}
	id := p.plan.RestoreID
	switch p.in.Action {
	case restore.Rollback:
		return p.rollback(ctx, made, old)
	case restore.Confirm:
		for _, d := range old {
			if d.Instance != "" {
				return fault.Input("request.runId", "%s is still attached as %s: the restore %s has not ended", d.ID, d.Device, id)
			}
		}
		for _, d := range made {
			if len(old) > 0 && d.State != cloud.DiskAttached {
				return fault.Input("request.runId", "%s is not attached: the restore %s has not ended", d.ID, id)
			}
		}
		if len(marks.Images)+len(marks.Instances) > 0 {
			break // kept for good, with the disks of the instance
		}
		if len(old) == 0 || len(made) == 0 {
			return fault.Input("request.runId", "there is nothing to confirm of %s: no disk was replaced by it, or it is confirmed already", id)
		}
	default:
		if len(made)+len(old)+len(marks.Images)+len(marks.Instances) == 0 {
			return fault.Input("request.runId", "nothing carries the mark of the restore %s: it made none, or they are deleted or confirmed already", id)
		}
		for _, d := range old {
			if len(made) == 0 && d.Instance == "" {
				return fault.Input("request.runId", "%s is not back: roll back first", d.ID)
			}
		}
		for _, d := range made {
			if len(old) > 0 && d.Instance != "" {
				return fault.Input("request.runId", "%s is in use by %s in the place of an old disk: roll back first, or confirm and keep it", d.ID, d.Instance)
			}
		}
	}
	p.plan.Do, p.plan.Stops = restore.DoSettle, false
	return p.release(ctx, made)
}

// rollback plans the way back. Where an old disk was, there may be one of the
// restore's or nothing, but no other.
func (p *planner) rollback(ctx context.Context, made, old []cloud.Disk) error {
	if len(old) == 0 {
		return fault.Input("request.runId", "nothing can go back: no disk was replaced by %s, or that is confirmed", p.plan.RestoreID)
	}
	if err := p.look(ctx, p.plan.Target.InstanceID); err != nil {
		return err
	}
	if err := p.alone(ctx); err != nil {
		return err
	}
	known := map[string]bool{}
	for _, d := range made {
		known[d.ID] = true
	}
	for _, d := range old {
		known[d.ID] = true
		if d.Instance != "" && d.Instance != p.host.ID {
			return fault.Input("request.runId", "%s is attached to %s meanwhile", d.ID, d.Instance)
		}
	}
	for _, o := range p.plan.Old {
		for _, d := range p.host.Disks {
			if d.Device == o.Device && !known[d.ID] {
				return fault.Input("request.runId", "%s is taken by %s meanwhile, which is not of this restore", o.Device, d.ID)
			}
		}
	}
	p.plan.Do = restore.DoBack
	return nil
}
