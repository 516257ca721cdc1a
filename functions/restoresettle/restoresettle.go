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

// Input is the plan, what is to be settled and what the last look saw.
type Input struct {
	Plan   restore.Plan      `json:"plan"`
	What   string            `json:"what"` // confirm, cleanup, forget
	Before *restore.Progress `json:"before"`
}

// Forget takes off what was noted on disks that are back where they were.
const Forget = "forget"

// Check refuses an input without a plan, and one that settles nothing.
func (in Input) Check() error {
	if in.What != restore.Confirm && in.What != restore.Cleanup && in.What != Forget {
		return fault.Input("what", "wants %s, %s or %s, got %q", restore.Confirm, restore.Cleanup, Forget, in.What)
	}
	return in.Plan.Check()
}

// limit is how long a disk may take to let go and to be deleted.
const limit = 15 * time.Minute

// Do settles it. Codes: RestoreTimedOut, when a disk that is mounted does not
// come off.
func Do(ctx context.Context, r cloud.Restorer, in Input) (*restore.Progress, error) {
	return restore.Look(ctx, in.Before, limit, func() (*restore.Progress, error) {
		switch in.What {
		case restore.Cleanup:
			if in.Plan.Resets {
				return drop(ctx, r, in.Plan.RestoreID)
			}
			return cleanup(ctx, r, in.Plan)
		case restore.Confirm:
			// First the new ones: a cleanup in between must not find them.
			if err := keep(ctx, r, in.Plan.RestoreID); err != nil {
				return nil, err
			}
			if err := unmark(ctx, r, cloud.TagRestore, in.Plan.RestoreID, every); err != nil {
				return nil, err
			}
		}
		err := unmark(ctx, r, cloud.TagReplaced, in.Plan.RestoreID, every)
		if err == nil && in.Plan.Resets && in.What == restore.Confirm {
			return drop(ctx, r, in.Plan.RestoreID) // last: a way back in between must find it
		}
		return &restore.Progress{State: restore.Done, Detail: fmt.Sprintf("%d old disks are noted no more", len(in.Plan.Old))}, err
	})
}

// every is every disk, home one that is attached.
func every(cloud.Disk) bool  { return true }
func home(d cloud.Disk) bool { return d.State == cloud.DiskAttached }

// unmark takes a mark off the disks that carry it, by which a way back would
// find the old ones and a cleanup the new ones. The disks stay.
func unmark(ctx context.Context, r cloud.Restorer, key, restoreID string, which func(cloud.Disk) bool) error {
	marked, err := r.Marked(ctx, key, restoreID)
	if err != nil {
		return err
	}
	var ids []string
	for _, d := range marked {
		if which(d) {
			ids = append(ids, d.ID)
		}
	}
	return r.UnmarkDisks(ctx, ids, []string{key, cloud.TagDevice, cloud.TagEnds, cloud.TagRan, cloud.TagContent})
}

// drop deletes the snapshots that a way back stood on.
func drop(ctx context.Context, r cloud.Restorer, restoreID string) (*restore.Progress, error) {
	by, err := cloud.ResetterOf(r)
	if err != nil {
		return nil, err
	}
	kept, err := by.Kept(ctx, restoreID)
	if err != nil {
		return nil, err
	}
	p := &restore.Progress{State: restore.Done, Detail: "nothing that the restore has kept is left"}
	if len(kept) > 0 {
		p.State, p.Detail = restore.Pending, fmt.Sprintf("%d snapshots are being deleted", len(kept))
		err = by.Drop(ctx, restoreID)
	}
	return p, err
}

// cleanup deletes what carries the restore's mark now, not what a plan says:
// first the instance, with which its disks end, and the image. A disk that was
// to be replaced and is where it was is noted no more; one that was taken off
// keeps what its way back needs.
func cleanup(ctx context.Context, r cloud.Restorer, plan restore.Plan) (*restore.Progress, error) {
	restoreID := plan.RestoreID
	marks, err := restore.Marked(ctx, r, restoreID)
	if err != nil {
		return nil, err
	}
	p := &restore.Progress{State: restore.Done, Detail: "nothing that the restore has made is left", Disks: marks.All()}
	if len(p.Disks) > 0 {
		p.State, p.Detail = restore.Pending, p.Disks[0].ID+" is being taken away"
	}
	for _, i := range marks.Images {
		if err := r.Deregister(ctx, i.ID); err != nil {
			return nil, err
		}
	}
	for _, h := range marks.Instances {
		if err := r.Terminate(ctx, h.ID); err != nil {
			return nil, err
		}
	}
	if len(marks.Instances) > 0 {
		return p, nil // its disks go with it, or come off by themselves
	}
	for _, d := range marks.Made {
		switch d.State {
		case cloud.DiskAttached:
			if plan.Mode == restore.AsImage {
				continue // to an instance that has just ended: it comes off by itself
			}
			err = r.Detach(ctx, d.Instance, d.ID)
		case cloud.DiskFree, cloud.DiskBroken:
			err = r.DeleteDisk(ctx, d.ID)
		}
		if err != nil {
			return nil, err
		}
	}
	if p.State == restore.Done {
		err = unmark(ctx, r, cloud.TagReplaced, restoreID, home)
	}
	return p, err
}

// keep takes the mark off the image and the instance of a restore, so that no
// cleanup finds them.
func keep(ctx context.Context, r cloud.Restorer, restoreID string) error {
	marks, err := restore.Marked(ctx, r, restoreID)
	if err != nil {
		return err
	}
	var ids []string
	for _, m := range marks.All() {
		if m.Kind != "" {
			ids = append(ids, m.ID)
		}
	}
	return r.Unmark(ctx, ids, []string{cloud.TagRestore})
}
