// Package restoresettle ends what a restore has left open: the old disks are
// let go, or what it made is deleted. It never touches a disk that does not
// carry the restore's own mark.
package restoresettle

import (
	"context"
	"fmt"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
)

// Input is the plan and what the last look saw.
type Input struct {
	Plan   restore.Plan      `json:"plan"`
	Before *restore.Progress `json:"before"`
}

// Check refuses an input without a plan, and one that settles nothing.
func (in Input) Check() error {
	if a := in.Plan.Action; a != restore.Confirm && a != restore.Cleanup {
		return fault.Input("plan.action", "wants %s or %s, got %q", restore.Confirm, restore.Cleanup, a)
	}
	return in.Plan.Check()
}

// limit is how long a disk may take to let go and to be deleted.
const limit = 15 * time.Minute

// Do settles it. Codes: RestoreTimedOut, when a disk that is mounted does not
// come off.
func Do(ctx context.Context, r cloud.Restorer, in Input) (*restore.Progress, error) {
	return restore.Look(ctx, in.Before, limit, func() (*restore.Progress, error) {
		if in.Plan.Action == restore.Confirm {
			return confirm(ctx, r, in.Plan)
		}
		return cleanup(ctx, r, in.Plan.RestoreID)
	})
}

// confirm takes the marks off, by which a way back would find the old disks and
// a cleanup the new ones. The old ones stay, and are nobody's but their owner's.
func confirm(ctx context.Context, r cloud.Restorer, plan restore.Plan) (*restore.Progress, error) {
	// First the new ones: a cleanup in between must not find them.
	for _, mark := range []struct {
		key  string
		keys []string
	}{
		{cloud.TagRestore, []string{cloud.TagRestore, cloud.TagDevice, cloud.TagEnds}},
		{cloud.TagReplaced, []string{cloud.TagReplaced, cloud.TagDevice, cloud.TagEnds, cloud.TagRan}},
	} {
		marked, err := r.Marked(ctx, mark.key, plan.RestoreID)
		if err != nil {
			return nil, err
		}
		ids := make([]string, len(marked))
		for i, d := range marked {
			ids[i] = d.ID
		}
		if err := r.UnmarkDisks(ctx, ids, mark.keys); err != nil {
			return nil, err
		}
	}
	return &restore.Progress{State: restore.Done, Detail: fmt.Sprintf("%d old disks are let go", len(plan.Old))}, nil
}

// cleanup deletes what carries the restore's mark now, not what a plan says.
func cleanup(ctx context.Context, r cloud.Restorer, restoreID string) (*restore.Progress, error) {
	made, err := r.Marked(ctx, cloud.TagRestore, restoreID)
	if err != nil {
		return nil, err
	}
	p := &restore.Progress{State: restore.Done, Detail: "nothing that the restore has made is left"}
	for _, d := range made {
		p.State, p.Detail = restore.Pending, d.ID+" is being deleted"
		p.Disks = append(p.Disks, restore.Made{ID: d.ID, Origin: d.Tags[cloud.TagOrigin], Device: d.Device, State: d.State})
		switch d.State {
		case cloud.DiskAttached:
			err = r.Detach(ctx, d.Instance, d.ID)
		case cloud.DiskFree:
			err = r.DeleteDisk(ctx, d.ID)
		}
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}
